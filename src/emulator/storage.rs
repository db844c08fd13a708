//! The storage: parts come in, content goes out, by signed URLs and on a port of its own.
//!
//! It knows nothing of callers: whoever has a URL may use it while it lives. A download goes on serving
//! the version that its URL was made for, whatever has happened at the path since.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, Method, Response, header};
use futures_util::{StreamExt, stream};

use super::connection::Line;
use super::errors::StorageError;
use super::faults::Effect;
use super::hex::{base64, hex, random_id};
use super::log::LoggedRequest;
use super::object::{Object, Reader};
use super::respond;
use super::settings::Settings;
use super::shared::Shared;
use super::spoil::{arriving, interfere, spoil};
use super::uploads::StoredPart;

/// Path of every object at the storage, up to its id.
pub(super) const OBJECTS: &str = "/objects.emulator/metadata/1/";

/// What a storage request is about.
struct Target {
    kind: &'static str,
    path: String,
    object: Option<Arc<Object>>,
}

impl Target {
    fn of(shared: &Shared, method: &Method, path: &str, query: &str) -> Self {
        let world = &mut shared.world();
        if method == Method::PUT {
            let upload = field(query, "uploadId").and_then(|number| number.parse().ok());
            let path = upload.and_then(|number| Some(world.uploads.get_mut(number)?.path.clone()));
            return Self { kind: "part", path: path.unwrap_or_default(), object: None };
        }
        let granted = path.strip_prefix(OBJECTS).and_then(|id| world.grants.get(id));
        let (object, path) = granted.map(|(object, path)| (object.clone(), path.to_owned())).unzip();
        Self { kind: "fetch", path: path.unwrap_or_default(), object }
    }
}

fn field(query: &str, name: &str) -> Option<String> {
    url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, v)| v.into_owned())
}

/// Serves one request.
pub(super) async fn serve(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(line): ConnectInfo<Line>,
    request: Request,
) -> Response<Body> {
    let settings = shared.settings();
    if settings.storage_latency_ms > 0 {
        tokio::time::sleep(Duration::from_millis(settings.storage_latency_ms)).await;
    }
    let (head, body) = request.into_parts();
    let query = head.uri.query().unwrap_or_default();
    let target = Target::of(&shared, &head.method, head.uri.path(), query);
    let fault = shared.faults.meet(target.kind, head.method.as_str(), &target.path);
    let effect = fault.as_ref().map(|fault| &fault.what);
    let mut received = 0;
    let early = match &fault {
        Some(fault) if !fault.after => interfere(&shared.faults, fault, &line, &settings, shared.now()).await,
        _ => None,
    };
    let mut response = if let Some(early) = early {
        if effect != Some(&Effect::Reset) {
            drain(body).await;
        }
        early
    } else {
        let now = shared.now();
        let url = if effect == Some(&Effect::ExpireUrl) {
            Err(StorageError::expired(0, now, now))
        } else {
            shared.signer.check(head.method.as_str(), head.uri.path(), query, now)
        };
        let outcome = match (url, target.kind) {
            (Err(error), _) => {
                drain(body).await;
                Err(error)
            }
            (Ok(()), "part") => {
                let asked = Asked { headers: &head.headers, query, effect, line: &line };
                receive(&shared, &settings, asked, body, &mut received).await
            }
            (Ok(()), _) => send(&shared, &head.headers, query, target.object.as_ref()),
        };
        let answer = outcome.unwrap_or_else(|error| respond::storage_refusal(&error));
        let replaced = match &fault {
            Some(fault) if fault.after => interfere(&shared.faults, fault, &line, &settings, now).await,
            _ => None,
        };
        replaced.unwrap_or(answer)
    };
    if let Some(effect) = effect {
        response = spoil(response, effect);
    }
    let status = if line.is_cut() { 0 } else { response.status().as_u16() };
    let bytes = if target.kind == "part" { received } else { respond::promised(&response) };
    shared.log(
        LoggedRequest {
            method: head.method.to_string(),
            path: target.path,
            query: String::new(),
            status,
            kind: target.kind,
            bytes,
            body: String::new(),
        },
        &settings,
    );
    response
}

/// Lets a client finish sending before it is refused, so that it sees the refusal and no reset.
async fn drain(body: Body) {
    let mut pieces = body.into_data_stream();
    while let Some(Ok(_)) = pieces.next().await {}
}

/// What goes with the bytes of a part.
struct Asked<'a> {
    headers: &'a HeaderMap,
    query: &'a str,
    effect: Option<&'a Effect>,
    line: &'a Line,
}

