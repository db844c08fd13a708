//! A server that does what it is told, the wrong things above all.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

/// A request as it came over the wire.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// Path and query, still encoded.
    pub target: String,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
    /// Where the server listens, for answers that name a URL.
    pub base: String,
}

impl Request {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn is(&self, method: &str, start_of_target: &str) -> bool {
        self.method == method && self.target.starts_with(start_of_target)
    }
}

#[derive(Debug, Clone)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    fault: Fault,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// Reads the request and hangs up.
    NoAnswer,
    /// Reads the request and says nothing.
    Silence,
    /// Hangs up after so many bytes of the body.
    Cut(usize),
    /// Stops after so many bytes of the body, and keeps the line open.
    Stall(usize),
}

impl Reply {
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![
            ("Content-Type".to_owned(), content_type.to_owned()),
            ("Server".to_owned(), "files.com".to_owned()),
            ("X-Request-Id".to_owned(), "9c7da79351a2d47df0bc91dc08a68802".to_owned()),
        ];
        Self { status, headers, body: body.into(), fault: Fault::None }
    }

    pub fn json(status: u16, value: &Value) -> Self {
        Self::new(status, "application/json", value.to_string())
    }

    /// An error of the API, as its envelope is recorded.
    pub fn error(status: u16, api_type: &str, text: &str) -> Self {
        let body = json!({ "error": text, "http-code": status, "instance": "5b12251d03a1f2f650f1423cd5cbab22",
            "title": "Title", "type": api_type });
        Self::json(status, &body)
    }

    pub fn not_found() -> Self {
        Self::error(404, "not-found", "Not Found.  This may be related to your permissions.")
    }

    /// An error of the storage.
    pub fn xml(status: u16, code: &str, message: &str) -> Self {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>\
             <RequestId>R1</RequestId><HostId>H</HostId></Error>"
        );
        Self::new(status, "application/xml", body)
    }

    /// Bytes of the storage.
    pub fn bytes(status: u16, body: &[u8], etag: &str) -> Self {
        Self::new(status, "application/octet-stream", body).header("ETag", &format!("\"{etag}\""))
    }

    /// The request arrives, the answer does not.
    pub fn lost() -> Self {
        Self { fault: Fault::NoAnswer, ..Self::new(200, "", "") }
    }

    pub fn silence() -> Self {
        Self { fault: Fault::Silence, ..Self::new(200, "", "") }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// One more line of a name that is there already.
    pub fn also(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// In pieces, without a length, as the service answers most questions.
    pub fn chunked(mut self) -> Self {
        let middle = self.body.len() / 2;
        let chunk = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
        let (first, second) = self.body.split_at(middle);
        self.body = [chunk(first), chunk(second), b"0\r\n\r\n".to_vec()].concat();
        self.header("Transfer-Encoding", "chunked")
    }

    pub fn without_content_type(mut self) -> Self {
        self.headers.retain(|(name, _)| name != "Content-Type");
        self
    }

    pub fn cut_after(self, bytes: usize) -> Self {
        Self { fault: Fault::Cut(bytes), ..self }
    }

    pub fn stall_after(self, bytes: usize) -> Self {
        Self { fault: Fault::Stall(bytes), ..self }
    }
}

type Answer = dyn FnMut(&Request) -> Reply + Send;

pub struct Server {
    base: Url,
    seen: Arc<Mutex<Vec<Request>>>,
    connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub async fn start(answer: impl FnMut(&Request) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
        let answer: Arc<Mutex<Box<Answer>>> = Arc::new(Mutex::new(Box::new(answer)));
        let (record, origin) = (Arc::clone(&seen), base.origin().ascii_serialization());
        let connections: Arc<AtomicUsize> = Arc::default();
        let accepted = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(converse(stream, origin.clone(), Arc::clone(&record), Arc::clone(&answer)));
            }
        });
        Self { base, seen, connections, task }
    }

    pub fn base(&self) -> Url {
        self.base.clone()
    }

    /// Everything that was asked, in order.
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// `METHOD target` of everything that was asked.
    pub fn asked(&self) -> Vec<String> {
        self.seen().iter().map(|request| format!("{} {}", request.method, request.target)).collect()
    }
}

async fn converse(
    stream: TcpStream,
    base: String,
    seen: Arc<Mutex<Vec<Request>>>,
    answer: Arc<Mutex<Box<Answer>>>,
) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream, &base).await {
        seen.lock().unwrap().push(request.clone());
        let reply = (answer.lock().unwrap())(&request);
        if reply.fault == Fault::NoAnswer {
            return;
        }
        if reply.fault == Fault::Silence {
            return std::future::pending().await;
        }
        let mut head = format!("HTTP/1.1 {} Reason\r\n", reply.status);
        let told = ["Content-Length", "Transfer-Encoding"];
        if !reply.headers.iter().any(|(name, _)| told.contains(&name.as_str())) {
            head += &format!("Content-Length: {}\r\n", reply.body.len());
        }
        for (name, value) in &reply.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let body = match reply.fault {
            Fault::Cut(bytes) | Fault::Stall(bytes) => &reply.body[..bytes],
            _ => &reply.body[..],
        };
        let sent = [head.as_bytes(), b"\r\n", body].concat();
        if stream.write_all(&sent).await.is_err() || matches!(reply.fault, Fault::Cut(_)) {
            return;
        }
        if matches!(reply.fault, Fault::Stall(_)) {
            return std::future::pending().await;
        }
    }
}

async fn read(stream: &mut BufReader<TcpStream>, base: &str) -> Option<Request> {
    let mut line = String::new();
    if stream.read_line(&mut line).await.ok()? == 0 {
        return None;
    }
    let mut words = line.split_ascii_whitespace().map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request { method, target, headers, body, base: base.to_owned() })
}
