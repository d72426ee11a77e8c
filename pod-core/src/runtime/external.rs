//! Runs any other OCI runtime (`--runtime crun|runc|PATH`) by its command line.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use base::file::{remove_dir_if_exists, remove_file_if_exists, write_atomic, write_json_volatile};
use serde::Deserialize;

use super::cgroup::{self, Cgroups, Driver};
use super::libcontainer::{cgroups_path, exec_process, load};
use super::{Create, Error, Exec, Runtime, Stdio, worker};

/// A runtime program that keeps its state below one folder.
#[derive(Debug)]
pub(super) struct External {
    program: PathBuf,
    /// The runtime's `--root`.
    root: PathBuf,
    /// `<state>/calls/<id>`: pid files, logs, process files, and the path of a container's bundle.
    calls: PathBuf,
}

/// Folders below the state folder: the program's own, and the one for our calls.
const ROOT: &str = "runtime";
const CALLS: &str = "calls";

/// See [`super::forget_external`].
pub(super) fn forget(state: &Path, id: &str) -> Result<(), Error> {
    for dir in [ROOT, CALLS] {
        remove_dir_if_exists(&state.join(dir).join(id))?;
    }
    Ok(())
}

impl External {
    pub(super) fn open(name: &str, state: &Path) -> Result<Self, Error> {
        let program = find(name).ok_or_else(|| Error::NoRuntime { name: name.to_owned() })?;
        Ok(Self { program, root: state.join(ROOT), calls: state.join(CALLS) })
    }

    /// Returns the program with its global options; it logs to a file of this call.
    fn command(&self, log: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(&self.root).arg("--log").arg(log).args(["--log-format", "json"]);
        if Cgroups::get().driver == Driver::Systemd {
            command.arg("--systemd-cgroup");
        }
        command.stdin(process::Stdio::null()).stdout(process::Stdio::null()).stderr(process::Stdio::null());
        command
    }

    /// Runs a command to its end. The error message comes from the log, because stderr belongs to the container.
    fn run(mut command: Command, log: &Path, action: &'static str, id: &str) -> Result<(), Error> {
        let program = command.get_program().to_string_lossy().into_owned();
        let status = command.status().map_err(Error::call("run", &program))?;
        let words = fs::read_to_string(log).unwrap_or_default();
        let _ = fs::remove_file(log);
        if status.success() {
            return Ok(());
        }
        let message = last_error(&words).unwrap_or_else(|| format!("{program} ended with {status}"));
        Err(Error::failed(action, id, message))
    }

    fn simple(&self, action: &'static str, id: &str, args: &[&str]) -> Result<(), Error> {
        worker::prepare_worker();
        let dir = self.dir(id)?;
        let log = dir.join(format!("{}.log", uuid::Uuid::new_v4().simple()));
        let mut command = self.command(&log);
        command.args(args);
        Self::run(command, &log, action, id)
    }

    fn dir(&self, id: &str) -> Result<PathBuf, Error> {
        if id.is_empty() || id.starts_with('.') || id.contains('/') {
            return Err(Error::failed("find", id, "this is not a container id"));
        }
        let dir = self.calls.join(id);
        base::file::create_private_dir_all(&dir).map_err(Error::io("create", &dir))?;
        Ok(dir)
    }
}

impl Runtime for External {
    fn create(&self, create: &Create<'_>) -> Result<i32, Error> {
        worker::prepare_worker();
        let dir = self.dir(create.id)?;
        let (pid_file, log) = (dir.join("pid"), dir.join("create.log"));
        let spec = load(create.bundle)?;
        let path = cgroups_path(&spec);
        write_atomic(&dir.join("cgroup"), path.as_deref().unwrap_or_default().as_bytes(), 0o600)?;
        let mut command = self.command(&log);
        command.arg("create").arg("--bundle").arg(create.bundle).arg("--pid-file").arg(&pid_file);
        match create.console_socket {
            Some(socket) => {
                command.arg("--console-socket").arg(socket);
            }
            None => set_stdio(&mut command, &create.stdio)?,
        }
        command.arg(create.id);
        let result = Self::run(command, &log, "create", create.id).and_then(|()| read_pid(&pid_file));
        match &result {
            Ok(_) => path.iter().for_each(|path| cgroup::kill_as_group(path)),
            Err(_) => {
                let _ = self.delete(create.id);
            }
        }
        result
    }

