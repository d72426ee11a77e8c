//! The loop of the name server: one thread, which waits for sockets and deadlines and sleeps while nobody asks.
//!
//! `poll` is its epoll, `files` what it reads, `connection` a client's TCP connection, `forwards` are the questions to
//! the host's name servers.

mod connection;
mod files;
mod forwards;
mod poll;

use std::collections::{BTreeSet, HashMap};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

use connection::{Connection, Step};
use files::Files;
use forwards::{Forwards, ReplyTo};
use poll::{Interest, Poll, Ready};

use super::answer::{self, Decision};
use super::control;
use super::message::{Query, Transport};
use super::zone::Zone;
use crate::route;

/// How many packets or connections of one socket are taken before the others have their turn.
const BATCH: usize = 64;

/// How many connections there are at most, and how many of one client.
const CONNECTIONS: usize = 256;
const CONNECTIONS_PER_CLIENT: usize = 32;

/// The longest packet that is read: as long as an answer, although queries are much shorter.
const LONGEST_PACKET: usize = 4096;

/// Why the name server cannot start, or cannot do what it was told.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// Its epoll or its control socket cannot be made.
    #[error("{0}")]
    Kernel(#[from] io::Error),
    /// A file of its own cannot be read.
    #[error("{0}")]
    Files(#[from] crate::Error),
    /// An address is taken by another program.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address and port.
        address: SocketAddr,
        /// The reason.
        source: io::Error,
    },
}

/// What a descriptor is.
#[derive(Debug)]
enum Source {
    Control(Rc<UnixListener>),
    Packets(Rc<UdpSocket>, IpAddr),
    Listener(Rc<TcpListener>, IpAddr),
    Connection(Box<Connection>),
    /// A question to a name server of the host; with the key of what it is asked for.
    Question(u64),
}

/// What has become of a query.
enum Handled {
    /// It is answered now.
    Answer(Vec<u8>),
    /// It is answered once this question is.
    Forwarded(u64),
    /// It gets no answer.
    Dropped,
}

/// The name server.
pub(super) struct Server {
    files: Files,
    port: u16,
    poll: Poll,
    sources: HashMap<u64, Source>,
    /// The keys of the two sockets of each gateway.
    listening: HashMap<IpAddr, [u64; 2]>,
    zone: Zone,
    forwards: Forwards,
    turn: usize,
}

impl Server {
    /// Reads the files of a folder and listens on the gateways of its networks. The control socket exists before the
    /// files are read, so that no change of them is missed.
    pub(super) fn start(dir: &Path, port: u16) -> Result<Self, Error> {
        let mut poll = Poll::new()?;
        let control = control::listen(dir)?;
        let key = poll.key();
        poll.watch(control.as_fd(), key, Interest::Input)?;
        let mut server = Self {
            files: Files::new(PathBuf::from(dir)),
            port,
            poll,
            sources: HashMap::from([(key, Source::Control(Rc::new(control)))]),
            listening: HashMap::new(),
            zone: Zone::default(),
            forwards: Forwards::default(),
            turn: 0,
        };
        server.reload()?;
        Ok(server)
    }

    /// Returns whether there is anybody to serve.
    pub(super) fn has_networks(&self) -> bool {
        self.zone.gateways().next().is_some()
    }

    /// Reads the files if they have changed, and listens on exactly the gateways that they name. A gateway that is no
    /// address of this host at the moment is tried again the next time.
    fn reload(&mut self) -> Result<(), Error> {
        if let Some((endpoints, services)) = self.files.read_if_changed()? {
            self.zone = Zone::new(endpoints, services);
        }
        let wanted: BTreeSet<IpAddr> = self.zone.gateways().collect();
        let sources = &mut self.sources;
        self.listening.retain(|gateway, keys| {
            let stays = wanted.contains(gateway);
            if !stays {
                for key in keys {
                    sources.remove(key);
                }
            }
            stays
        });
        let mut problem = None;
        for gateway in wanted {
            if !self.listening.contains_key(&gateway)
                && let Err(source) = self.listen(gateway)
                && source.kind() != ErrorKind::AddrNotAvailable
            {
                problem = Some(Error::Listen { address: SocketAddr::new(gateway, self.port), source });
            }
        }
        problem.map_or(Ok(()), Err)
    }

