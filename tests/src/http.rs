//! A small HTTP client and server on loopback.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// A response.
#[derive(Debug, Clone)]
pub struct Response {
    /// `200`, ...
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// Returns the value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends one request.
pub fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Response> {
    let mut stream = TcpStream::connect_timeout(&address, crate::limit(5))?;
    stream.set_read_timeout(Some(crate::limit(20)))?;
    let is_host = |(name, _): &&(&str, &str)| name.eq_ignore_ascii_case("host");
    let host = if headers.iter().any(|header| is_host(&header)) {
        String::new()
    } else {
        format!("Host: {address}\r\n")
    };
    let mut head =
        format!("{method} {path} HTTP/1.1\r\n{host}Connection: close\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(head.as_bytes())?;
    stream.write_all(b"\r\n")?;
    stream.write_all(body)?;
    let mut reader = BufReader::new(stream);
    let (first, headers) = read_head(&mut reader)?;
    let status = first.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    let length = headers.iter().find(|(n, _)| n == "content-length").and_then(|(_, v)| v.parse().ok());
    let mut body = Vec::new();
    match length {
        _ if method == "HEAD" => {}
        Some(length) => {
            body.resize(length, 0);
            reader.read_exact(&mut body)?;
        }
        None => {
            reader.read_to_end(&mut body)?;
        }
    }
    Ok(Response { status, headers, body })
}

/// Requests a page by GET and returns its body.
#[track_caller]
pub fn get(address: SocketAddr, path: &str) -> String {
    match request(address, "GET", path, &[], b"") {
        Ok(response) if response.status == 200 => response.text(),
        other => panic!("GET http://{address}{path}: {other:?}"),
    }
}

fn read_head(reader: &mut impl BufRead) -> std::io::Result<(String, Vec<(String, String)>)> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim_end().is_empty() {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    let first = lines.first().cloned().unwrap_or_default();
    let headers = lines.iter().skip(1).filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    });
    Ok((first, headers.collect()))
}

/// A request as the server receives it.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, ...
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Request {
    /// Returns the value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// The answer of a server.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The response; a missing Content-Length is added.
    pub response: Response,
    /// The connection is closed after so many bytes of the body.
    pub cut_after: Option<usize>,
}

/// Starts a server on a free port of loopback, which runs until the test's process ends.
pub fn serve(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answer = Arc::clone(&answer);
            thread::spawn(move || {
                let _ = serve_one(stream, &*answer);
            });
        }
    });
    address
}

fn serve_one(stream: TcpStream, answer: &dyn Fn(&Request) -> Answer) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (first, headers) = read_head(&mut reader)?;
    let mut words = first.split(' ');
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(()) };
    let request = Request { method: method.to_owned(), path: path.to_owned(), headers };
    let Answer { response, cut_after } = answer(&request);
    let length = match response.header("content-length") {
        Some(length) => length.to_owned(),
        None => response.body.len().to_string(),
    };
    let mut head =
        format!("HTTP/1.1 {} X\r\nConnection: close\r\nContent-Length: {length}\r\n", response.status);
    for (name, value) in &response.headers {
        if !["content-length", "connection", "transfer-encoding"].contains(&name.as_str()) {
            head += &format!("{name}: {value}\r\n");
        }
    }
    let mut stream = stream;
    stream.write_all(head.as_bytes())?;
    stream.write_all(b"\r\n")?;
    let end = cut_after.unwrap_or(usize::MAX).min(response.body.len());
    if request.method != "HEAD" {
        stream.write_all(&response.body[..end])?;
    }
    Ok(())
}

/// Starts a server that answers every request with the same text.
pub fn serve_text(text: &str) -> SocketAddr {
    let text = text.to_owned();
    serve(move |_| Answer {
        response: Response {
            status: 200,
            headers: vec![("content-type".into(), "text/plain".into())],
            body: text.clone().into_bytes(),
        },
        cut_after: None,
    })
}
