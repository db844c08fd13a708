//! Answers as bytes: the header lines that the API and the storage send.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};

use super::call::Reply;
use super::clock::Time;
use super::errors::{ApiError, StorageError};
use super::hex::random_id;
use super::settings::Settings;

pub(super) fn set_status(response: &mut Response<Body>, status: u16) {
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
}

fn put(response: &mut Response<Body>, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
}

/// Header lines that every answer of the API has.
fn common(response: &mut Response<Body>, request_id: &str, settings: &Settings, now: Time) {
    for (name, value) in [
        ("cache-control", "no-cache, no-store, max-age=0, must-revalidate"),
        ("expires", "Fri, 01 Jan 1990 00:00:00 GMT"),
        ("pragma", "no-cache"),
        ("referrer-policy", "same-origin"),
        ("server", "files.com"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "SAMEORIGIN"),
    ] {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    put(response, "x-request-id", request_id);
    if settings.clock_offset_ms != 0 {
        put(response, "date", &now.http());
    }
}

pub(super) fn reply(reply: Reply, settings: &Settings, now: Time) -> Response<Body> {
    let has_body = !reply.body.is_empty();
    let mut response = Response::new(Body::from(reply.body));
    set_status(&mut response, reply.status);
    common(&mut response, &random_id(), settings, now);
    if has_body {
        put(&mut response, "content-type", "application/json");
    }
    if reply.is_cacheable {
        put(&mut response, "x-files-cache-for-seconds", "900");
        put(&mut response, "x-files-safe-to-cache", "true");
    }
    for (name, value) in &reply.headers {
        put(&mut response, name, value);
    }
    response
}

pub(super) fn refusal(error: &ApiError, settings: &Settings, now: Time) -> Response<Body> {
    let status = error.status(settings.bad_request_status);
    let request_id = random_id();
    let envelope = error.envelope(status, &request_id, settings.http_code_is_text);
    let mut response = Response::new(Body::from(envelope.to_string()));
    set_status(&mut response, status);
    common(&mut response, &request_id, settings, now);
    put(&mut response, "content-type", "application/json");
    put(&mut response, "x-files-error-class", &error.kind);
    if let Some(after) = &error.retry_after {
        put(&mut response, "retry-after", after);
    }
    response
}

pub(super) fn storage_refusal(error: &StorageError) -> Response<Body> {
    let request_id = random_id();
    let mut response = Response::new(Body::from(error.xml(&request_id)));
    set_status(&mut response, error.status);
    put(&mut response, "content-type", "application/xml");
    put(&mut response, "server", "AmazonS3");
    put(&mut response, "x-amz-request-id", &request_id);
    for (name, value) in &error.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value))
        {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// An answer of the storage that is no refusal.
pub(super) fn stored(status: u16, headers: &[(&'static str, &str)], body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    set_status(&mut response, status);
    put(&mut response, "server", "AmazonS3");
    put(&mut response, "x-amz-server-side-encryption", "AES256");
    put(&mut response, "x-amz-request-id", &random_id());
    for (name, value) in headers {
        put(&mut response, name, value);
    }
    response
}

/// Length of the content of an answer, as it is promised.
pub(super) fn promised(response: &Response<Body>) -> u64 {
    let length = response.headers().get(header::CONTENT_LENGTH);
    length.and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok()).unwrap_or(0)
}
