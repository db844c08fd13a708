//! The door for whoever runs the emulator: settings, faults, counters, files, as JSON below `/admin/`.
//!
//! Requests here are neither logged nor delayed nor met by faults.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Response, header};
use serde_json::{Value, json};

use super::faults::Fault;
use super::respond::set_status;
use super::settings::Settings;
use super::shared::Shared;

/// What `GET /` shows.
const PAGE: &str = "\
filescom-emulator: Files.com in miniature

API        /api/rest/v1/...   (X-FilesAPI-Key, or X-FilesAPI-Auth from POST /sessions)
Storage    by signed URLs, on a port of its own (storage_listen in the settings)

GET    /admin/settings        all settings
POST   /admin/settings        changes those that the JSON object names, e.g. {\"latency_ms\": 40}
GET    /admin/faults          faults that wait
POST   /admin/faults          orders one, e.g. {\"kind\": \"complete\", \"after\": true, \"what\": \"reset\"}
                              or {\"kind\": \"part\", \"times\": 3, \"what\": {\"storage\": {\"status\": 503, \"code\": \"SlowDown\"}}}
DELETE /admin/faults          cancels them
GET    /admin/stats           counters by kind of request; line_in, line_out: bytes that passed since the start
GET    /admin/requests        the log of requests
DELETE /admin/requests        forgets log and counters
GET    /admin/files           all files: size, MD5 and CRC32 of the stored bytes, times, metadata
PUT    /admin/files/PATH      another client's upload
DELETE /admin/files/PATH      another client's deletion
POST   /admin/tree            {\"path\": \"big\", \"folders\": 1000, \"files\": 1000, \"bytes\": 1}: folders of files
POST   /admin/clock           {\"advance_ms\": 60000} turns the clock: what expires, expires
";

pub(super) async fn serve(shared: &Arc<Shared>, head: &Parts, body: Body) -> Response<Body> {
    let Ok(body) = to_bytes(body, 1 << 30).await else {
        return answer(400, &json!({"error": "the body could not be read"}));
    };
    let path = head.uri.path();
    if path == "/" {
        let mut response = Response::new(Body::from(PAGE));
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, plain);
        return response;
    }
    let done = || answer(200, &json!({"done": true}));
    match (head.method.as_str(), path.strip_prefix("/admin/").unwrap_or_default()) {
        ("GET", "settings") => answer(200, &json!(*shared.settings())),
        ("POST" | "PATCH", "settings") => match merged(&shared.settings(), &body) {
            Ok(settings) => {
                shared.change(|now| *now = settings);
                answer(200, &json!(*shared.settings()))
            }
            Err(error) => answer(422, &json!({"error": error.to_string()})),
        },
        ("GET", "faults") => answer(200, &json!(shared.faults.waiting())),
        ("POST", "faults") => match ordered(&body) {
            Ok(fault) => {
                shared.faults.inject(fault);
                done()
            }
            Err(error) => answer(422, &json!({"error": error})),
        },
        ("DELETE", "faults") => {
            shared.faults.clear();
            done()
        }
        ("GET", "stats") => answer(200, &stats(shared)),
        ("GET", "requests") => answer(200, &json!(shared.log_book().requests())),
        ("DELETE", "requests") => {
            shared.log_book().clear();
            done()
        }
        ("GET", "files") => {
            let shared = shared.clone();
            // Hashing what nobody has hashed yet may take a while.
            let files = tokio::task::spawn_blocking(move || json!(shared.files())).await;
            answer(200, &files.unwrap_or_default())
        }
        ("POST", "tree") => match serde_json::from_slice(&body) {
            Ok(Grove { path, folders, files, bytes }) => {
                let shared = shared.clone();
                let plant = move || shared.plant(&path, folders, files, bytes);
                match tokio::task::spawn_blocking(plant).await {
                    Ok(Ok(())) => done(),
                    Ok(Err(error)) => answer(422, &json!({"error": error.to_string()})),
                    Err(error) => answer(500, &json!({"error": error.to_string()})),
                }
            }
            Err(error) => answer(422, &json!({"error": error.to_string()})),
        },
        ("POST", "clock") => {
            let by = serde_json::from_slice::<Value>(&body).ok().and_then(|v| v.get("advance_ms")?.as_i64());
            let Some(by) = by else { return answer(422, &json!({"error": "advance_ms is missing"})) };
            shared.change(|settings| settings.clock_offset_ms = settings.clock_offset_ms.saturating_add(by));
            done()
        }
        (method, rest) => match (method, rest.strip_prefix("files/").and_then(decoded)) {
            ("PUT", Some(path)) => match shared.put(&path, &body) {
                Ok(()) => done(),
                Err(error) => answer(422, &json!({"error": error.to_string()})),
            },
            ("DELETE", Some(path)) if shared.delete(&path) => done(),
            ("DELETE", Some(path)) => answer(404, &json!({"error": format!("there is nothing at {path:?}")})),
            _ => answer(404, &json!({"error": "there is no such route; GET / lists them"})),
        },
    }
}

/// Folders of files, more than anybody uploads one by one: `folder-000000/file-0000000000.dat` and so on.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Grove {
    /// Where; the root of the site if it is not said.
    #[serde(default)]
    path: String,
    folders: usize,
    /// In each folder.
    files: usize,
    /// In each file; all files have the same.
    #[serde(default)]
    bytes: usize,
}

/// The counters of the log, and what went over the line since the start, downloads that were given up included.
fn stats(shared: &Shared) -> Value {
    let mut counts = json!(shared.log_book().counts());
    counts["line_in"] = json!(shared.up.passed());
    counts["line_out"] = json!(shared.down.passed());
    counts
}

/// A fault that can happen, or why it cannot.
fn ordered(body: &[u8]) -> Result<Fault, String> {
    let fault: Fault = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    fault.check().map_err(|error| error.to_string())?;
    Ok(fault)
}

fn decoded(path: &str) -> Option<String> {
    Some(percent_encoding::percent_decode_str(path).decode_utf8().ok()?.into_owned())
}

/// The settings with what the object names put in place. Unknown names are an error.
fn merged(settings: &Settings, body: &[u8]) -> serde_json::Result<Settings> {
    let mut all = serde_json::to_value(settings)?;
    let changes: serde_json::Map<String, Value> = serde_json::from_slice(body)?;
    if let Value::Object(all) = &mut all {
        all.extend(changes);
    }
    serde_json::from_value(all)
}

/// JSON, with a line end for whoever reads it in a terminal.
fn answer(status: u16, value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{value}\n")));
    set_status(&mut response, status);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