/// `PUT`: one part.
async fn receive(
    shared: &Shared,
    settings: &Settings,
    asked: Asked<'_>,
    body: Body,
    received: &mut u64,
) -> Result<Response<Body>, StorageError> {
    let Asked { headers, query, effect, line } = asked;
    let internal = |error: io::Error| StorageError::new(500, "InternalError", error.to_string());
    let no_upload = || StorageError::new(404, "NoSuchUpload", "The specified upload does not exist.");
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let length: Option<u64> = text("content-length").and_then(|length| length.parse().ok());
    let refusal = match length {
        None => Some(StorageError::new(411, "MissingContentLength", "You must provide Content-Length.")),
        Some(length) if length > settings.part_size_max => {
            Some(StorageError::new(400, "EntityTooLarge", "Your proposed upload is too large."))
        }
        Some(_) => None,
    };
    if let Some(refusal) = refusal {
        drain(body).await;
        return Err(refusal);
    }
    let number: u64 = field(query, "uploadId").and_then(|n| n.parse().ok()).ok_or_else(no_upload)?;
    let part: u32 = field(query, "partNumber").and_then(|n| n.parse().ok()).ok_or_else(no_upload)?;

    let mut writer = shared.depot.writer().map_err(internal)?;
    // What the sender is told may differ from what is stored only under a fault.
    let mut told = matches!(effect, Some(Effect::FlipStored)).then(<md5::Md5 as md5::Digest>::new);
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| {
            StorageError::new(400, "IncompleteBody", "The request body was shorter than Content-Length.")
        })?;
        shared.up.pass(piece.len(), shared.settings().bandwidth_bits).await;
        if let Some(told) = &mut told {
            md5::Digest::update(told, &piece);
        }
        let Some(piece) = arriving(effect, piece, writer.len()) else {
            line.cut();
            return Err(StorageError::new(400, "IncompleteBody", "The connection was cut."));
        };
        writer.push(piece).map_err(internal)?;
    }
    *received = writer.len();
    let stored = writer.finish();
    let md5 = told.map_or(stored.md5, |told| md5::Digest::finalize(told).into());
    if text("content-md5").is_some_and(|claimed| claimed != base64(&md5)) {
        return Err(StorageError::new(400, "BadDigest", "The Content-MD5 you specified did not match."));
    }
    let etag = if settings.opaque_etags {
        format!("opaque-{}", random_id())
    } else if settings.has_own_encryption() {
        random_id()
    } else {
        hex(&md5)
    };
    let upload = &mut shared.world();
    let upload =
        upload.uploads.get_mut(number).filter(|upload| !upload.is_completed).ok_or_else(no_upload)?;
    upload.parts.insert(part, StoredPart { part: Arc::new(stored), etag: etag.clone() });
    let lines = [
        ("content-length", "0"),
        ("etag", &*format!("\"{etag}\"")),
        ("x-amz-server-side-encryption", &*settings.encryption),
    ];
    Ok(respond::stored(200, &lines, Body::empty()))
}

/// `GET`: content, or a range of it.
fn send(
    shared: &Arc<Shared>,
    headers: &HeaderMap,
    query: &str,
    object: Option<&Arc<Object>>,
) -> Result<Response<Body>, StorageError> {
    let object =
        object.ok_or_else(|| StorageError::new(404, "NoSuchKey", "The specified key does not exist."))?;
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let etag = format!("\"{}\"", object.etag);
    if text(header::IF_MATCH)
        .is_some_and(|wanted| wanted != "*" && !wanted.split(',').any(|one| one.trim() == etag))
    {
        return Err(StorageError::new(
            412,
            "PreconditionFailed",
            "At least one of the pre-conditions you specified did not hold",
        ));
    }
    let asked = text(header::RANGE).and_then(|range| parse_range(range, object.size));
    let (status, range) = match asked {
        None => (200, 0..object.size),
        Some(range) if range.start < object.size => (206, range),
        Some(_) => {
            let mut error = StorageError::new(416, "InvalidRange", "The requested range is not satisfiable");
            error.headers.push(("content-range".into(), format!("bytes */{}", object.size)));
            return Err(error);
        }
    };
    let content_range = format!("bytes {}-{}/{}", range.start, range.end.saturating_sub(1), object.size);
    let length = (range.end - range.start).to_string();
    let given = |name: &str, default: &str| field(query, name).unwrap_or_else(|| default.to_owned());
    let (kind, disposition, cache) = (
        given("response-content-type", "application/octet-stream"),
        given("response-content-disposition", "attachment"),
        given("response-cache-control", "no-cache"),
    );
    let modified = object.stored_at.http();
    let encryption = shared.settings().encryption.clone();
    let mut lines = vec![
        ("x-amz-server-side-encryption", &*encryption),
        ("accept-ranges", "bytes"),
        ("cache-control", &cache),
        ("content-disposition", &disposition),
        ("content-type", &kind),
        ("content-length", &length),
        ("etag", &etag),
        ("last-modified", &modified),
    ];
    if status == 206 {
        lines.push(("content-range", &content_range));
    }
    Ok(respond::stored(status, &lines, outgoing(shared.clone(), object.clone(), range)))
}

fn outgoing(shared: Arc<Shared>, object: Arc<Object>, range: Range<u64>) -> Body {
    let reader = Reader::new(object, range);
    Body::from_stream(stream::unfold((reader, shared), |(mut reader, shared)| async move {
        let piece: io::Result<Bytes> = reader.next().transpose()?;
        if let Ok(piece) = &piece {
            shared.down.pass(piece.len(), shared.settings().bandwidth_bits).await;
        }
        Some((piece, (reader, shared)))
    }))
}

/// One range of bytes; `None` for everything that is not well formed, which is then ignored.
fn parse_range(text: &str, size: u64) -> Option<Range<u64>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let digits =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok())?;
    match (first, last) {
        ("", last) => Some(match digits(last)? {
            0 => size..size,
            count => size.saturating_sub(count)..size,
        }),
        (first, "") => Some(digits(first)?..size),
        (first, last) => {
            let (first, last) = (digits(first)?, digits(last)?);
            (first <= last).then(|| first..size.min(last.saturating_add(1)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_ranges_are_ignored() {
        for text in
            ["bytes=0--1", "bytes=5-2", "bytes=-", "bytes=a-b", "items=0-1", "bytes=0-1,3-4", "bytes=+1-2"]
        {
            assert_eq!(parse_range(text, 10), None, "{text}");
        }
        assert_eq!(parse_range("bytes=2-4", 10), Some(2..5));
        assert_eq!(parse_range("bytes=2-", 10), Some(2..10));
        assert_eq!(parse_range("bytes=-3", 10), Some(7..10));
        assert_eq!(parse_range("bytes=8-99", 10), Some(8..10));
        assert_eq!(parse_range("bytes=0-0", 0), Some(0..0));
    }
}
