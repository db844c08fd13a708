//! Requests to the storage: signed URLs, no credentials, bytes in bulk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, HeaderMap};
use reqwest::{Body, Response};
use tokio::time::{Instant, interval_at, sleep, timeout};
use url::Url;

use super::client::Inner;
use super::deadline::Deadline;
use super::error::{Error, Phase};
use super::error_kind::ErrorKind;
use super::line::Line;
use super::retry::stall_limit;
use super::secret::Secret;
use super::signed::SignedUrl;
use super::transport;
use crate::model::digest::{ETag, Md5};

/// Bytes of one file that have left this machine, for whoever shows how far it is. Clones are of the same file.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// Bytes of the file that have left, and were not found to have left in vain.
    pub fn sent(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// So many left, or need not leave any more.
    pub fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many left in vain, and leave once more.
    pub fn took_back(&self, bytes: u64) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The attempts at one part, seen together.
#[derive(Debug, Default)]
pub(super) struct Watched {
    pub gauge: Gauge,
    /// How many bytes of it an attempt handed to the connection, at most.
    furthest: u64,
}

impl Watched {
    pub fn new(gauge: Gauge) -> Self {
        Self { gauge, furthest: 0 }
    }
}

/// What is seen of a body while it is being sent.
#[derive(Debug)]
struct Sending {
    began: Instant,
    /// Bytes that were handed to the connection.
    sent: AtomicU64,
    /// Until when (milliseconds after the beginning) the limit of bandwidth holds the next ones back: the
    /// silence until then is ours.
    held_back: AtomicU64,
    gauge: Gauge,
}

impl Sending {
    fn leaves(&self, bytes: u64, line: &Line) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
        self.gauge.add(bytes);
        line.left(bytes);
    }

    fn is_held_back(&self, now: Instant) -> bool {
        now < self.began + Duration::from_millis(self.held_back.load(Ordering::Relaxed))
    }
}

/// The ETag of an answer. One that the storage made of encrypted bytes looks like an MD5 and is none: only where its
/// encryption is the usual one, or is not mentioned, does it say anything of the bytes.
pub(super) fn etag_of(headers: &HeaderMap) -> Option<ETag> {
    let etag = transport::header(headers, "etag")?;
    match is_of_bytes(headers) {
        true => Some(ETag::parse(etag)),
        false => Some(ETag::opaque(etag)),
    }
}

/// The ETag of a part that was sent with its MD5. A storage that encrypts with a key of its own is S3, which compares
/// the two before it takes the part.
pub(super) fn etag_of_part(headers: &HeaderMap) -> ETag {
    // The word of the official clients for a part without one.
    let etag = transport::header(headers, "etag").unwrap_or("null");
    match is_of_bytes(headers) {
        true => ETag::parse(etag),
        false => ETag::compared(etag),
    }
}

fn is_of_bytes(headers: &HeaderMap) -> bool {
    let encryption = transport::header(headers, "x-amz-server-side-encryption");
    encryption.is_none_or(|how| how.eq_ignore_ascii_case("AES256"))
}

/// Checks a URL that the service handed out before bytes go there. Where the API is encrypted, the
/// storage is too.
pub(super) fn check(url: &str, base: &Url, asked: &str) -> Result<Url, Error> {
    let refused = |happened: &str| Error::new(ErrorKind::Protocol, asked, happened);
    let url = Url::parse(url).map_err(|_| refused("the service named a storage URL that is none"))?;
    match url.scheme() {
        "https" => Ok(url),
        "http" if base.scheme() == "http" => Ok(url),
        _ => Err(refused("the service named a storage URL without encryption")),
    }
}

impl Inner {
    /// Sends `bytes` with their MD5; tells when the last of them left, too. The attempt ends when nothing moves any more,
    /// early enough for another one, or with the call on whose behalf it is made. Dropped, or ended so, it may have
    /// arrived: a part may be sent again, and what nobody completes is forgotten. `watched` sees the bytes leave.
    pub(super) async fn put(
        &self,
        url: &SignedUrl,
        headers: &[(String, Secret)],
        (bytes, md5): (Bytes, Md5),
        watched: &mut Watched,
        asked: &str,
    ) -> (Option<Instant>, Result<Response, Error>) {
        self.counters.asked("storage_put");
        let sending = Arc::new(Sending {
            began: Instant::now(),
            sent: AtomicU64::default(),
            held_back: AtomicU64::default(),
            gauge: watched.gauge.clone(),
        });
        let mut request = self.storage.put(url.url.clone()).header(CONTENT_LENGTH, bytes.len());
        // No part of the signature: the storage compares it itself, and refuses what was damaged on the way.
        request = request.header("content-md5", BASE64.encode(md5.0));
        for (name, value) in headers {
            request = request.header(name, value.expose());
        }
        let start = (bytes, Arc::clone(&sending), Arc::clone(&self.up));
        let pieces = futures_util::stream::unfold(start, |(mut rest, sending, line)| async move {
            let piece = rest.split_to(rest.len().min(line.piece()));
            if piece.is_empty() {
                return None;
            }
            let wait = line.sell(piece.len());
            if !wait.is_zero() {
                let until = sending.began.elapsed() + wait;
                sending.held_back.store(until.as_millis() as u64, Ordering::Relaxed);
                sleep(wait).await;
            }
            sending.leaves(piece.len() as u64, &line);
            Some((Ok::<_, std::io::Error>(piece), (rest, sending, line)))
        });
        let request = request.body(Body::wrap_stream(pieces));
        let started = Instant::now();
        // The watch below is what limits the time: a slow line is no failure.
        let answer = transport::send(request, asked, LONGEST_TRANSFER);
        let mut moved = None;
        let watching = self.until_it_stands_still(&sending, &mut moved, watched.furthest, asked);
        // The request that is dropped is the attempt that is given up.
        let result = tokio::select! {
            result = answer => result,
            stalled = watching => Err(stalled),
        };
        let sent = sending.sent.load(Ordering::Relaxed);
        watched.furthest = watched.furthest.max(sent);
        if result.is_err() {
            // They leave once more, or are given up.
            watched.gauge.took_back(sent);
        }
        let status =
            result.as_ref().map_or_else(|error| error.details().status, |ok| Some(ok.status().as_u16()));
        tracing::debug!(asked, status, ms = started.elapsed().as_millis() as u64, "storage");
        (moved.or((sending.sent.load(Ordering::Relaxed) > 0).then_some(started)), result)
    }

