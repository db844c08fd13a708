//! Faults at the edge: answers that are replaced, bodies that end early, connections that die.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderName, HeaderValue, Response, header};
use futures_util::{StreamExt, stream};

use super::clock::Time;
use super::connection::Line;
use super::errors::{ApiError, StorageError};
use super::faults::{Effect, Faults, Met};
use super::respond;
use super::settings::Settings;

/// An answer in place of the true one, if the fault is of that kind.
pub(super) async fn interfere(
    faults: &Faults,
    met: &Met,
    line: &Line,
    settings: &Settings,
    now: Time,
) -> Option<Response<Body>> {
    match &met.what {
        Effect::Answer { status, headers, body } => Some(literal(*status, headers, body)),
        Effect::Error { kind, status, retry_after } => {
            let mut error = ApiError::new(kind.clone(), "This was ordered as a fault.");
            (error.status, error.retry_after) = (*status, retry_after.clone());
            Some(respond::refusal(&error, settings, now))
        }
        Effect::Storage { status, code, retry_after } => {
            let mut error = StorageError::new(*status, code.clone(), "This was ordered as a fault.");
            error.headers.extend(retry_after.iter().map(|value| ("retry-after".into(), value.clone())));
            Some(respond::storage_refusal(&error))
        }
        Effect::Proxy { status } => {
            let page = format!(
                "<html>\r\n<head><title>{status}</title></head>\r\n<body><center><h1>{status} Bad Gateway</h1>\
                 </center><hr><center>nginx</center></body>\r\n</html>\r\n"
            );
            let headers = [("content-type", "text/html"), ("server", "nginx")];
            let headers: Vec<_> = headers.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
            Some(literal(*status, &headers, &page))
        }
        Effect::Reset => {
            line.cut();
            Some(Response::new(Body::empty()))
        }
        Effect::Stall => pending().await,
        Effect::Hold { until } => {
            faults.hold(*until, met).await;
            None
        }
        Effect::Delay { ms } => {
            tokio::time::sleep(Duration::from_millis(*ms)).await;
            None
        }
        _ => None,
    }
}

fn literal(status: u16, headers: &[(String, String)], body: &str) -> Response<Body> {
    let bytes = Bytes::copy_from_slice(body.as_bytes());
    let claims_length = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let body = if claims_length {
        // The claim may be a lie: a stream has no length that could contradict it.
        let end = stream::once(async {
            // What there is leaves before the lie is found out.
            tokio::task::yield_now().await;
            Ok::<_, Infallible>(Bytes::new())
        });
        Body::from_stream(stream::iter([Ok(bytes)]).chain(end))
    } else {
        Body::from(bytes)
    };
    let mut response = Response::new(body);
    respond::set_status(&mut response, status);
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value.as_bytes()))
        {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// Spoils the body of a true answer, or its ETag.
pub(super) fn spoil(mut response: Response<Body>, effect: &Effect) -> Response<Body> {
    match effect {
        Effect::WrongEtag { etag } if response.status().is_success() => {
            response.headers_mut().remove(header::ETAG);
            if let Some(value) =
                etag.as_ref().and_then(|etag| HeaderValue::from_str(&format!("\"{etag}\"")).ok())
            {
                response.headers_mut().insert(header::ETAG, value);
            }
            response
        }
        Effect::TruncateBody { at } => reshape(response, *at, Trick::Cut),
        Effect::StallBody { at } => reshape(response, *at, Trick::Stall),
        Effect::FlipBody { at } => reshape(response, *at, Trick::Flip),
        _ => response,
    }
}

#[derive(Clone, Copy)]
enum Trick {
    Cut,
    Stall,
    Flip,
}

fn reshape(response: Response<Body>, at: u64, trick: Trick) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    if !parts.headers.contains_key(header::CONTENT_LENGTH)
        && let Some(length) = body.size_hint().exact()
    {
        parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    let pieces = body.into_data_stream();
    let spoilt = stream::unfold((pieces, 0u64), move |(mut pieces, passed)| async move {
        let left = at.saturating_sub(passed);
        // Where in the next piece the flipped byte is; behind it `passed` is larger than `at`.
        let offset = at.checked_sub(passed).and_then(|offset| usize::try_from(offset).ok());
        if left == 0 {
            match trick {
                Trick::Cut => {
                    // What was sent so far leaves while this waits its turn.
                    tokio::task::yield_now().await;
                    return Some((Err(io::Error::from(io::ErrorKind::BrokenPipe)), (pieces, passed)));
                }
                Trick::Stall => pending().await,
                Trick::Flip => {}
            }
        }
        let piece = match pieces.next().await? {
            Ok(piece) => piece,
            Err(error) => return Some((Err(io::Error::other(error)), (pieces, passed))),
        };
        let piece = match trick {
            Trick::Flip => match offset.filter(|offset| *offset < piece.len()) {
                Some(offset) => flipped(&piece, offset),
                None => piece,
            },
            _ => piece.slice(..piece.len().min(usize::try_from(left).unwrap_or(usize::MAX))),
        };
        let passed = passed + piece.len() as u64;
        Some((Ok(piece), (pieces, passed)))
    });
    Response::from_parts(parts, Body::from_stream(spoilt))
}

/// What arrives of a piece of a part of which `taken` bytes are here already; `None` where the line is cut
/// inside of it.
pub(super) fn arriving(effect: Option<&Effect>, piece: Bytes, taken: u64) -> Option<Bytes> {
    let left = |at: u64| usize::try_from(at.saturating_sub(taken)).unwrap_or(usize::MAX);
    match effect {
        Some(Effect::FlipPart | Effect::FlipStored) if taken == 0 => Some(flipped(&piece, 0)),
        Some(Effect::TruncatePart { at }) => Some(piece.slice(..piece.len().min(left(*at)))),
        Some(Effect::CutPart { at }) if piece.len() > left(*at) => None,
        _ => Some(piece),
    }
}

/// The same bytes with one bit of byte `at` turned.
fn flipped(piece: &Bytes, at: usize) -> Bytes {
    let mut bytes = piece.to_vec();
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1;
    }
    Bytes::from(bytes)
}
