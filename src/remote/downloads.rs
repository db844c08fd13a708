//! Downloads: ask for a signed URL, then fetch bytes from the storage.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use reqwest::Response;
use tokio::time::{Instant, sleep};

use super::body::Body;
use super::call::Call;
use super::client::{Client, flow_of, learn};
use super::error::Error;
use super::error_kind::ErrorKind;
use super::retry::{Patience, Repeat, stall_limit};
use super::signed::SignedUrl;
use super::slots::{Lane, Slot};
use super::storage;
use super::transport::header;
use super::wire::{self, Fields, Misread};
use crate::model::digest::ETag;
use crate::model::entry::{Entry, Kind};
use crate::model::path::RemotePath;

/// A file that can be fetched for about a minute, in ranges and in parallel.
#[derive(Debug, Clone)]
pub struct Download {
    /// The file as it was when the URL was made.
    pub entry: Entry,
    pub(super) url: SignedUrl,
    /// What error lines call it.
    pub(super) asked: String,
    /// The ETag that every fetch must meet: set by the first one.
    pub(super) pinned: Arc<OnceLock<ETag>>,
}

impl Download {
    /// The URL is about to run out, or has: open the download again.
    pub fn is_expired(&self) -> bool {
        self.url.is_expired()
    }

    /// Fetches meet this version or fail: for a download that goes on under a fresh URL.
    #[must_use]
    pub fn pinned_to(self, etag: &ETag) -> Self {
        Self { pinned: Arc::new(OnceLock::from(etag.clone())), ..self }
    }
}

impl Client {
    /// The entry of a file and a signed URL for its bytes.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::IsFolder`], permissions.
    pub async fn open_download(&self, path: &RemotePath) -> Result<Download, Error> {
        let answer = self.call(Call::get("download", "/files").path(path)).await?;
        let value = answer.json()?;
        let read = || -> Result<_, Misread> {
            let fields = Fields::of(&value, "entry")?;
            let url = fields.text("download_uri")?.ok_or_else(|| Misread::new("download_uri", "there"))?;
            Ok((wire::entry(fields, Some(Kind::File))?, url))
        };
        let (entry, url) = read().map_err(|misread| misread.error(&answer.asked))?;
        let url = storage::check(url, &self.0.options.base, &answer.asked)?;
        Ok(Download {
            entry,
            url: SignedUrl::new(url, answer.began.into_std()),
            asked: format!("GET of the bytes of {path}"),
            pinned: Arc::default(),
        })
    }

    /// Begins to fetch `range`, or the whole file. A range must not be empty and must lie within the
    /// file: an empty file is asked for as a whole. Until the first byte, what is transient is tried
    /// again; a body that breaks off is the caller's to continue.
    ///
    /// # Errors
    /// [`ErrorKind::UrlExpired`]: open again. [`ErrorKind::VersionChanged`]: these are not the bytes
    /// that were opened.
    pub async fn fetch(&self, download: &Download, range: Option<Range<u64>>) -> Result<Body, Error> {
        let mut patience = Patience::new(Instant::now(), self.0.options.network_timeout);
        let flow = flow_of(&download.asked);
        let slot = self.0.place(Lane::Downloads, flow, None, &mut patience, &download.asked).await?;
        self.fetch_holding(Some(slot), download, range).await
    }

    /// Like [`Self::fetch`], under a slot that is held already, or under none.
    async fn fetch_holding(
        &self,
        mut slot: Option<Slot>,
        download: &Download,
        range: Option<Range<u64>>,
    ) -> Result<Body, Error> {
        let inner = &self.0;
        let asked = &download.asked;
        if range.as_ref().is_some_and(Range::is_empty) {
            return Err(Error::new(ErrorKind::BadRequest, asked, "an empty range"));
        }
        let mut patience = Patience::new(Instant::now(), inner.options.network_timeout);
        let response = loop {
            if download.is_expired() {
                return Err(Error::new(ErrorKind::UrlExpired, asked, "the signed URL has run out"));
            }
            let limit = patience.attempt_limit(Instant::now(), Repeat::Freely);
            if let Some(slot) = &mut slot {
                slot.begins();
            }
            let outcome = inner.get(&download.url, download.headers(range.as_ref()), asked, limit).await;
            if let (Some(slot), Err(_)) = (&mut slot, &outcome) {
                learn(slot, &outcome, 0);
            }
            match outcome {
                Ok(response) => break response,
                Err(error) => {
                    let wait = patience.after(error, Repeat::Freely, Instant::now(), rand::random())?;
                    inner.counters.repeated();
                    sleep(wait).await;
                }
            }
        };
        let etag = download.same_version(&response)?;
        let (length, total) = match range {
            Some(range) => download.part(&response, range)?,
            None => download.whole(&response),
        };
        Ok(Body {
            etag,
            total,
            length,
            left: length,
            waiting: None,
            response,
            limit: stall_limit(inner.options.network_timeout),
            asked: asked.clone(),
            slot,
            line: Arc::clone(&inner.down),
        })
    }

