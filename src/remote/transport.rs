//! One HTTP request and its answer: sent, timed, counted, and every failure turned into an [`Error`].
//!
//! Redirects are never followed, so neither credentials nor signed URLs can be led astray. Timeouts
//! are given by whoever asks. Bodies are read up to a bound.

use std::sync::Once;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap};
use reqwest::{RequestBuilder, Response};
use serde_json::Value;
use tokio::time::{Instant, timeout};
use url::Url;

use super::error::{Error, Phase};
use super::error_kind::ErrorKind;
use super::refusal::refusal;
use super::retry::stall_limit;
use super::urls::is_this_host;

/// How long a connection may take to come about.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// How often a connection is asked whether it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// A client for one kind of host: with HTTP/2 for the API, without it for storage, where one
/// connection for all transfers would be as slow as one.
pub(super) fn http_client(
    base: &Url,
    network_timeout: Duration,
    http2: bool,
) -> Result<reqwest::Client, Error> {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // It fails where the program that embeds this library has chosen one already: that one serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("filescomfs/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(CONNECT_LIMIT.min(network_timeout / 2))
        .pool_idle_timeout(Duration::from_secs(30))
        .tcp_nodelay(true)
        // A connection that went dead in silence is noticed before a call waits on it in vain: one that is
        // idle, and one whose other end takes no more bytes.
        .tcp_keepalive(KEEP_ALIVE)
        .tcp_user_timeout(stall_limit(network_timeout).max(Duration::from_millis(1)))
        .http2_keep_alive_interval(KEEP_ALIVE)
        .http2_keep_alive_timeout(CONNECT_LIMIT);
    if !http2 {
        builder = builder.http1_only();
    }
    if is_this_host(base) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| failed(error, base.as_str()).with(|d| d.kind = ErrorKind::Tls))
}

/// An answer that says yes.
#[derive(Debug)]
pub(super) struct Answer {
    /// What was asked.
    pub asked: String,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// When the attempt that was answered began: what was signed for it is no older.
    pub began: Instant,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Result<Value, Error> {
        let misread = |what: String| {
            Error::new(ErrorKind::Protocol, &self.asked, what).with(|d| d.status = Some(self.status))
        };
        if !is_json(&self.headers) && self.headers.contains_key(CONTENT_TYPE) {
            return Err(misread("the answer is not JSON, so it is not one of Files.com".into()));
        }
        serde_json::from_slice(&self.body)
            .map_err(|error| misread(format!("the answer is not whole or not JSON: {error}")))
    }
}

pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim).filter(|value| !value.is_empty())
}

fn is_json(headers: &HeaderMap) -> bool {
    header(headers, CONTENT_TYPE.as_str()).is_some_and(|value| value.to_ascii_lowercase().contains("json"))
}

/// Sends a request. An answer that does not say yes becomes an error. Dropped, or without an answer in time, the
/// request may have been carried out.
pub(super) async fn send(request: RequestBuilder, asked: &str, limit: Duration) -> Result<Response, Error> {
    let response = match timeout(limit, request.send()).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return Err(failed(error, asked)),
        Err(_) => return Err(no_answer(asked, limit)),
    };
    if response.status().is_success() { Ok(response) } else { Err(refusal(response, asked, limit).await) }
}

/// Nothing came within `limit`.
pub(super) fn no_answer(asked: &str, limit: Duration) -> Error {
    Error::new(ErrorKind::Timeout, asked, format!("no answer within {limit:.1?}"))
        .with(|d| d.phase = Phase::Unanswered)
}

/// Reads a body of at most `bound` bytes (dropped, the answer is lost, and with it whether it was a good one), of which each piece comes within `limit` and the last one
/// before `deadline`.
pub(super) async fn read(
    mut response: Response,
    asked: &str,
    bound: usize,
    limit: Duration,
    deadline: Instant,
) -> Result<Bytes, Error> {
    let mut body = Vec::new();
    loop {
        let limit = limit.min(deadline.saturating_duration_since(Instant::now()));
        match timeout(limit, response.chunk()).await {
            Ok(Ok(Some(piece))) if body.len() + piece.len() > bound => {
                let happened = format!("the answer is larger than {bound} bytes");
                return Err(Error::new(ErrorKind::Protocol, asked, happened));
            }
            Ok(Ok(Some(piece))) => body.extend_from_slice(&piece),
            Ok(Ok(None)) => return Ok(body.into()),
            Ok(Err(error)) => return Err(failed(error, asked)),
            Err(_) => return Err(no_answer(asked, limit)),
        }
    }
}

/// The `Date` of an answer, as seconds ahead of `now`.
pub(super) fn clock_skew(headers: &HeaderMap, now: SystemTime) -> Option<i64> {
    let seconds = |time: SystemTime| crate::model::moment::Moment::from(time).seconds;
    let date = httpdate::parse_http_date(header(headers, DATE.as_str())?).ok()?;
    Some(seconds(date) - seconds(now))
}

/// What became of a request that got no answer.
pub(super) fn failed(error: reqwest::Error, asked: &str) -> Error {
    let (connect, slow, dns) = (error.is_connect(), error.is_timeout(), error.is_dns());
    let builder = error.is_builder();
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    let mut tls = false;
    loop {
        tls |= is_tls(cause);
        match cause.source() {
            Some(deeper) => cause = deeper,
            None => break,
        }
    }
    let kind = match () {
        () if builder => ErrorKind::BadRequest,
        () if dns => ErrorKind::HostUnknown,
        () if tls => ErrorKind::Tls,
        () if slow => ErrorKind::Timeout,
        () => ErrorKind::Network,
    };
    let phase = if connect || builder { Phase::Unsent } else { Phase::Unanswered };
    let happened = if connect { format!("no connection: {cause}") } else { cause.to_string() };
    let is_no_host = dns && happened.contains(&no_such_name());
    Error::new(kind, asked, happened).with(|d| (d.phase, d.is_no_host) = (phase, is_no_host))
}

/// What the resolver says of a name that does not exist: its number does not come through.
fn no_such_name() -> String {
    // SAFETY: the answer is a text of the library's own, which is never changed.
    let text = unsafe { std::ffi::CStr::from_ptr(libc::gai_strerror(libc::EAI_NONAME)) };
    text.to_string_lossy().into_owned()
}

/// Is this failure one of TLS? I/O errors hide what they wrap from [`std::error::Error::source`], and
/// wrap each other.
fn is_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref());
    error.is::<rustls::Error>() || wrapped.is_some_and(|inner| is_tls(inner))
}
