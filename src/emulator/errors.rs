//! The two shapes of a refusal: the API's JSON envelope and the storage's XML.
//!
//! The type decides the HTTP status by its group, with the exceptions that the catalogue names.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::clock::Time;

/// A refusal of the API.
#[derive(Debug, Clone)]
pub(super) struct ApiError {
    pub(super) kind: Cow<'static, str>,
    pub(super) text: String,
    /// Overrides the status of the group.
    pub(super) status: Option<u16>,
    pub(super) data: Option<Value>,
    pub(super) retry_after: Option<String>,
}

impl ApiError {
    pub(super) fn new(kind: impl Into<Cow<'static, str>>, text: impl Into<String>) -> Self {
        Self { kind: kind.into(), text: text.into(), status: None, data: None, retry_after: None }
    }

    pub(super) fn not_found() -> Self {
        Self::new("not-found", "Not Found.  This may be related to your permissions.")
    }

    pub(super) fn exists() -> Self {
        Self::new("processing-failure/destination-exists", "The destination exists.")
    }

    pub(super) fn parent_missing() -> Self {
        Self::new(
            "processing-failure/destination-parent-does-not-exist",
            "The destination parent folder does not exist.",
        )
    }

    pub(super) fn invalid(text: impl Into<String>) -> Self {
        Self::new("bad-request/request-params-invalid", text)
    }

    pub(super) fn required(name: &str) -> Self {
        Self::new("bad-request/request-params-required", format!("{name} is required"))
    }

    pub(super) fn status(&self, bad_request: u16) -> u16 {
        self.status.unwrap_or_else(|| status_of(&self.kind, bad_request))
    }

    /// The envelope, without the request id, which the answering side knows.
    pub(super) fn envelope(&self, status: u16, instance: &str, code_is_text: bool) -> Value {
        let code = if code_is_text { json!(status.to_string()) } else { json!(status) };
        let mut envelope = json!({
            "error": self.text,
            "http-code": code,
            "instance": instance,
            "title": title(&self.kind),
            "type": self.kind,
        });
        if let (Some(data), Some(object)) = (&self.data, envelope.as_object_mut()) {
            object.insert("data".into(), data.clone());
        }
        envelope
    }
}

/// The HTTP status that the catalogue gives a type.
fn status_of(kind: &str, bad_request: u16) -> u16 {
    match kind {
        "processing-failure/destination-parent-does-not-exist" => return 409,
        "processing-failure/folder-locked" | "not-authenticated/lockout-region-mismatch" => return 403,
        "download_request_expired" | "upload_request_expired" => return 403,
        "download_request_not_found" => return 404,
        _ => {}
    }
    match kind.split('/').next().unwrap_or_default() {
        "bad-request" => bad_request,
        "not-authenticated" => 401,
        "not-authorized" | "site-configuration" => 403,
        "not-found" => 404,
        "rate-limited" => 429,
        // `service-unavailable` too: the service answers 422 there, never 503.
        _ => 422,
    }
}

/// `bad-request/datetime-parse` is titled `Datetime Parse`.
fn title(kind: &str) -> String {
    let name = kind.rsplit('/').next().unwrap_or_default();
    let mut title = String::with_capacity(name.len());
    for word in name.split(['-', '_']) {
        if !title.is_empty() {
            title.push(' ');
        }
        let mut letters = word.chars();
        title.extend(letters.next().map(|c| c.to_ascii_uppercase()));
        title.push_str(letters.as_str());
    }
    title
}

/// A refusal of the storage.
#[derive(Debug, Clone)]
pub(super) struct StorageError {
    pub(super) status: u16,
    pub(super) code: Cow<'static, str>,
    pub(super) message: String,
    /// Further elements, already in XML.
    pub(super) more: String,
    pub(super) headers: Vec<(String, String)>,
}

impl StorageError {
    pub(super) fn new(status: u16, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        let (code, message) = (code.into(), message.into());
        Self { status, code, message, more: String::new(), headers: Vec::new() }
    }

    pub(super) fn expired(life: u64, expires: Time, now: Time) -> Self {
        let more = format!(
            "<X-Amz-Expires>{life}</X-Amz-Expires><Expires>{}</Expires><ServerTime>{}</ServerTime>",
            expires.rfc3339(),
            now.rfc3339()
        );
        Self { more, ..Self::new(403, "AccessDenied", "Request has expired") }
    }

    pub(super) fn xml(&self, request_id: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>{}</Message>{}\
             <RequestId>{request_id}</RequestId><HostId>emulator</HostId></Error>",
            self.code, self.message, self.more
        )
    }
}
