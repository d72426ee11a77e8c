//! Changes tables of nftables with nft(8), and asks the kernel about them by netlink, because `nft` reads whole tables
//! where one number is enough.

use std::env;
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::Error;
use crate::nfnetlink::{NFGENMSG, Socket, attribute, attributes};

/// The folders of programs that are added if PATH lacks the administrator's folders, as with `su` without `-`.
pub(crate) const ADMIN_DIRS: &str = "/usr/local/sbin:/usr/sbin:/sbin";

/// Messages of `NFNL_SUBSYS_NFTABLES` (linux/netfilter/nf_tables.h), which is the upper byte, and their attributes.
const NFT_MSG_GETTABLE: u16 = (10 << 8) | 1;
const NFTA_TABLE_NAME: u16 = 1;
const NFTA_TABLE_USE: u16 = 3;
const NFT_MSG_GETRULE: u16 = (10 << 8) | 7;
const NFTA_RULE_TABLE: u16 = 1;
const NFT_MSG_GETGEN: u16 = (10 << 8) | 16;
const NFTA_GEN_ID: u16 = 1;

/// Returns the path of `nft`, in PATH or in the administrator's folders.
pub fn find_nft() -> Option<PathBuf> {
    find_in(&env::var("PATH").unwrap_or_default()).or_else(|| find_in(ADMIN_DIRS))
}

pub(crate) fn find_in(path: &str) -> Option<PathBuf> {
    env::split_paths(path).map(|dir| dir.join("nft")).find(|file| file.is_file())
}

/// Returns the number of chains and sets in a table of the family `inet`; `None` if there is no such table, or the
/// kernel does not answer.
pub(crate) fn size_of_table(table: &str) -> Option<u32> {
    let ask = || {
        let socket = Socket::open()?;
        let name = attribute(NFTA_TABLE_NAME, &[table.as_bytes(), b"\0"].concat());
        let inet = u8::try_from(libc::NFPROTO_INET).unwrap_or_default();
        socket.send(NFT_MSG_GETTABLE, libc::NLM_F_ACK, inet, &name)?;
        let mut size = None;
        socket.receive(|body| {
            let uses = attributes(body.get(NFGENMSG..).unwrap_or_default())
                .find_map(|(kind, value)| (kind == NFTA_TABLE_USE).then(|| value.try_into().ok())?);
            size = uses.map(u32::from_be_bytes).or(size);
        })?;
        std::io::Result::Ok(size)
    };
    ask().ok().flatten()
}

/// Returns the number of rules in a table of the family `inet`.
pub(crate) fn count_rules(table: &str) -> std::io::Result<usize> {
    let socket = Socket::open()?;
    let name = attribute(NFTA_RULE_TABLE, &[table.as_bytes(), b"\0"].concat());
    let inet = u8::try_from(libc::NFPROTO_INET).unwrap_or_default();
    socket.send(NFT_MSG_GETRULE, libc::NLM_F_DUMP, inet, &name)?;
    let mut count = 0;
    socket.receive(|body| {
        let mut of = attributes(body.get(NFGENMSG..).unwrap_or_default());
        let named = |(kind, value): (u16, &[u8])| {
            kind == NFTA_RULE_TABLE && value.strip_suffix(&[0]).unwrap_or(value) == table.as_bytes()
        };
        count += usize::from(of.any(named));
    })?;
    Ok(count)
}

/// Returns a number that the kernel raises by one with every change of nftables in this network namespace.
pub(crate) fn generation() -> std::io::Result<u32> {
    let socket = Socket::open()?;
    socket.send(NFT_MSG_GETGEN, libc::NLM_F_ACK, 0, &[])?;
    let mut generation = None;
    socket.receive(|body| {
        let id = attributes(body.get(NFGENMSG..).unwrap_or_default())
            .find_map(|(kind, value)| (kind == NFTA_GEN_ID).then(|| value.try_into().ok())?);
        generation = id.map(u32::from_be_bytes).or(generation);
    })?;
    generation.ok_or_else(|| ErrorKind::InvalidData.into())
}

/// A change of rules that `nft` is carrying out. The kernel makes `nft` wait for ten milliseconds and more (RCU).
pub(crate) struct Change {
    /// What the change is for, as messages say it.
    doing: String,
    /// The process of `nft`; `None` once it has ended.
    nft: Option<Child>,
}

impl Change {
    /// Starts to carry out a script for `nft -f`, which is one transaction.
    pub(crate) fn begin(script: &str, doing: String) -> Result<Self, Error> {
        let program = find_nft().ok_or(Error::NftMissing)?;
        let spawn = || {
            let mut child = Command::new(program)
                .args(["-f", "-"])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()?;
            // If `nft` refuses the script while it is written, its own message is more useful than the error of the
            // closed stdin.
            let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(script.as_bytes()));
            match written {
                Err(e) if e.kind() != ErrorKind::BrokenPipe => {
                    let _ = child.kill();
                    let _ = child.wait();
                    Err(e)
                }
                _ => Ok(child),
            }
        };
        match spawn() {
            Ok(child) => Ok(Self { doing, nft: Some(child) }),
            Err(e) => Err(refused(&doing, &e)),
        }
    }

    /// Waits until the rules are in place or refused.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        let Some(nft) = self.nft.take() else { return Ok(()) };
        let output = nft.wait_with_output().map_err(|e| refused(&self.doing, &e))?;
        if output.status.success() {
            return Ok(());
        }
        Err(refused(&self.doing, &String::from_utf8_lossy(&output.stderr).trim()))
    }
}

impl Drop for Change {
    /// Waits for `nft`, so that the next change does not meet this one half done.
    fn drop(&mut self) {
        if let Some(nft) = &mut self.nft {
            let _ = nft.wait();
        }
    }
}

fn refused(doing: &str, why: &dyn std::fmt::Display) -> Error {
    Error::Refused { doing: doing.to_owned(), why: format!("nft: {why}") }
}
