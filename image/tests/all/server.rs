//! A small HTTP server that does as it is told, misbehaviour included.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// With the query.
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: HashMap<String, String>,
    /// The body as text.
    pub(crate) body: String,
    /// The body.
    pub(crate) bytes: Vec<u8>,
}

/// What to answer.
#[derive(Clone)]
pub(crate) enum Reply {
    /// Status, further headers, body.
    Answer(u16, Vec<(String, String)>, Vec<u8>),
    /// Announces so many bytes, sends these, and closes the connection.
    Cut(u64, Vec<u8>),
    /// Announces so many bytes, sends these, and then nothing.
    Silence(u64, Vec<u8>),
    /// Announces so many bytes and sends one at a time, with a pause.
    Drip(u64, Duration),
    /// Bytes without end.
    Endless,
    /// Closes the connection without a word.
    Hang,
}

/// A server on loopback, until it is dropped.
pub(crate) struct Server {
    pub(crate) port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let stop: Arc<AtomicBool> = Arc::default();
        let (log, stopped, answer) = (Arc::clone(&requests), Arc::clone(&stop), Arc::new(answer));
        let thread = std::thread::Builder::new().spawn(move || {
            let mut connections = Vec::new();
            for connection in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let (log, stopped, answer) = (Arc::clone(&log), Arc::clone(&stopped), Arc::clone(&answer));
                let serve = move || {
                    // A client that goes away is its own affair.
                    let _served = serve(&connection.unwrap(), &log, &stopped, &*answer);
                };
                connections.push(std::thread::Builder::new().spawn(serve).unwrap());
            }
            for connection in connections {
                connection.join().unwrap();
            }
        });
        Self { port, requests, stop, thread: Some(thread.unwrap()) }
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// How many requests had this in their path.
    pub(crate) fn count(&self, part: &str) -> usize {
        self.requests().iter().filter(|request| request.path.contains(part)).count()
    }

    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the listener.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn serve(
    connection: &TcpStream,
    log: &Mutex<Vec<Request>>,
    stopped: &AtomicBool,
    answer: &(impl Fn(&Request) -> Reply + ?Sized),
) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection);
    let Some(request) = read(&mut reader)? else { return Ok(()) };
    log.lock().unwrap().push(request.clone());
    let mut out = connection;
    let head =
        |length: u64| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    match answer(&request) {
        Reply::Answer(status, headers, body) => {
            write!(out, "HTTP/1.1 {status} X\r\nConnection: close\r\n")?;
            for (name, value) in headers {
                write!(out, "{name}: {value}\r\n")?;
            }
            write!(out, "Content-Length: {}\r\n\r\n", body.len())?;
            if request.method == "HEAD" { Ok(()) } else { out.write_all(&body) }
        }
        Reply::Cut(length, bytes) => {
            write!(out, "{}", head(length))?;
            out.write_all(&bytes)
        }
        Reply::Silence(length, bytes) => {
            write!(out, "{}", head(length))?;
            out.write_all(&bytes)?;
            out.flush()?;
            until_closed(connection, stopped, Duration::from_millis(20), || Ok(()))
        }
        Reply::Drip(length, pause) => {
            write!(out, "{}", head(length))?;
            until_closed(connection, stopped, pause, || out.write_all(b"x"))
        }
        Reply::Endless => {
            write!(out, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            loop {
                out.write_all(&[b'x'; 65536])?;
            }
        }
        Reply::Hang => Ok(()),
    }
}

/// Does something again and again until the client goes away or the test ends.
fn until_closed(
    connection: &TcpStream,
    stopped: &AtomicBool,
    pause: Duration,
    mut act: impl FnMut() -> std::io::Result<()>,
) -> std::io::Result<()> {
    connection.set_read_timeout(Some(pause))?;
    let mut reader = connection;
    while !stopped.load(Ordering::SeqCst) {
        act()?;
        // Waits for the client to close, at most for the pause.
        if matches!(reader.read(&mut [0; 1]), Ok(0)) {
            break;
        }
    }
    Ok(())
}

fn read(reader: &mut impl BufRead) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(None) };
    let (method, path) = (method.to_owned(), path.to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.to_owned()),
            None => break,
        };
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let text = String::from_utf8_lossy(&body).into_owned();
    Ok(Some(Request { method, path, headers, body: text, bytes: body }))
}
