//! A pseudo-terminal on which a command runs, as for an interactive user.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use nix::pty::{Winsize, openpty};

/// A terminal of 80 by 24 characters and the command that runs on it.
pub struct Terminal {
    master: OwnedFd,
    child: Child,
    bytes: Receiver<Vec<u8>>,
    seen: String,
    read: usize,
}

fn winsize(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

impl Terminal {
    /// Starts a command with the terminal as its stdin, stdout, stderr and controlling terminal.
    pub fn start(mut command: Command) -> Self {
        let pty = openpty(Some(&winsize(80, 24)), None).unwrap();
        let end = || Stdio::from(pty.slave.try_clone().unwrap());
        command.stdin(end()).stdout(end()).stderr(end());
        // SAFETY: both calls are async-signal-safe and touch nothing but the child's own session and stdin.
        unsafe {
            command.pre_exec(|| {
                nix::unistd::setsid()?;
                if libc::ioctl(0, libc::TIOCSCTTY, 0) != 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = command.spawn().unwrap();
        drop(command);
        drop(pty.slave);
        let mut reader = File::from(pty.master.try_clone().unwrap());
        let (send, bytes) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = reader.read(&mut buffer) {
                if send.send(buffer[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { master: pty.master, child, bytes, seen: String::new(), read: 0 }
    }

    /// Types text.
    pub fn types(&mut self, text: &str) {
        File::from(self.master.try_clone().unwrap()).write_all(text.as_bytes()).unwrap();
    }

    /// Changes the size of the terminal, which sends SIGWINCH to the command.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        let size = winsize(columns, rows);
        // SAFETY: the descriptor is open and `size` lives until the call returns.
        let done = unsafe { libc::ioctl(self.master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
        assert_eq!(done, 0, "TIOCSWINSZ");
    }

    /// Waits until the terminal shows `text`, after the texts of earlier calls.
    #[track_caller]
    pub fn shows(&mut self, text: &str) {
        let deadline = Instant::now() + crate::limit(30);
        loop {
            if let Some(at) = self.seen[self.read..].find(text) {
                self.read += at + text.len();
                return;
            }
            match self.bytes.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.seen += &String::from_utf8_lossy(&bytes),
                Err(_) => panic!("the terminal never showed {text:?}; it shows:\n{}", self.seen),
            }
        }
    }

    /// Waits until the command has ended, and returns its exit code and everything that the terminal showed.
    #[track_caller]
    pub fn end(mut self) -> (i32, String) {
        let deadline = Instant::now() + crate::limit(30);
        while let Ok(bytes) = self.bytes.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            self.seen += &String::from_utf8_lossy(&bytes);
        }
        let code = match self.child.try_wait().unwrap() {
            Some(status) => status.code(),
            None if Instant::now() < deadline => self.child.wait().unwrap().code(),
            None => panic!("the command on the terminal did not end; it shows:\n{}", self.seen),
        };
        (code.unwrap_or(-1), std::mem::take(&mut self.seen))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
