//! The way of a bridge through firewalls that others have closed with iptables(8): ufw's and Docker's `FORWARD`
//! drops what they do not know, on every interface, and ufw's `INPUT` even the pods' questions for names. A rule
//! of nftables that accepts does not help: the other table's verdict still comes.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::definition::Network;
use crate::nfnetlink::{NFGENMSG, Socket, attributes};

/// The host's filter tables, being asked for.
pub(crate) struct Listings {
    of: Vec<(&'static str, Child)>,
}

impl Listings {
    /// Begins to ask what is in force; the bridge can be made meanwhile.
    pub(crate) fn ask(network: &Network) -> Self {
        let asked = programs(network).filter(|program| may_filter(program));
        let of = asked.filter_map(|program| Some((program, listing(program).spawn().ok()?)));
        Self { of: of.collect() }
    }

    fn answers(mut self) -> Vec<(&'static str, String)> {
        let asked = std::mem::take(&mut self.of).into_iter();
        // Every one is awaited, whatever the others say.
        let answers: Vec<_> =
            asked.map(|(program, child)| (program, child.wait_with_output().ok())).collect();
        answers.into_iter().filter_map(|(program, output)| Some((program, text(output?)?))).collect()
    }
}

impl Drop for Listings {
    /// Nobody wants to know any more: no process is left behind.
    fn drop(&mut self) {
        for (_, child) in &mut self.of {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Opens the way for a network whose bridge was just made. `marks` is a folder where it is remembered that there
/// is something to undo. What fails is logged: the host may have no such firewall in force.
pub(crate) fn open(network: &Network, dns_port: u16, marks: &Path, listings: Listings) {
    for (program, listing) in listings.answers() {
        for (chain, rule) in rules(network, dns_port) {
            if !closes(&listing, chain) || has(&listing, chain, &rule) {
                continue;
            }
            let mark = marks.join(&network.bridge);
            if let Err(error) = crate::create_private_dir_all(marks).and_then(|()| fs::write(&mark, [])) {
                tracing::warn!(file = %mark.display(), %error, "cannot remember an opened firewall");
                return;
            }
            let rule: Vec<&str> = rule.iter().map(String::as_str).collect();
            run(program, &[&["-I", chain], &rule[..]].concat());
        }
    }
}

/// Undoes [`open`], for a network whose bridge is gone.
pub(crate) fn close(network: &Network, marks: &Path) {
    let mark = marks.join(&network.bridge);
    if !mark.exists() {
        return;
    }
    for program in programs(network) {
        let listing = list(program).unwrap_or_default();
        for line in listing.lines().filter(|line| names(line, &network.bridge)) {
            let rule: Vec<&str> = line.split_ascii_whitespace().skip(1).collect();
            run(program, &[&["-D"], &rule[..]].concat());
        }
    }
    let _ = fs::remove_file(mark);
}

/// NFT_MSG_GETTABLE of NFNL_SUBSYS_NFTABLES, and NFTA_TABLE_NAME (linux/netfilter/nf_tables.h).
const GET_TABLE: u16 = 10 << 8 | 1;
const TABLE_NAME: u16 = 1;

/// False if there is no filter table that a program could list, neither of the old kind nor in nftables: most hosts
/// have none, and a program of the old kind would make one only to find it empty.
fn may_filter(program: &str) -> bool {
    let (names, family) = match program {
        "ip6tables" => ("/proc/thread-self/net/ip6_tables_names", libc::NFPROTO_IPV6),
        _ => ("/proc/thread-self/net/ip_tables_names", libc::NFPROTO_IPV4),
    };
    let old = match fs::read_to_string(names) {
        Ok(text) => text.lines().any(|name| name == "filter"),
        Err(e) => e.kind() != std::io::ErrorKind::NotFound,
    };
    old || nftables_has(family, b"filter").unwrap_or(true)
}

/// True if a family (NFPROTO_*) has a table of that name.
fn nftables_has(family: libc::c_int, table: &[u8]) -> std::io::Result<bool> {
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

fn programs(network: &Network) -> impl Iterator<Item = &'static str> {
    let has_ipv6 = network.nets().any(|net| net.addr().is_ipv6());
    ["iptables", "ip6tables"].into_iter().filter(move |program| *program == "iptables" || has_ipv6)
}

/// What a network needs: chain and rule.
fn rules(network: &Network, dns_port: u16) -> Vec<(&'static str, Vec<String>)> {
    let bridge = network.bridge.as_str();
    let rule = |text: String| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let mut rules: Vec<_> = ["udp", "tcp"]
        .map(|protocol| {
            let text = format!("-i {bridge} -p {protocol} -m {protocol} --dport {dns_port} -j ACCEPT");
            ("INPUT", rule(text))
        })
        .into();
    // On hosts that filter bridges, neighbours go through FORWARD too.
    if network.internal {
        rules.push(("FORWARD", rule(format!("-i {bridge} -o {bridge} -j ACCEPT"))));
    } else {
        rules.extend([
            ("FORWARD", rule(format!("-i {bridge} -j ACCEPT"))),
            ("FORWARD", rule(format!("-o {bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"))),
            ("FORWARD", rule(format!("-o {bridge} -m conntrack --ctstate DNAT -j ACCEPT"))),
        ]);
    }
    rules
}

/// True if a chain, as `iptables -S` lists it, may stop anything: it has a policy other than ACCEPT, or rules that
/// do more than accept (as those for the bridges of other instances do).
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

/// True if a line is a rule of the bridge.
fn names(line: &str, bridge: &str) -> bool {
    line.starts_with("-A ") && line.split_ascii_whitespace().any(|word| word == bridge)
}

fn listing(program: &str) -> Command {
    let mut command = Command::new(program);
    command.args(["-w", "-S"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// The filter table. `None` where there is no such program, or no such table.
fn list(program: &str) -> Option<String> {
    text(listing(program).output().ok()?)
}

fn text(output: Output) -> Option<String> {
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn run(program: &str, args: &[&str]) {
    match Command::new(program).arg("-w").args(args).stdout(Stdio::null()).output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            tracing::warn!(program, ?args, said, "the host's firewall may keep pods from each other");
        }
        Err(error) => {
            tracing::warn!(program, ?args, %error, "the host's firewall may keep pods from each other");
        }
    }
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
        assert!(!closes(other, "FORWARD"), "what only accepts stops nothing");
        // Accepting by policy, and rejecting what is left at the end.
        assert!(closes("-P INPUT ACCEPT\n-A INPUT -j REJECT\n", "INPUT"));
    }

    #[test]
    fn only_rules_of_the_bridge_itself_are_undone() {
        assert!(names("-A FORWARD -i kube-12345678 -j ACCEPT", "kube-12345678"));
        assert!(!names("-A FORWARD -i kube-123456789 -j ACCEPT", "kube-12345678"));
        assert!(!names("-N kube-12345678", "kube-12345678"));
    }
}
