//! Sets an endpoint up and takes it apart, each in a process of its own as `Networks` wants it. Tests use it;
//! so may you:
//!
//! endpoint setup DIR RUN_DIR JSON (an `Endpoint`)
//! endpoint teardown DIR RUN_DIR ID
//! endpoint repair DIR RUN_DIR -
//! endpoint names DIR RUN_DIR JSON (`Names`)
//! endpoint services DIR RUN_DIR JSON (an array of `service::Service`)

use std::path::Path;
use std::process::ExitCode;

use network::service::Service;
use network::{Endpoint, Networks};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let open = |dir: &str, run_dir: &str| {
        let exe = std::env::current_exe().unwrap_or_default();
        Networks::new(Path::new(dir), Path::new(run_dir), &exe)
    };
    let done = match args.as_slice() {
        [network::NAME_SERVER, args @ ..] => {
            let args = args.iter().copied().map(str::to_owned).collect();
            std::process::exit(network::name_server_main(args));
        }
        ["setup", dir, run_dir, endpoint] => serde_json::from_str::<Endpoint>(endpoint)
            .map_err(|e| e.to_string())
            .and_then(|endpoint| open(dir, run_dir).setup(&endpoint).map_err(|e| e.to_string()))
            .and_then(|addresses| serde_json::to_string(&addresses).map_err(|e| e.to_string()))
            .map(|addresses| println!("{addresses}")),
        ["names", dir, run_dir, names] => serde_json::from_str(names)
            .map_err(|e| e.to_string())
            .and_then(|names| open(dir, run_dir).set_names(&names).map_err(|e| e.to_string())),
        ["teardown", dir, run_dir, id] => open(dir, run_dir)
            .teardown(id)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
        ["repair", dir, run_dir, _] => open(dir, run_dir)
            .repair()
            .map_err(|e| e.to_string())
            .and_then(|repaired| serde_json::to_string(&repaired).map_err(|e| e.to_string()))
            .map(|repaired| println!("{repaired}")),
        ["services", dir, run_dir, services] => serde_json::from_str::<Vec<Service>>(services)
            .map_err(|e| e.to_string())
            .and_then(|services| open(dir, run_dir).set_services(&services).map_err(|e| e.to_string()))
            .and_then(|pending| serde_json::to_string(&pending).map_err(|e| e.to_string()))
            .map(|pending| println!("{pending}")),
        _ => Err("use: endpoint setup|services DIR RUN_DIR JSON | endpoint teardown|repair DIR RUN_DIR ID"
            .to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}