    fn listen(&mut self, gateway: IpAddr) -> io::Result<()> {
        let packets = UdpSocket::bind((gateway, self.port))?;
        packets.set_nonblocking(true)?;
        let listener = TcpListener::bind((gateway, self.port))?;
        listener.set_nonblocking(true)?;
        let keys = [self.poll.key(), self.poll.key()];
        self.poll.watch(packets.as_fd(), keys[0], Interest::Input)?;
        self.poll.watch(listener.as_fd(), keys[1], Interest::Input)?;
        self.sources.insert(keys[0], Source::Packets(Rc::new(packets), gateway));
        self.sources.insert(keys[1], Source::Listener(Rc::new(listener), gateway));
        self.listening.insert(gateway, keys);
        Ok(())
    }

    /// Serves until the process is killed, or until the kernel refuses to wait.
    pub(super) fn run(&mut self) -> Error {
        let mut ready: Vec<Ready> = Vec::new();
        let mut has_worked = true;
        loop {
            if let Err(e) = self.poll.wait(&mut ready, has_worked.then_some(base::memory::QUIET)) {
                return e.into();
            }
            let was_idle = ready.is_empty();
            if was_idle && has_worked {
                base::memory::give_back();
            }
            has_worked = !was_idle;
            for event in ready.drain(..) {
                self.handle_event(event);
            }
            let now = Instant::now();
            while let Some(key) = self.poll.take_expired(now) {
                self.handle_deadline(key, now);
            }
        }
    }

    fn handle_event(&mut self, event: Ready) {
        match self.sources.get(&event.key) {
            Some(Source::Control(listener)) => {
                let listener = listener.clone();
                self.accept_control(&listener);
            }
            Some(Source::Packets(socket, gateway)) => {
                let (socket, gateway) = (socket.clone(), *gateway);
                self.receive(&socket, gateway);
            }
            Some(Source::Listener(listener, gateway)) => {
                let (listener, gateway) = (listener.clone(), *gateway);
                self.accept(&listener, gateway);
            }
            Some(Source::Connection(connection)) if event.is_over && connection.waiting.is_some() => {
                self.close(event.key);
            }
            Some(Source::Connection(_)) => self.serve(event.key),
            Some(Source::Question(question)) => {
                let question = *question;
                self.read_answer(question, event.key);
            }
            // It was closed while another event was handled.
            None => {}
        }
    }

    fn handle_deadline(&mut self, key: u64, now: Instant) {
        if matches!(self.sources.get(&key), Some(Source::Connection(_))) {
            self.close(key);
        } else {
            self.ask_again(key, now);
        }
    }

    fn accept_control(&mut self, listener: &UnixListener) {
        while let Ok((stream, _)) = listener.accept() {
            let problem = self.reload().err().map(|e| e.to_string());
            control::reply(stream, problem.as_deref());
        }
    }

    fn receive(&mut self, socket: &Rc<UdpSocket>, gateway: IpAddr) {
        let mut buffer = [0; LONGEST_PACKET];
        for _ in 0..BATCH {
            let (length, client) = match socket.recv_from(&mut buffer) {
                Ok(received) => received,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                // The refusal of an earlier answer, or an interruption.
                Err(_) => continue,
            };
            let query = buffer.get(..length).unwrap_or_default();
            let reply_to = ReplyTo::Packet(socket.clone(), client);
            if let Handled::Answer(answer) = self.handle(query, Transport::Udp, client, gateway, reply_to) {
                let _ = socket.send_to(&answer, client);
            }
        }
    }

