//! The process of a proxy.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::FromRawFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::file::{FileLock, LockKind, read_json};
use tokio::runtime::Builder;

use crate::LOCK_FILE;
use crate::reload::{WatchedFile, follow};
use crate::routes::Routes;
use crate::server::ServeError;

/// The first argument that makes our executable the proxy.
pub const INGRESS_PROXY: &str = "ingress-proxy";

/// The variable with the number of the descriptor that a proxy closes once it serves.
pub const READY_VARIABLE: &str = "KUBE_READY_FD";

/// The name of the process, which tells the owner of its ports to people who look for it (prctl(2), `PR_SET_NAME`).
const PROCESS_NAME: &std::ffi::CStr = c"kube-ingress";

/// The main function of `kube ingress-proxy --config FILE`; `arguments` are those after `ingress-proxy`. Returns when the
/// proxy ends, or at once if another proxy serves the file.
pub fn proxy_main(arguments: &[String]) -> i32 {
    let ready = std::env::var(READY_VARIABLE).ok().and_then(|number| number.parse::<i32>().ok());
    // SAFETY: the starter passes this descriptor for this use only, and nothing else in this process knows it.
    let ready = ready.filter(|fd| *fd > 2).map(|fd| unsafe { File::from_raw_fd(fd) });
    let path = match arguments {
        [flag, path] if flag == "--config" => PathBuf::from(path),
        _ => {
            eprintln!("usage: {INGRESS_PROXY} --config FILE");
            return 2;
        }
    };
    let _ = rustix::thread::set_name(PROCESS_NAME);
    match run(&path, ready) {
        Ok(()) => 0,
        Err(e) => {
            tracing::error!("{e}");
            eprintln!("{e}");
            1
        }
    }
}

fn run(path: &Path, ready: Option<File>) -> Result<(), ServeError> {
    let kernel = |action| move |source| ServeError::Kernel { action, source };
    let lock = path.with_file_name(LOCK_FILE);
    let Some(lock) = FileLock::try_acquire(&lock, LockKind::Exclusive)? else { return Ok(()) };
    base::fail_point!(Worker, "ingress-proxy-locked");
    let options = read_json::<Routes>(path)?.unwrap_or_default().options;
    let mut builder = match options.threads {
        0 | 1 => Builder::new_current_thread(),
        threads => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(threads);
            builder
        }
    };
    let runtime = builder.enable_io().enable_time().build().map_err(kernel("start"))?;
    runtime.block_on(async {
        // Watched before it is read, so that no change is missed.
        let file = WatchedFile::new(path).map_err(kernel("watch the routes"))?;
        let Some(routes) = read_json::<Routes>(path)? else { return Ok(()) };
        let is_ready = move || {
            if let Some(mut ready) = ready {
                let _ = ready.write_all(b"ready");
            }
        };
        let (mut proxy, routes) = follow(file, routes, is_ready).await?;
        proxy.close().await;
        // Another proxy may serve the same ports from here on, while requests of this one go on.
        drop(lock);
        proxy.end(Duration::from_secs(routes.options.drain_seconds)).await;
        Ok(())
    })
}