    /// The entry of the file at `path` and the storage's ETag of it, for one API call and one byte. It waits for no
    /// transfer slot: the proof of an upload must not wait for readers.
    ///
    /// # Errors
    /// As for [`Self::open_download`] and [`Self::fetch`].
    pub async fn object(&self, path: &RemotePath) -> Result<(Entry, Option<ETag>), Error> {
        let download = self.open_download(path).await?;
        // No range lies within an empty file.
        let range = (download.entry.size > 0).then_some(0..1);
        let mut body = self.fetch_holding(None, &download, range).await?;
        while body.chunk().await?.is_some() {}
        Ok((download.entry, body.etag))
    }
}

impl Download {
    fn headers(&self, range: Option<&Range<u64>>) -> Vec<(&'static str, String)> {
        let mut headers = Vec::new();
        if let Some(range) = range {
            headers.push(("range", format!("bytes={}-{}", range.start, range.end - 1)));
        }
        // Weak ETags match nothing.
        if let Some(etag) = self.pinned.get().map(ETag::to_string).filter(|etag| !etag.starts_with("W/")) {
            headers.push(("if-match", format!("\"{etag}\"")));
        }
        headers
    }

    /// The ETag of the answer; it must be that of all other answers for this file.
    fn same_version(&self, response: &Response) -> Result<Option<ETag>, Error> {
        let Some(etag) = storage::etag_of(response.headers()) else { return Ok(None) };
        if *self.pinned.get_or_init(|| etag.clone()) == etag {
            return Ok(Some(etag));
        }
        Err(Error::new(ErrorKind::VersionChanged, &self.asked, "the storage holds another version"))
    }

    /// Length and total of an answer to a range: exactly what was asked for, or an error.
    fn part(&self, response: &Response, range: Range<u64>) -> Result<(u64, Option<u64>), Error> {
        let wrong = |kind, happened: String| Error::new(kind, &self.asked, happened);
        let length = range.end - range.start;
        if response.status() == 200 {
            // Storage that knows no ranges answers everything; that serves where everything was meant.
            return match response.content_length() {
                Some(all) if range.start == 0 && all == length => Ok((length, Some(length))),
                _ => Err(wrong(ErrorKind::Protocol, "the storage ignored the range".into())),
            };
        }
        let stated = header(response.headers(), "content-range").unwrap_or_default();
        let Some((first, last, total)) = content_range(stated) else {
            return Err(wrong(ErrorKind::Protocol, format!("the storage answered no range: {stated:?}")));
        };
        if total.is_some_and(|total| total < range.end) {
            return Err(wrong(ErrorKind::VersionChanged, "the file is shorter than it was".into()));
        }
        if (first, last) != (range.start, range.end - 1) {
            let happened = format!("asked for bytes {}-{}, got {first}-{last}", range.start, range.end - 1);
            return Err(wrong(ErrorKind::Protocol, happened));
        }
        Ok((length, total))
    }

    fn whole(&self, response: &Response) -> (u64, Option<u64>) {
        let length = response.content_length();
        (length.unwrap_or(self.entry.size), length)
    }
}

/// Reads `bytes FIRST-LAST/TOTAL`, where the total may be `*`.
fn content_range(header: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, total) = header.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let total = if total.trim() == "*" { None } else { Some(total.trim().parse().ok()?) };
    Some((first.trim().parse().ok()?, last.trim().parse().ok()?, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_are_read_strictly() {
        assert_eq!(content_range("bytes 0-0/5"), Some((0, 0, Some(5))));
        assert_eq!(content_range("bytes 10-19/*"), Some((10, 19, None)));
        for wrong in ["", "bytes */5", "bytes 0-/5", "bytes=0-1/5", "items 0-1/2"] {
            assert_eq!(content_range(wrong), None, "{wrong:?}");
        }
    }
}
