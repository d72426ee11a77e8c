//! The command line.

use std::path::PathBuf;

use crate::Family;

/// What to measure, and how.
pub struct Options {
    /// The `kube` to measure.
    pub kube: PathBuf,
    /// Measure podman too.
    pub podman: bool,
    /// Another build of `kube`, to measure instead of podman.
    pub before: Option<PathBuf>,
    /// Repetitions of measurements that take milliseconds.
    pub runs: usize,
    /// Measure as little as possible.
    pub quick: bool,
    /// The document to write the table into.
    pub write: Option<PathBuf>,
    families: Vec<String>,
}

impl Options {
    /// Reads the command line. Ends the program on `--help` and on unknown arguments.
    pub fn parse(families: &[Family]) -> Self {
        let mut options = Self {
            kube: "target/release/kube".into(),
            podman: true,
            before: None,
            runs: 0,
            quick: false,
            write: None,
            families: Vec::new(),
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--kube" => options.kube = arguments.next().unwrap_or_else(|| usage(families)).into(),
                "--before" => {
                    options.before = Some(arguments.next().unwrap_or_else(|| usage(families)).into());
                }
                "--write" => options.write = Some(arguments.next().unwrap_or_else(|| usage(families)).into()),
                "--runs" => {
                    let runs = arguments.next().and_then(|n| n.parse().ok());
                    options.runs = runs.filter(|n| *n > 0).unwrap_or_else(|| usage(families));
                }
                "--quick" => options.quick = true,
                "--no-podman" => options.podman = false,
                name if families.iter().any(|(family, ..)| *family == name) => {
                    options.families.push(name.to_owned());
                }
                _ => usage(families),
            }
        }
        if options.runs == 0 {
            options.runs = if options.quick { 3 } else { 15 };
        }
        for program in [Some(&options.kube), options.before.as_ref()].into_iter().flatten() {
            if !program.is_file() {
                eprintln!("bench: {} is missing: cargo build --release -p kube-play", program.display());
                std::process::exit(1);
            }
        }
        if options.before.is_some() && options.write.is_some() {
            eprintln!("bench: --write is for the table beside podman, without --before");
            std::process::exit(2);
        }
        options
    }

    /// Returns true if this family is to be measured.
    pub fn wants(&self, family: &str) -> bool {
        self.families.is_empty() || self.families.iter().any(|name| name == family)
    }

    /// Returns the number of repetitions of measurements that take seconds.
    pub fn few(&self) -> usize {
        self.runs.div_ceil(4).max(if self.quick { 1 } else { 3 })
    }
}

fn usage(families: &[Family]) -> ! {
    eprintln!(
        "usage: bench [FAMILY...] [--runs N] [--quick] [--no-podman] [--kube PATH] [--before PATH] [--write DOC]\n\nFamilies (all):"
    );
    for (name, about, _) in families {
        eprintln!("  {name:8} {about}");
    }
    std::process::exit(2);
}
