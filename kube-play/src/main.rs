//! `kube`: run Kubernetes YAML on one machine, with no cluster and no daemon.
//!
//! The terminal's side of it: arguments, tables, messages and exit codes. What pods are is `pod_core`'s.

mod cli;
mod commands;
mod facts;
mod input;
mod output;
mod pods;
mod selector;
mod session;
mod watch;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything else, and before any thread: the long-lived processes that are made from this
    // executable. They must stay single-threaded and small.
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().as_ref().and_then(|first| first.to_str()) {
        Some(network::AARDVARK_DNS) => {
            pod_core::supervisor::detach_name_server();
            let arguments = arguments.map(|argument| argument.to_string_lossy().into_owned());
            code(network::aardvark_dns_main(arguments.collect()))
        }
        Some(pod_core::supervisor::SUPERVISE) => {
            // Into the log beside its socket: what goes wrong when nobody looks.
            cli::start_log(cli::LogLevel::Warn);
            code(pod_core::supervisor::main(&arguments.collect::<Vec<_>>()))
        }
        _ => {
            session::umask::begin_command();
            cli::main()
        }
    }
}

/// An exit code as the kernel keeps it: its low eight bits.
fn code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code & 0xff).unwrap_or(output::exit::FAILED))
}

#[cfg(test)]
mod tests;