    fn accept(&mut self, listener: &TcpListener, gateway: IpAddr) {
        for _ in 0..BATCH {
            let (stream, client) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(_) => continue,
            };
            let now = Instant::now();
            let all = self.sources.values().filter_map(|source| match source {
                Source::Connection(connection) => Some(connection.client.ip()),
                _ => None,
            });
            let (of_all, of_client) =
                all.fold((0, 0), |(all, own), ip| (all + 1, own + usize::from(ip == client.ip())));
            if of_all >= CONNECTIONS || of_client >= CONNECTIONS_PER_CLIENT || !self.is_client(client.ip()) {
                continue;
            }
            let Ok(connection) = Connection::new(stream, client, gateway, now) else { continue };
            let key = self.poll.key();
            if self.poll.watch(connection.stream.as_fd(), key, Interest::Input).is_ok() {
                self.poll.set_deadline(connection.deadline, key);
                self.sources.insert(key, Source::Connection(Box::new(connection)));
            }
        }
    }

    /// Gives a connection its turn.
    fn serve(&mut self, key: u64) {
        let Some(Source::Connection(mut connection)) = self.sources.remove(&key) else { return };
        self.poll.clear_deadline(connection.deadline, key);
        let now = Instant::now();
        connection.begin_turn();
        let interest = loop {
            match connection.step(now) {
                Step::Query(query) => {
                    let (client, gateway) = (connection.client, connection.gateway);
                    match self.handle(&query, Transport::Tcp, client, gateway, ReplyTo::Connection(key)) {
                        Handled::Answer(answer) => connection.answer(&answer, now),
                        Handled::Forwarded(question) => connection.wait_for(question, now),
                        Handled::Dropped => return,
                    }
                }
                Step::Wait(interest) => break interest,
                Step::Close => return,
            }
        };
        if self.poll.change(connection.stream.as_fd(), key, interest).is_ok() {
            self.poll.set_deadline(connection.deadline, key);
            self.sources.insert(key, Source::Connection(connection));
        }
    }

    /// Closes a connection, and forgets the question whose answer it waits for.
    fn close(&mut self, key: u64) {
        let Some(Source::Connection(connection)) = self.sources.remove(&key) else { return };
        self.poll.clear_deadline(connection.deadline, key);
        if let Some(question) = connection.waiting {
            self.forget_question(question);
        }
    }

    /// Returns whether a client may ask: one in a subnet of a network, or this host.
    fn is_client(&self, ip: IpAddr) -> bool {
        self.zone.contains(ip) || route::is_host_address(ip)
    }

    fn handle(
        &mut self,
        query: &[u8],
        transport: Transport,
        client: SocketAddr,
        gateway: IpAddr,
        reply_to: ReplyTo,
    ) -> Handled {
        if !self.is_client(client.ip()) {
            return Handled::Dropped;
        }
        let query = match Query::parse(query, transport) {
            Ok(query) => query,
            Err(fault) => return fault.answer().map_or(Handled::Dropped, Handled::Answer),
        };
        let Some(view) = self.zone.view(client.ip(), gateway) else { return Handled::Dropped };
        self.turn = self.turn.wrapping_add(1);
        match answer::decide(&query, &view, self.turn) {
            Decision::Answer(answer) => Handled::Answer(answer.encode(&query)),
            Decision::Forward(forward) => self.forward(query, forward, client.ip(), reply_to),
        }
    }

    /// Sends the answer to a question that was forwarded.
    fn deliver(&mut self, reply_to: ReplyTo, answer: &[u8]) {
        match reply_to {
            ReplyTo::Packet(socket, client) => drop(socket.send_to(answer, client)),
            ReplyTo::Connection(key) => {
                if let Some(Source::Connection(connection)) = self.sources.get_mut(&key) {
                    self.poll.clear_deadline(connection.deadline, key);
                    connection.answer(answer, Instant::now());
                    self.serve(key);
                }
            }
        }
    }
}
