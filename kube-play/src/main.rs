//! `kube`: run Kubernetes YAML on one machine, with no cluster and no daemon.
//!
//! This crate is the terminal front end: arguments, tables, messages and exit codes. The crate `pod_core` runs the
//! pods.

mod cli;
mod commands;
mod input;
mod output;
mod session;

use std::process::ExitCode;

fn main() -> ExitCode {
    // This executable is also the program of supervisors, of the name server and of the Ingress proxy. Those are dispatched first, before any
    // thread starts, because the processes live long and must stay single-threaded and small.
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().as_ref().and_then(|first| first.to_str()) {
        Some(network::NAME_SERVER) => {
            pod_core::supervisor::detach_name_server();
            let arguments = arguments.map(|argument| argument.to_string_lossy().into_owned());
            code(network::name_server_main(arguments.collect()))
        }
        Some(ingress::INGRESS_PROXY) => {
            // Its messages go to the log file beside its routes.
            cli::start_log(cli::LogLevel::Warn);
            pod_core::supervisor::detach_ingress_proxy();
            let arguments: Vec<String> =
                arguments.map(|argument| argument.to_string_lossy().into_owned()).collect();
            code(ingress::proxy_main(&arguments))
        }
        Some(pod_core::supervisor::SUPERVISE) => {
            // A supervisor has no terminal: its messages go to the log file beside its socket.
            cli::start_log(cli::LogLevel::Warn);
            code(pod_core::supervisor::main(&arguments.collect::<Vec<_>>()))
        }
        _ => {
            session::umask::begin_command();
            cli::main()
        }
    }
}

/// Converts an exit code as the kernel does: to its low eight bits.
fn code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code & 0xff).unwrap_or(output::exit::FAILED))
}

#[cfg(test)]
mod tests;
