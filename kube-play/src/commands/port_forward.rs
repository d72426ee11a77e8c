//! `kube port-forward`: forward ports of this host to a pod.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Container;
use pod_core::inside::connect;
use pod_core::lifecycle::Phase;
use pod_core::observe::changes::Changes;
use pod_core::observe::{PodView, pods_of, query};
use pod_core::store::Layout;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::cli::context::Context;
use crate::output::exit::Failure;
use crate::output::{self, terminal};

// Arguments of `kube port-forward`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Forwards until Ctrl-C, or until the pod ends. Connections are made inside the pod's network, so programs that listen on \
127.0.0.1 of the pod are reached too. `kube play -p` publishes a port for as long as the pod exists.

Examples:
  # Port 8080 of this machine is port 80 of the pod
  kube port-forward web 8080:80

  # The same number on both sides; any free port of this machine; a port by its name
  kube port-forward db 5432
  kube port-forward db :5432
  kube port-forward deployment/api 8080:http

  # Reachable from other machines
  kube port-forward web 8080:80 --address 0.0.0.0")]
pub struct Args {
    /// Pod: NAME, pod/NAME, or deployment/NAME for one of its pods
    #[arg(value_name = "POD")]
    pub pod: String,
    /// Ports: REMOTE, LOCAL:REMOTE, or :REMOTE for a free port of this machine
    #[arg(value_name = "[LOCAL:]REMOTE", required = true)]
    pub ports: Vec<String>,
    /// Listen on these addresses; localhost means 127.0.0.1 and ::1
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', default_value = "localhost")]
    pub address: Vec<String>,
}

/// A port to forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Forward {
    /// The port of this host; 0 is any free one.
    local: u16,
    /// The port of the pod.
    remote: u16,
}

/// A socket that accepts connections for a port.
struct Listener {
    socket: TcpListener,
    forward: Forward,
}

/// Runs `kube port-forward`.
///
/// # Errors
/// No such pod (4); a port is not valid (2); the pod does not run or ends, or a port of this host is taken (1).
pub fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    context.repair()?;
    let changes = Changes::new(&context.layout)?;
    let pod = query::pod(&context.layout, &args.pod, &context.namespace)?;
    let forwards: Vec<Forward> =
        args.ports.iter().map(|port| parse(port, &pod)).collect::<Result<_, Failure>>()?;
    let name = pod.plan.name();
    if pod.state.phase != Phase::Running || pod.terminating {
        let phase = if pod.terminating { "Terminating" } else { pod.state.phase.as_str() };
        return Err(Failure::failed(format!("pod/{name} is not running: it is {phase}")).into());
    }
    let addresses = addresses(&args.address)?;
    let mut listeners = Vec::new();
    for forward in forwards {
        listeners.extend(listen(forward, &addresses)?);
    }
    for Listener { socket, forward } in &listeners {
        let local = socket.local_addr().context("listen")?;
        output::print(&format!("Forwarding from {local} -> {}\n", forward.remote))?;
    }
    let target = Arc::new((context.layout.clone(), pod.plan.uid.clone()));
    loop {
        let mut fds: Vec<PollFd<'_>> =
            listeners.iter().map(|listener| PollFd::new(&listener.socket, PollFlags::IN)).collect();
        fds.push(PollFd::new(&changes, PollFlags::IN));
        match poll(&mut fds, None::<&Timespec>) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("wait for connections"),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        if changes.have_come() && has_ended(&context.layout, &pod)? {
            return Err(Failure::failed(format!("lost connection to pod/{name}: it has ended")).into());
        }
        for (listener, _) in listeners.iter().zip(&ready).filter(|(_, ready)| **ready) {
            // A client that has gone away again is no error.
            while let Ok((client, _)) = listener.socket.accept() {
                let local = listener.socket.local_addr().map_or(listener.forward.local, |local| local.port());
                output::print(&format!("Handling connection for {local}\n"))?;
                let (target, remote) = (Arc::clone(&target), listener.forward.remote);
                std::thread::Builder::new()
                    .spawn(move || forward(&target.0, &target.1, remote, &client))
                    .context("start a thread")?;
            }
        }
    }
}

/// Parses `[LOCAL:]REMOTE`. The port of the pod may be the name of a containerPort.
fn parse(text: &str, pod: &PodView) -> Result<Forward, Failure> {
    let wrong = |what: &str| {
        let hint = "write REMOTE, LOCAL:REMOTE or :REMOTE, for example 8080:80";
        Failure::usage(format!("port {text:?}: {what}")).hint(hint)
    };
    let (local, remote) = match text.split_once(':') {
        Some((local, remote)) => (Some(local), remote),
        None => (None, text),
    };
    let remote = match remote.parse::<u16>() {
        Ok(0) => return Err(wrong("port 0 of the pod does not exist")),
        Ok(number) => number,
        Err(_) if remote.is_empty() || remote.bytes().all(|byte| byte.is_ascii_digit()) => {
            return Err(wrong("the port of the pod is no number from 1 to 65535"));
        }
        Err(_) => named(remote, pod).ok_or_else(|| wrong("no TCP port of the pod has this name"))?,
    };
    let local = match local {
        None => remote,
        Some("") => 0,
        Some(number) => {
            number.parse().map_err(|_| wrong("the port of this machine is no number from 0 to 65535"))?
        }
    };
    Ok(Forward { local, remote })
}