    /// Comes back when nothing was sent for a while that was not held back; `moved` is when it last moved.
    async fn until_it_stands_still(
        &self,
        sending: &Sending,
        moved: &mut Option<Instant>,
        furthest: u64,
        asked: &str,
    ) -> Error {
        let whole = self.options.network_timeout;
        let call = Deadline::current();
        let period = (stall_limit(whole) / 8).max(Duration::from_millis(1));
        let mut looks = interval_at(Instant::now() + period, period);
        let (mut before, mut since) = (0, Instant::now());
        loop {
            let now = looks.tick().await;
            let sent = sending.sent.load(Ordering::Relaxed);
            if sent != before || sending.is_held_back(now) {
                (before, since) = (sent, now);
                *moved = Some(now);
                // What left before, and leaves once more, is progress only where it cannot all be in buffers.
                if let Some(call) = call.as_ref().filter(|_| sent > furthest.min(BUFFERED)) {
                    call.progressed(now);
                }
            }
            if call.as_ref().and_then(Deadline::end).is_some_and(|end| end <= now) {
                return transport::no_answer(asked, whole);
            }
            // Where somebody waits, one deadline is for this attempt and for another one.
            let is_awaited = call.as_ref().is_some_and(|call| call.end().is_some());
            let most = if is_awaited { whole.mul_f64(FOR_ONE_ATTEMPT) } else { whole };
            let limit = quiet_limit(whole, sent).min(most);
            if now.duration_since(since) >= limit {
                return transport::no_answer(asked, limit);
            }
        }
    }

    /// Begins to fetch; `limit` is for the answer's head.
    pub(super) async fn get(
        &self,
        url: &SignedUrl,
        headers: Vec<(&'static str, String)>,
        asked: &str,
        limit: Duration,
    ) -> Result<Response, Error> {
        self.counters.asked("storage_get");
        let mut request = self.storage.get(url.url.clone());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let started = Instant::now();
        let result = transport::send(request, asked, limit).await;
        let status =
            result.as_ref().map_or_else(|error| error.details().status, |ok| Some(ok.status().as_u16()));
        tracing::debug!(asked, status, ms = started.elapsed().as_millis() as u64, "storage");
        let response = result?;
        // The web application, served in place of a file.
        if response.headers().contains_key("x-files-frontend-app") {
            let happened = "the storage answered with a web page in place of the file";
            return Err(Error::new(ErrorKind::Protocol, asked, happened));
        }
        Ok(response)
    }
}

/// No transfer takes longer: a part of the memory that all parts share, at the slowest limit of bandwidth.
const LONGEST_TRANSFER: Duration = Duration::from_secs(7 * 24 * 3600);

/// How much of the time without progress one attempt may be quiet, where the same time is for the next one.
const FOR_ONE_ATTEMPT: f64 = 0.75;

/// How many bytes may wait in buffers of the kernel after they were handed over, at most.
const BUFFERED: u64 = 4 << 20;
/// The slowest line that is waited for while it drains them, in bytes a second.
const SLOW_LINE: u64 = 128 << 10;

/// How long an upload of which `sent` bytes were handed over may be quiet: what a stall may take, and
/// the time that a slow line needs for what waits in buffers. A line that takes nothing at all any more
/// is cut by the kernel before (see [`transport::http_client`]).
fn quiet_limit(network_timeout: Duration, sent: u64) -> Duration {
    let draining = Duration::from_millis(sent.min(BUFFERED) * 1000 / SLOW_LINE);
    let least = stall_limit(network_timeout).max(Duration::from_millis(1));
    (least + draining).min(network_timeout.max(least))
}

/// The next piece of a body that must not stand still for longer than `limit`. Dropped, it has taken nothing.
pub(super) async fn next_piece(
    response: &mut Response,
    asked: &str,
    limit: Duration,
) -> Result<Option<Bytes>, Error> {
    match timeout(limit, response.chunk()).await {
        Ok(Ok(piece)) => Ok(piece),
        Ok(Err(error)) => Err(transport::failed(error, asked)),
        Err(_) => Err(Error::new(ErrorKind::Timeout, asked, format!("no bytes for {limit:.1?}"))
            .with(|d| d.phase = Phase::Unanswered)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_that_is_quiet_leaves_time_for_another_one_unless_a_slow_line_may_still_drain() {
        let minute = Duration::from_secs(60);
        assert_eq!(quiet_limit(minute, 0), Duration::from_secs(30));
        assert_eq!(quiet_limit(minute, 1 << 20), Duration::from_secs(38));
        assert_eq!(quiet_limit(minute, 1 << 40), minute);
        assert_eq!(quiet_limit(Duration::from_secs(4), 1000), Duration::from_millis(2007));
        assert!(quiet_limit(Duration::ZERO, 0) > Duration::ZERO);
    }
}
