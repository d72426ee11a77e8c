//! Opens firewalls that were closed with iptables(8) for a bridge. The `FORWARD` chains of ufw and Docker drop packets
//! that they do not know, on every interface, and ufw's `INPUT` chain drops even the pods' DNS queries. A rule of
//! nftables that accepts the packets does not help, because the other table's verdict still follows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::bridge::Network;
use crate::nfnetlink::{NFGENMSG, Socket, attributes};

/// The listings of the host's filter tables, from programs that are still running.
pub(crate) struct Listings {
    of: Vec<(&'static str, Child)>,
}

impl Listings {
    /// Starts to list the rules in force; the bridge can be created meanwhile.
    pub(crate) fn ask(network: &Network) -> Self {
        let asked = programs(network).into_iter();
        let of = asked.filter_map(|program| Some((program, listing(program).spawn().ok()?)));
        Self { of: of.collect() }
    }

    fn answers(mut self) -> Vec<(&'static str, String)> {
        let asked = std::mem::take(&mut self.of).into_iter();
        // Every program is waited for, whatever the others answer.
        let answers: Vec<_> =
            asked.map(|(program, child)| (program, child.wait_with_output().ok())).collect();
        answers.into_iter().filter_map(|(program, output)| Some((program, text(output?)?))).collect()
    }
}

impl Drop for Listings {
    /// Waits for programs whose answers are no longer needed, so that no process is left.
    fn drop(&mut self) {
        for (_, child) in &mut self.of {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A rule that is missing from a closed chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing {
    pub program: &'static str,
    pub chain: &'static str,
    rule: Vec<String>,
}

/// Returns the rules that a network needs and that closed chains do not have.
pub(crate) fn missing(network: &Network, dns_port: u16, listings: Listings) -> Vec<Missing> {
    let mut missing = Vec::new();
    for (program, listing) in listings.answers() {
        for (chain, rule) in rules(network, dns_port) {
            if closes(&listing, chain) && !has(&listing, chain, &rule) {
                missing.push(Missing { program, chain, rule });
            }
        }
    }
    missing
}

/// Why a rule could not be added or removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RuleError {
    /// The mark that there is a rule to remove later could not be written.
    #[error("cannot write {}: {error}", path.display())]
    Mark { path: PathBuf, error: std::io::Error },
    /// The program cannot be started.
    #[error("cannot run {program}: {error}")]
    CannotRun { program: &'static str, error: std::io::Error },
    /// The program has failed.
    #[error("{program} {args}: {reason}")]
    Refused { program: &'static str, args: String, reason: String },
}

/// Adds a missing rule. `marks` is the folder of the marks that there is a rule to remove later.
pub(crate) fn add(network: &Network, missing: &Missing, marks: &Path) -> Result<(), RuleError> {
    let mark = marks.join(&network.bridge);
    base::file::create_private_dir_all(marks)
        .and_then(|()| fs::write(&mark, []))
        .map_err(|error| RuleError::Mark { path: mark.clone(), error })?;
    let rule: Vec<&str> = missing.rule.iter().map(String::as_str).collect();
    run(missing.program, &[&["-I", missing.chain], &rule[..]].concat())
}

/// Opens closed chains for a network whose bridge was just created. Returns a warning for each chain that stays closed.
pub(crate) fn open(network: &Network, dns_port: u16, marks: &Path, listings: Listings) -> Vec<String> {
    let mut refused: Vec<(Missing, RuleError)> = Vec::new();
    for missing in missing(network, dns_port, listings) {
        let is_told = refused.iter().any(|(m, _)| (m.program, m.chain) == (missing.program, missing.chain));
        if let Err(why) = add(network, &missing, marks)
            && !is_told
        {
            refused.push((missing, why));
        }
    }
    let warning = |(Missing { program, chain, .. }, why): (Missing, RuleError)| {
        format!(
            "the host's firewall ({program}, chain {chain}) may keep others from pods of network {}, and from their \
             published ports: {why}",
            network.name
        )
    };
    refused.into_iter().map(warning).collect()
}

/// Undoes [`open`] for a network whose bridge was removed.
pub(crate) fn close(network: &Network, marks: &Path) {
    let mark = marks.join(&network.bridge);
    if !mark.exists() {
        return;
    }
    for program in programs(network) {
        let listing = list(program).unwrap_or_default();
        for line in listing.lines().filter(|line| names(line, &network.bridge)) {
            let rule: Vec<&str> = line.split_ascii_whitespace().skip(1).collect();
            if let Err(error) = run(program, &[&["-D"], &rule[..]].concat()) {
                tracing::warn!(program, line, %error, "a rule for a removed bridge cannot be removed");
            }
        }
    }
    let _ = fs::remove_file(mark);
}

/// NFT_MSG_GETTABLE of NFNL_SUBSYS_NFTABLES, and NFTA_TABLE_NAME (linux/netfilter/nf_tables.h).
const GET_TABLE: u16 = 10 << 8 | 1;
const TABLE_NAME: u16 = 1;

/// Returns the programs that list the filter tables in force, for each family of a network: those of the legacy kind,
/// those in nftables, or both. Returns none if there are no such tables, as on most hosts, because a legacy program
/// would create an empty table.
fn programs(network: &Network) -> Vec<&'static str> {
    const OF: [(&str, libc::c_int, [&str; 3]); 2] = [
        (
            "/proc/thread-self/net/ip_tables_names",
            libc::NFPROTO_IPV4,
            ["iptables", "iptables-legacy", "iptables-nft"],
        ),
        (
            "/proc/thread-self/net/ip6_tables_names",
            libc::NFPROTO_IPV6,
            ["ip6tables", "ip6tables-legacy", "ip6tables-nft"],
        ),
    ];
    let has_ipv6 = network.nets().any(|net| net.addr().is_ipv6());
    let mut programs = Vec::new();
    for (names, family, [either, legacy, nft]) in OF {
        if family == libc::NFPROTO_IPV6 && !has_ipv6 {
            continue;
        }
        let is_legacy = match fs::read_to_string(names) {
            Ok(text) => text.lines().any(|name| name == "filter"),
            Err(e) => e.kind() != std::io::ErrorKind::NotFound,
        };
        // A host may have one of the programs or both, and either may have the short name.
        let of_kind = |name| if is_installed(name) { name } else { either };
        programs.extend(is_legacy.then(|| of_kind(legacy)));
        programs.extend(nftables_has(family, b"filter").unwrap_or(true).then(|| of_kind(nft)));
    }
    programs.dedup();
    programs
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// Returns whether a family (NFPROTO_*) has a table of that name.
pub(crate) fn nftables_has(family: libc::c_int, table: &[u8]) -> std::io::Result<bool> {
    let socket = Socket::open()?;
    socket.send(GET_TABLE, libc::NLM_F_DUMP, u8::try_from(family).unwrap_or_default(), &[])?;
    let mut found = false;
    socket.receive(|body| {
        let named = attributes(body.get(NFGENMSG..).unwrap_or_default())
            .any(|(kind, value)| kind == TABLE_NAME && value.strip_suffix(&[0]).unwrap_or(value) == table);
        found |= named;
    })?;
    Ok(found)
}

/// Returns the rules that a network needs: chain and rule.
fn rules(network: &Network, dns_port: u16) -> Vec<(&'static str, Vec<String>)> {
    let bridge = network.bridge.as_str();
    let rule = |text: String| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let mut rules: Vec<_> = ["udp", "tcp"]
        .map(|protocol| {
            let text = format!("-i {bridge} -p {protocol} -m {protocol} --dport {dns_port} -j ACCEPT");
            ("INPUT", rule(text))
        })
        .into();
    // On hosts that filter bridges, packets between endpoints of one network pass FORWARD too. An internal network has
    // no way out, but its pods reach Services, and answer.
    rules.push(if network.internal {
        ("FORWARD", rule(format!("-i {bridge} -o {bridge} -j ACCEPT")))
    } else {
        ("FORWARD", rule(format!("-i {bridge} -j ACCEPT")))
    });
    if network.internal {
        let states = "-m conntrack --ctstate RELATED,ESTABLISHED";
        rules.push(("FORWARD", rule(format!("-i {bridge} {states} -j ACCEPT"))));
    }
    rules.extend([
        ("FORWARD", rule(format!("-o {bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"))),
        ("FORWARD", rule(format!("-o {bridge} -m conntrack --ctstate DNAT -j ACCEPT"))),
    ]);
    rules
}

/// Returns whether a chain, in the form in which `iptables -S` lists it, may drop packets: it has a policy other than
/// ACCEPT, or rules that do more than accept. (The rules for bridges of other instances only accept.)
fn closes(listing: &str, chain: &str) -> bool {
    let (policy, rule) = (format!("-P {chain} "), format!("-A {chain} "));
    listing.lines().any(|line| {
        (line.starts_with(&rule) && !line.trim_end().ends_with(" -j ACCEPT"))
            || line.strip_prefix(&policy).is_some_and(|policy| policy != "ACCEPT")
    })
}

fn has(listing: &str, chain: &str, rule: &[String]) -> bool {
    let wanted = format!("-A {chain} {}", rule.join(" "));
    listing.lines().any(|line| line.trim_end() == wanted)
}

/// Returns whether a line is a rule of the bridge.
fn names(line: &str, bridge: &str) -> bool {
    line.starts_with("-A ") && line.split_ascii_whitespace().any(|word| word == bridge)
}

fn listing(program: &str) -> Command {
    let mut command = Command::new(program);
    command.args(["-w", "-S"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// Lists the filter table. Returns `None` if there is no such program, or no such table.
fn list(program: &str) -> Option<String> {
    text(listing(program).output().ok()?)
}

fn text(output: Output) -> Option<String> {
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn run(program: &'static str, args: &[&str]) -> Result<(), RuleError> {
    let output = Command::new(program).arg("-w").args(args).stdout(Stdio::null()).output();
    let output = output.map_err(|error| RuleError::CannotRun { program, error })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let reason = said.trim().lines().next().unwrap_or("it failed").to_owned();
    Err(RuleError::Refused { program, args: args.join(" "), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: &str = "-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n";
    const DOCKER: &str = "-P INPUT ACCEPT\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n-N DOCKER-USER\n\
                          -A FORWARD -j DOCKER-USER\n-A FORWARD -o docker0 -j DOCKER\n";

    #[test]
    fn an_open_firewall_is_left_alone() {
        assert!(!closes(OPEN, "FORWARD") && !closes(OPEN, "INPUT"));
        assert!(closes(DOCKER, "FORWARD") && !closes(DOCKER, "INPUT"));
        let other = "-P FORWARD ACCEPT\n-A FORWARD -i kube-12345678 -j ACCEPT\n";
        assert!(!closes(other, "FORWARD"), "rules that only accept drop nothing");
        // The policy accepts, but the last rule rejects the remaining packets.
        assert!(closes("-P INPUT ACCEPT\n-A INPUT -j REJECT\n", "INPUT"));
    }

    #[test]
    fn only_rules_of_the_bridge_itself_are_undone() {
        assert!(names("-A FORWARD -i kube-12345678 -j ACCEPT", "kube-12345678"));
        assert!(!names("-A FORWARD -i kube-123456789 -j ACCEPT", "kube-12345678"));
        assert!(!names("-N kube-12345678", "kube-12345678"));
    }
}