    fn start(&self, id: &str) -> Result<(), Error> {
        self.simple("start", id, &["start", id])
    }

    fn delete(&self, id: &str) -> Result<(), Error> {
        let dir = self.calls.join(id);
        let has_state = self.root.join(id).exists();
        if !dir.exists() && !has_state {
            return Ok(());
        }
        let mut errors = Vec::new();
        if has_state {
            errors.extend(self.simple("delete", id, &["delete", "--force", id]).err());
        }
        if let Ok(path) = fs::read_to_string(dir.join("cgroup"))
            && !path.is_empty()
        {
            errors.extend(cgroup::remove(&path).err());
        }
        if errors.is_empty() {
            errors.extend(remove_dir_if_exists(&dir).err().map(Error::from));
        }
        Error::gather(errors)
    }

    fn exec(&self, exec: &Exec<'_>) -> Result<i32, Error> {
        worker::prepare_worker();
        let dir = self.dir(exec.id)?;
        let call = uuid::Uuid::new_v4().simple().to_string();
        let file = |suffix: &str| dir.join(format!("exec-{call}.{suffix}"));
        let (pid_file, log, process_file) = (file("pid"), file("log"), file("json"));
        write_json_volatile(&process_file, &exec_process(&load(exec.bundle)?, exec)?)?;
        let mut command = self.command(&log);
        command.args(["exec", "--detach", "--pid-file"]).arg(&pid_file).arg("--process").arg(&process_file);
        match exec.console_socket {
            Some(socket) => {
                command.arg("--console-socket").arg(socket);
            }
            None => set_stdio(&mut command, &exec.stdio)?,
        }
        command.arg(exec.id);
        let result = Self::run(command, &log, "exec in", exec.id).and_then(|()| read_pid(&pid_file));
        for file in [pid_file, process_file] {
            let _ = remove_file_if_exists(&file);
        }
        result
    }
}

fn set_stdio(command: &mut Command, stdio: &Stdio<'_>) -> Result<(), Error> {
    let copy = |fd: BorrowedFd<'_>| {
        fd.try_clone_to_owned().map(process::Stdio::from).map_err(Error::call("duplicate", "descriptor"))
    };
    command.stdin(copy(stdio.stdin)?).stdout(copy(stdio.stdout)?).stderr(copy(stdio.stderr)?);
    Ok(())
}

fn read_pid(file: &Path) -> Result<i32, Error> {
    let text = fs::read_to_string(file).map_err(Error::io("read", file))?;
    text.trim().parse().map_err(|_| Error::failed("read", &file.display().to_string(), "not a pid"))
}

/// See [`super::installed`].
pub(super) fn installed(names: &[&str]) -> BTreeSet<String> {
    names.iter().filter(|name| find(name).is_some()).map(|name| (*name).to_owned()).collect()
}

/// Finds a program by name (in PATH) or by path.
fn find(name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let is_program = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if name.contains('/') {
        return fs::canonicalize(name).ok().filter(is_program);
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/sbin:/usr/bin:/sbin:/bin"));
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|dir| dir.join(name)).find(is_program)
}

/// Returns the last message of level error in a runtime's JSON log.
fn last_error(log: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Line {
        #[serde(default)]
        level: String,
        #[serde(default)]
        msg: String,
    }
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    lines.filter(|line| line.level == "error" || line.level == "fatal").map(|line| line.msg).next_back()
}
