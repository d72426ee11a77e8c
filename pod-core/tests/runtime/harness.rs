//! As much of libtest's command line as cargo test and cargo-nextest use, without its threads.

use std::process::{Command, ExitCode};

/// A test by name.
pub struct Case {
    pub name: &'static str,
    pub run: fn(),
}

pub fn main(cases: &[Case]) -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    let filters: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-') && *arg != "terse").collect();
    let is_chosen = |case: &&Case| {
        filters.is_empty()
            || filters.iter().any(|filter| {
                if has("--exact") { case.name == *filter } else { case.name.contains(filter.as_str()) }
            })
    };
    if has("--list") {
        if !has("--ignored") {
            cases.iter().filter(is_chosen).for_each(|case| println!("{}: test", case.name));
        }
        return ExitCode::SUCCESS;
    }
    let chosen: Vec<&Case> = cases.iter().filter(is_chosen).collect();
    if let ([case], true) = (chosen.as_slice(), has("--exact") && has("--nocapture")) {
        (case.run)();
        println!("test {} ... ok", case.name);
        return ExitCode::SUCCESS;
    }
    let own = std::env::current_exe().unwrap();
    let mut failed = 0;
    for case in &chosen {
        let ok = Command::new(&own).args([case.name, "--exact", "--nocapture"]).status().unwrap().success();
        if !ok {
            println!("test {} ... FAILED", case.name);
            failed += 1;
        }
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {verdict}. {} passed; {failed} failed", chosen.len() - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
