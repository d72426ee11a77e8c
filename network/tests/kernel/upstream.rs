//! A host with name servers of its own, and clients that ask as resolvers do.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use network::names::Names;
use network::{Addresses, Endpoint};

use crate::instance::{Instance, PATIENCE, answer, example, inside};
use crate::neighbours::ip;

/// An instance on a separate host, whose resolv.conf is a file of the test.
pub(crate) struct Host {
    pub(crate) instance: Instance,
    pub(crate) netns: PathBuf,
    resolv_conf: PathBuf,
}

impl Host {
    /// Creates a host whose resolv.conf has this text. Addresses of name servers are those of its loopback.
    pub(crate) fn new(resolv_conf: &str) -> Self {
        let instance = Instance::new();
        let netns = instance.endpoint("host").netns;
        inside(&netns, || {
            ip(&["link", "set", "lo", "up"]);
            for last in 1..4 {
                ip(&["addr", "add", &format!("192.0.2.{last}/32"), "dev", "lo"]);
            }
        });
        let path = instance.dir.path().join("resolv.conf");
        std::fs::write(&path, resolv_conf).unwrap();
        Self { instance, netns, resolv_conf: path }
    }

    pub(crate) fn set_resolv_conf(&self, text: &str) {
        std::fs::write(&self.resolv_conf, text).unwrap();
    }

    /// Runs the example program on the host, in a mount namespace with its resolv.conf.
    pub(crate) fn run(&self, verb: &str, argument: &str) -> Result<String, String> {
        let (root, run_dir) = self.instance.dirs();
        let script = "mount --bind \"$0\" /etc/resolv.conf; exec \"$@\"";
        let output = inside(&self.netns, || {
            std::process::Command::new("unshare")
                .args(["--mount", "sh", "-c", script])
                .arg(&self.resolv_conf)
                .arg(example())
                .arg(verb)
                .args([&root, &run_dir])
                .arg(argument)
                .output()
                .unwrap()
        });
        answer(&output)
    }

    pub(crate) fn setup(&self, endpoint: &Endpoint) -> Addresses {
        let text = self.run("setup", &serde_json::to_string(endpoint).unwrap()).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    pub(crate) fn set_names(&self, names: &Names) {
        self.run("names", &serde_json::to_string(names).unwrap()).unwrap();
    }

    /// Returns the pid of the name server.
    pub(crate) fn server(&self) -> i32 {
        let [pid] = self.instance.dns_servers()[..] else { panic!("not one name server") };
        pid
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for id in self.instance.networks().leases().unwrap_or_default() {
            let _ = self.run("teardown", &id);
        }
    }
}

/// A packet: the port that it came from, and its bytes.
pub(crate) type Packet = (u16, Vec<u8>);

/// A name server of the host. It knows `NAME.example` for each name, and what it does depends on the first label.
pub(crate) struct Upstream {
    /// The packets that it got.
    pub(crate) packets: Arc<Mutex<Vec<Packet>>>,
}

/// The address of all names.
pub(crate) const FOUND: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

impl Upstream {
    /// Starts a name server at an address of a host. It runs until the test ends.
    pub(crate) fn start(host: &Path, address: &str) -> Self {
        let address = SocketAddr::new(address.parse().unwrap(), 53);
        let (socket, listener) =
            inside(host, || (UdpSocket::bind(address).unwrap(), TcpListener::bind(address).unwrap()));
        let packets = Arc::new(Mutex::new(Vec::new()));
        let seen = packets.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((length, client)) = socket.recv_from(&mut buffer) {
                let query = &buffer[..length];
                seen.lock().unwrap().push((client.port(), query.to_vec()));
                for reply in replies(query, false) {
                    socket.send_to(&reply, client).unwrap();
                }
            }
        });
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let Some(query) = read_message(&mut stream) else { continue };
                for reply in replies(&query, true) {
                    let _ = write_message(&mut stream, &reply);
                }
            }
        });
        Self { packets }
    }

    pub(crate) fn count(&self) -> usize {
        self.packets.lock().unwrap().len()
    }
}

/// Returns what the server sends for a query.
fn replies(query: &[u8], over_tcp: bool) -> Vec<Vec<u8>> {
    let query = Message::from_vec(query).unwrap();
    let name = query.queries[0].name().clone();
    let mut reply = query.clone().into_response();
    reply.metadata.recursion_available = true;
    let record =
        |last: u8| Record::from_rdata(name.clone(), 60, RData::A(A(Ipv4Addr::from([198, 51, 100, last]))));
    let first = name.iter().next().map(|label| String::from_utf8_lossy(label).to_ascii_lowercase());
    match first.as_deref().unwrap_or_default() {
        "silent" => return Vec::new(),
        "none" => reply.metadata.response_code = ResponseCode::NXDomain,
        "failing" => reply.metadata.response_code = ResponseCode::ServFail,
        "long" if over_tcp => reply.answers = (0..200).map(record).collect(),
        "long" => reply.metadata.truncation = true,
        "forged" => {
            let mut forged = reply.clone();
            forged.metadata.id = forged.metadata.id.wrapping_add(1);
            forged.add_answer(record(66));
            let mut other = reply.clone();
            other.queries[0].set_name(Name::from_ascii("other.example.").unwrap());
            other.add_answer(record(66));
            reply.add_answer(record(7));
            let all = [forged, other, reply];
            return all.iter().map(|message| message.to_vec().unwrap()).collect();
        }
        _ => drop(reply.add_answer(record(7))),
    }
    vec![reply.to_vec().unwrap()]
}

pub(crate) fn read_message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).ok()?;
    Some(message)
}

pub(crate) fn write_message(stream: &mut TcpStream, message: &[u8]) -> std::io::Result<()> {
    let length = u16::try_from(message.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length, message].concat())
}

pub(crate) fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

/// Asks a name server with a packet; `None` if no answer comes within `patience`.
pub(crate) fn ask_for(server: IpAddr, query: &Message, patience: Duration) -> Option<Message> {
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).unwrap();
    socket.connect((server, 53)).unwrap();
    socket.set_read_timeout(Some(patience)).unwrap();
    socket.send(&query.to_vec().unwrap()).unwrap();
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).ok()?;
    let message = Message::from_vec(&buffer[..length]).unwrap();
    assert_eq!((message.id, &message.queries), (query.id, &query.queries));
    Some(message)
}

pub(crate) fn ask(server: IpAddr, name: &str, kind: RecordType) -> Message {
    ask_for(server, &query(name, kind), PATIENCE).expect("an answer")
}

/// Asks over a connection.
pub(crate) fn ask_over_tcp(server: IpAddr, name: &str, kind: RecordType) -> Message {
    let mut stream = TcpStream::connect((server, 53)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write_message(&mut stream, &query(name, kind).to_vec().unwrap()).unwrap();
    Message::from_vec(&read_message(&mut stream).expect("an answer")).unwrap()
}

pub(crate) fn with_edns(mut message: Message, payload: u16) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(payload);
    message.set_edns(edns);
    message
}

/// Returns the data of the answers.
pub(crate) fn data(message: &Message) -> Vec<String> {
    message.answers.iter().map(|record| record.data.to_string()).collect()
}
