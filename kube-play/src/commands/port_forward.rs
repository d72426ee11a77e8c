//! `kube port-forward`: forward ports of this host to a pod.

mod destination;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use pod_core::inside::connect;
use pod_core::lifecycle::Phase;
use pod_core::observe::changes::Changes;
use pod_core::observe::{PodView, pods_of};
use pod_core::store::Layout;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use self::destination::Forward;
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

  # A port of a Service: a Ready pod behind it is chosen, and the target port of that pod
  kube port-forward service/shop 8080:80

  # Reachable from other machines
  kube port-forward web 8080:80 --address 0.0.0.0")]
pub struct Args {
    /// Pod: NAME, pod/NAME, or deployment/NAME or service/NAME for one of its pods
    #[arg(value_name = "POD")]
    pub pod: String,
    /// Ports: REMOTE, LOCAL:REMOTE, or :REMOTE for a free port of this machine; REMOTE is a number or a name
    #[arg(value_name = "[LOCAL:]REMOTE", required = true)]
    pub ports: Vec<String>,
    /// Listen on these addresses; localhost means 127.0.0.1 and ::1
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', default_value = "localhost")]
    pub address: Vec<String>,
}

/// A socket that accepts connections for a port.
struct Listener {
    socket: TcpListener,
    forward: Forward,
}

/// Runs `kube port-forward`.
///
/// # Errors
/// No such pod or Service (4); a port is not valid (2); the pod does not run or ends, or a port of this host is taken (1).
pub fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    context.repair()?;
    let changes = Changes::new(&context.layout)?;
    let (pod, forwards) = destination::find(context, &args.pod, &args.ports)?;
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
    use super::*;

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
