//! Answers that do not say yes, turned into errors.
//!
//! A body is believed only where its type says what it is: JSON of the API, XML of the storage. Pages
//! and texts of whatever stands between are only quoted. A body that cannot be read tells nothing,
//! and its status still does.

use std::time::{Duration, SystemTime};

use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER};
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::error::{Error, one_line};
use super::error_kind::ErrorKind;
use super::error_table;
use super::retry;
use super::transport::{header, read};
use super::wire::Fields;

/// What an error may say of itself.
const LARGEST_REFUSAL: usize = 16 << 10;

/// Reads an answer that does not say yes; each piece of its body comes within `limit`.
pub(super) async fn refusal(response: Response, asked: &str, limit: Duration) -> Error {
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

/// The error envelope of the API. Fields of a wrong type count as missing: there is a status still. Others speak JSON,
/// too: what has neither a type that is known, nor repeats its status as the service does, is theirs.
fn of_api(status: u16, body: &[u8]) -> Option<Told> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let fields = Fields::of(&value, "error").ok()?;
    let text = |name: &str| fields.text(name).ok().flatten().map(str::to_owned);
    let api_type = text("type").or_else(|| text("title"))?;
    let is_of_the_service = value.get("http-code").is_some() || error_table::api_kind(&api_type).is_some();
    let data = fields.object("data").ok().flatten();
    is_of_the_service.then(|| Told {
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
