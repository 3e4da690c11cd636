//! Enough of HTTP/1.1 (RFC 9112) to talk to a registry and to be one: one request a connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::wait;

/// A request.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `GET`, `PUT` …
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Fields, names in lower case.
    pub fields: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A request without a body.
    pub fn new(method: &str, target: &str) -> Self {
        Self { method: method.into(), target: target.into(), ..Self::default() }
    }

    /// The same with a field.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_lowercase(), value.into()));
        self
    }

    /// The same with a body.
    pub fn carrying(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self
    }

    /// A field's value.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Sends it and waits for the answer.
    #[track_caller]
    pub fn send(&self, server: SocketAddr) -> Answer {
        let mut stream =
            TcpStream::connect(server).unwrap_or_else(|error| panic!("connect to {server}: {error}"));
        stream.set_read_timeout(Some(wait::PATIENCE)).expect("a time-out above zero");
        let mut head = format!("{} {} HTTP/1.1\r\nhost: {server}\r\n", self.method, self.target);
        for (name, value) in &self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\nconnection: close\r\n\r\n", self.body.len()));
        stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(&self.body))
            .expect("send a request");
        let mut reader = BufReader::new(stream);
        let (first, fields) = read_head(&mut reader).expect("an answer");
        let status = first.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status code");
        let mut body = Vec::new();
        reader.read_to_end(&mut body).expect("a body");
        Answer { status, fields, body }
    }
}

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Fields, names in lower case.
    pub fields: Vec<(String, String)>,
    /// The body as it came.
    pub body: Vec<u8>,
}

impl Answer {
    /// Its status is this one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self
    }

    /// A field's value.
    #[track_caller]
    pub fn field(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_else(|| panic!("no {name} in {:?}", self.fields))
    }
}

/// Reads a request from a connection; none where the client has gone.
pub fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let (first, fields) = read_head(&mut reader)?;
    let mut words = first.split(' ');
    let mut request =
        Request { method: words.next()?.into(), target: words.next()?.into(), fields, body: Vec::new() };
    let length = request.field("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    request.body = vec![0; length];
    reader.read_exact(&mut request.body).ok()?;
    Some(request)
}

/// The first line, and the fields up to the empty one.
fn read_head(reader: &mut impl BufRead) -> Option<(String, Vec<(String, String)>)> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let field = |line: &String| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_lowercase(), value.trim().to_owned()))
    };
    let fields = lines.iter().skip(1).filter_map(field).collect();
    Some((lines.first()?.clone(), fields))
}
