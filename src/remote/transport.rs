//! One HTTP request and its answer: sent, timed, counted, and every failure turned into an [`Error`].
//!
//! Redirects are never followed, so neither credentials nor signed URLs can be led astray. Timeouts
//! are given by whoever asks. Bodies of errors are read up to some KiB, bodies of answers up to a
//! bound.

use std::sync::Once;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{RequestBuilder, Response};
use serde_json::Value;
use tokio::time::{Instant, timeout};
use url::Url;

use super::error::{Error, Phase, one_line};
use super::error_table::{self, ErrorKind};
use super::retry;
use super::urls::is_this_host;
use super::wire::Fields;

/// How long a connection may take to come about.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// How often a connection is asked whether it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// What an error may say of itself.
const LARGEST_REFUSAL: usize = 16 << 10;

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
        // A connection that went dead in silence is noticed before a call waits on it in vain.
        .tcp_keepalive(KEEP_ALIVE)
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

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim).filter(|value| !value.is_empty())
}

fn is_json(headers: &HeaderMap) -> bool {
    header(headers, CONTENT_TYPE.as_str()).is_some_and(|value| value.to_ascii_lowercase().contains("json"))
}

/// Sends a request. An answer that does not say yes becomes an error.
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

/// Reads a body of at most `bound` bytes, of which each piece comes within `limit` and the last one
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
    Error::new(kind, asked, happened).with(|d| d.phase = phase)
}

/// Is this failure one of TLS? I/O errors hide what they wrap from [`std::error::Error::source`], and
/// wrap each other.
fn is_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref());
    error.is::<rustls::Error>() || wrapped.is_some_and(|inner| is_tls(inner))
}

/// Reads an answer that does not say yes. Its body is believed only where its type says what it is:
/// JSON of the API, XML of the storage; pages and texts of whatever stands between are only quoted.
async fn refusal(response: Response, asked: &str, limit: Duration) -> Error {
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    // A body that cannot be read tells nothing; the status still does.
    let deadline = Instant::now() + limit;
    let body = read(response, asked, LARGEST_REFUSAL, limit, deadline).await.unwrap_or_default();
    let content_type = header(&headers, CONTENT_TYPE.as_str()).unwrap_or_default().to_ascii_lowercase();
    let told = if content_type.contains("json") {
        of_api(status, &body)
    } else if content_type.contains("xml") && !content_type.contains("xhtml") {
        of_storage(status, &body)
    } else {
        None
    };
    let told = told.unwrap_or_else(|| of_stranger(status, &headers, &content_type, &body));
    let request_id = told.request_id.or_else(|| header(&headers, "x-request-id").map(str::to_owned));
    let retry_after = header(&headers, RETRY_AFTER.as_str());
    Error::new(told.kind.unwrap_or_else(|| error_table::status_kind(status)), asked, told.text).with(|d| {
        d.status = Some(status);
        d.api_type = told.api_type.map(|text| one_line(&text));
        d.request_id = request_id.map(|text| one_line(&text));
        d.retry_after = retry_after.and_then(|value| retry::retry_after(value, SystemTime::now()));
        d.right_host = told
            .right_host
            .or_else(|| header(&headers, "x-files-host").map(str::to_owned))
            .map(|host| one_line(&host));
    })
}

/// What an answer says of its refusal.
#[derive(Debug, Default)]
struct Told {
    kind: Option<ErrorKind>,
    api_type: Option<String>,
    text: String,
    request_id: Option<String>,
    right_host: Option<String>,
}

/// The error envelope of the API. Fields of a wrong type count as missing: there is a status still.
fn of_api(status: u16, body: &[u8]) -> Option<Told> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let fields = Fields::of(&value, "error").ok()?;
    let text = |name: &str| fields.text(name).ok().flatten().map(str::to_owned);
    let api_type = text("type").or_else(|| text("title"))?;
    let data = fields.object("data").ok().flatten();
    Some(Told {
        kind: Some(error_table::api_kind(&api_type).unwrap_or_else(|| error_table::untyped_kind(status))),
        text: text("error").or_else(|| text("title")).unwrap_or_else(|| "refused".into()),
        request_id: text("instance"),
        right_host: data.and_then(|data| data.text("host").ok().flatten()).map(str::to_owned),
        api_type: Some(api_type),
    })
}

/// The XML error of the storage.
fn of_storage(status: u16, body: &[u8]) -> Option<Told> {
    let body = std::str::from_utf8(body).ok()?;
    let element = |name: &str| {
        let (_, rest) = body.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(text, _)| text.trim().to_owned())
    };
    let code = element("Code")?;
    Some(Told {
        kind: Some(error_table::storage_kind(&code).unwrap_or_else(|| error_table::untyped_kind(status))),
        text: element("Message").unwrap_or_else(|| "refused by the storage".into()),
        request_id: element("RequestId"),
        api_type: Some(code),
        right_host: None,
    })
}

/// An answer of something that is not the service: a proxy, a web server, or the service's oldest way
/// to name another host.
fn of_stranger(status: u16, headers: &HeaderMap, content_type: &str, body: &[u8]) -> Told {
    let body = String::from_utf8_lossy(body);
    let mut told = Told::default();
    if status == 403 && body.starts_with("You have connected to a URL") {
        told.kind = Some(ErrorKind::WrongHost);
    }
    let location = header(headers, LOCATION.as_str()).and_then(|to| Url::parse(to).ok());
    told.right_host = location.and_then(|to| to.host_str().map(str::to_owned));
    told.text = match (&told.right_host, body.trim()) {
        (Some(host), _) => format!("redirected to {host}, where credentials are not sent"),
        (None, "") => "refused without a word".into(),
        (None, _) if content_type.contains("html") => "answered with a web page".into(),
        (None, text) => text.to_owned(),
    };
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_envelope_of_the_api_is_read_leniently() {
        let told =
            of_api(404, br#"{"error":"Not Found.","http-code":"404","instance":"6ebd","type":"not-found"}"#)
                .unwrap();
        assert_eq!((told.kind, told.request_id.as_deref()), (Some(ErrorKind::NotFound), Some("6ebd")));
        let region = br#"{"type":"not-authenticated/lockout-region-mismatch","data":{"host":"eu.files.com"},"errors":["x"]}"#;
        assert_eq!(of_api(403, region).unwrap().right_host.as_deref(), Some("eu.files.com"));
        assert!(of_api(404, b"{}").is_none());
        assert!(of_api(404, b"<html>").is_none());
    }

    #[test]
    fn the_xml_of_the_storage_is_read() {
        let told = of_storage(
            503,
            b"<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>Reduce</Message></Error>",
        );
        assert_eq!(told.unwrap().kind, Some(ErrorKind::RateLimited));
        assert!(of_storage(503, b"<html><body>no</body></html>").is_none());
    }
}