/// Returns the number of a port that a container of the pod names.
fn named(name: &str, pod: &PodView) -> Option<u16> {
    let spec = pod.plan.pod.spec.as_ref()?;
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let mut ports = containers.flat_map(|container: &Container| container.ports.iter().flatten());
    let is_meant = |protocol: Option<&str>| protocol.is_none_or(|protocol| protocol == "TCP");
    let port = ports.find(|port| port.name.as_deref() == Some(name) && is_meant(port.protocol.as_deref()))?;
    u16::try_from(port.container_port).ok()
}

/// The addresses of one `--address`, of which the first is required, unless one of the others works.
type Alternatives = Vec<IpAddr>;

fn addresses(given: &[String]) -> Result<Vec<Alternatives>, Failure> {
    let parse = |text: &String| match text.as_str() {
        "localhost" => Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]),
        text => {
            let wrong = || Failure::usage(format!("--address {text:?}: write an IP address or localhost"));
            Ok(vec![text.parse::<IpAddr>().map_err(|_| wrong())?])
        }
    };
    given.iter().map(parse).collect()
}

/// Listens for a port on all addresses. If any free port will do, it has the same number on all of them.
fn listen(forward: Forward, addresses: &[Alternatives]) -> Result<Vec<Listener>, Failure> {
    let mut forward = forward;
    let mut listeners = Vec::new();
    for alternatives in addresses {
        let mut failed = None;
        let before = listeners.len();
        for ip in alternatives {
            match bind(SocketAddr::new(*ip, forward.local)) {
                Ok(socket) => {
                    forward.local = socket.local_addr().map_or(forward.local, |local| local.port());
                    listeners.push(Listener { socket, forward });
                }
                Err(error) => {
                    failed.get_or_insert((*ip, error));
                }
            }
        }
        if let Some((ip, error)) = failed.filter(|_| listeners.len() == before) {
            let local = SocketAddr::new(ip, forward.local);
            let mut failure = Failure::failed(format!("listen on {local}: {error}"));
            if error.kind() == io::ErrorKind::AddrInUse {
                failure = failure.hint(format!("`:{}` chooses a free port", forward.remote));
            }
            return Err(failure);
        }
    }
    Ok(listeners)
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpListener::bind(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Returns whether no connection to the pod can be made any more.
fn has_ended(layout: &Layout, pod: &PodView) -> anyhow::Result<bool> {
    let pods = pods_of(layout, &pod.workload)?;
    let now = pods.iter().find(|other| other.plan.uid == pod.plan.uid);
    Ok(now.is_none_or(|now| now.state.is_terminal()))
}

/// Connects a client to the pod, and moves bytes until both sides have ended.
fn forward(layout: &Layout, uid: &str, remote: u16, client: &TcpStream) {
    let pod = match connect::to_pod(layout, uid, remote) {
        Ok(pod) => pod,
        Err(error) => {
            terminal::error(&format!("{:#}", anyhow::Error::from(error)));
            return;
        }
    };
    for side in [client, &pod] {
        // Without it small messages are late, which is no error.
        let _ = side.set_nodelay(true);
    }
    std::thread::scope(|scope| {
        scope.spawn(|| carry(client, &pod));
        carry(&pod, client);
    });
}

/// Moves bytes in one direction, and passes the end of the stream on.
fn carry(mut from: &TcpStream, mut to: &TcpStream) {
    let end = match io::copy(&mut from, &mut to) {
        Ok(_) => Shutdown::Write,
        // One side has reset the connection: the other side learns it by the end of both directions.
        Err(_) => {
            let _ = from.shutdown(Shutdown::Both);
            Shutdown::Both
        }
    };
    let _ = to.shutdown(end);
}

#[cfg(test)]
mod tests {
    use pod_core::kind::Kind;
    use serde_json::json;

    use super::*;
    use crate::tests::fixture::{context, pod, record};

    fn parsed(text: &str) -> Result<Forward, Failure> {
        let (_dir, context) = context();
        let mut plan = pod("default", "web", &json!({}));
        let ports = json!([{"containerPort": 80, "name": "http"},
            {"containerPort": 53, "name": "dns", "protocol": "UDP"}]);
        plan.pod.spec.as_mut().unwrap().containers[1].ports = serde_json::from_value(ports).unwrap();
        record(&context, Kind::Pod, "default", "web", "-", vec![plan]);
        parse(text, &pod_core::observe::pods(&context.layout).unwrap()[0])
    }

    #[test]
    fn ports_are_written_as_for_kubectl() {
        for (text, local, remote) in
            [("80", 80, 80), ("8080:80", 8080, 80), (":80", 0, 80), ("8080:http", 8080, 80), ("http", 80, 80)]
        {
            assert_eq!(parsed(text), Ok(Forward { local, remote }), "{text}");
        }
        for wrong in ["", "0", ":", "8080:", "x:80", "70000", "80:70000", "8080:dns", "8080:absent", "1:2:3"]
        {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn localhost_is_both_loopback_addresses_and_a_free_port_is_the_same_on_both() {
        let all = addresses(&["localhost".to_owned()]).unwrap();
        assert_eq!(all, [[IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)]]);
        assert!(addresses(&["example.com".to_owned()]).is_err());
        let listeners = listen(Forward { local: 0, remote: 80 }, &all).unwrap();
        let ports: Vec<u16> =
            listeners.iter().map(|listener| listener.socket.local_addr().unwrap().port()).collect();
        assert!(ports.iter().all(|port| *port == ports[0] && *port != 0), "{ports:?}");
    }
}
