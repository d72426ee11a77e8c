//! Follows the file of routes.

use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use base::file::{read_json, write_json_volatile};
use rustix::fd::OwnedFd;
use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{SignalKind, signal};

use crate::STATUS_FILE;
use crate::routes::Routes;
use crate::server::{Proxy, ServeError};
use crate::status::Status;

/// A file that is replaced or removed by other processes (inotify(7)).
#[derive(Debug)]
pub(crate) struct WatchedFile {
    path: PathBuf,
    inotify: AsyncFd<OwnedFd>,
}

impl WatchedFile {
    /// Begins to watch the file at `path`, whose folder exists.
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let flags =
            WatchFlags::MOVED_TO | WatchFlags::MOVED_FROM | WatchFlags::CLOSE_WRITE | WatchFlags::DELETE;
        let flags = flags | WatchFlags::DELETE_SELF | WatchFlags::ONLYDIR;
        add_watch(&inotify, path.parent().unwrap_or(Path::new("/")), flags)?;
        // SAFETY: the descriptor is open as long as the value that owns it, and this value neither replaces nor closes it.
        let inotify = unsafe { AsyncFd::register_with_interest(inotify, Interest::READABLE) }?;
        Ok(Self { path: path.to_owned(), inotify })
    }

    /// Waits until the file may have changed.
    pub(crate) async fn changed(&self) -> io::Result<()> {
        loop {
            let mut guard = self.inotify.readable().await?;
            match guard.try_io(|inotify| self.read_events(inotify.get_ref())) {
                Ok(Ok(true)) => return Ok(()),
                Ok(Err(e)) => return Err(e),
                Ok(Ok(false)) | Err(_) => {}
            }
        }
    }

    /// Reads what waits. Returns whether any of it concerns the file.
    fn read_events(&self, inotify: &OwnedFd) -> io::Result<bool> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(inotify, &mut buffer);
        let mut concerns = false;
        loop {
            match reader.next() {
                Ok(event) => {
                    let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
                    let lost = ReadFlags::QUEUE_OVERFLOW | ReadFlags::IGNORED;
                    concerns |= name == self.path.file_name() || event.events().intersects(lost);
                }
                Err(rustix::io::Errno::AGAIN) if concerns => return Ok(true),
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Reads the routes; `None` if the file was removed.
    fn read(&self) -> Result<Option<Routes>, base::file::Error> {
        read_json(&self.path)
    }
}

/// Serves what the file says until the file is removed or SIGTERM comes. `routes` is what the file said at first;
/// `ready` is called once that is served.
pub(crate) async fn follow(
    file: WatchedFile,
    routes: Routes,
    ready: impl FnOnce(),
) -> Result<(Proxy, Routes), ServeError> {
    let kernel = |action| move |source| ServeError::Kernel { action, source };
    let mut hangup = signal(SignalKind::hangup()).map_err(kernel("wait for signals"))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(kernel("wait for signals"))?;
    let mut proxy = Proxy::new(&routes.options)?;
    let mut routes = routes;
    report(&file, &proxy.apply(&routes).await)?;
    ready();
    loop {
        tokio::select! {
            changed = file.changed() => changed.map_err(kernel("watch the routes"))?,
            _ = hangup.recv() => proxy.reopen_log(),
            _ = terminate.recv() => return Ok((proxy, routes)),
        }
        match file.read() {
            Ok(Some(new)) if new != routes || new.generation != routes.generation => {
                routes = new;
                if let Err(e) = report(&file, &proxy.apply(&routes).await) {
                    tracing::warn!("{e}");
                }
            }
            Ok(Some(_)) => {}
            Ok(None) => return Ok((proxy, routes)),
            // What was served before is served on. The next command writes the file again.
            Err(e) => tracing::warn!("{e}"),
        }
    }
}

/// Writes what the proxy serves into the file beside that of the routes.
fn report(file: &WatchedFile, status: &Status) -> Result<(), base::file::Error> {
    for problem in &status.problems {
        tracing::warn!("{problem}");
    }
    write_json_volatile(&file.path.with_file_name(STATUS_FILE), status)
}
