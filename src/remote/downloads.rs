//! Downloads: ask for a signed URL, then fetch bytes from the storage.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::body::Body;
use super::client::Client;
use super::error::Error;
use super::signed::SignedUrl;
use crate::model::digest::ETag;
use crate::model::entry::Entry;
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
    pub(super) pinned: Arc<OnceLock<String>>,
}

impl Download {
    /// The URL is about to run out, or has: open the download again.
    pub fn is_expired(&self) -> bool {
        self.url.is_expired()
    }

    /// Fetches meet this version or fail: for a download that goes on under a fresh URL.
    #[must_use]
    pub fn pinned_to(self, etag: &ETag) -> Self {
        Self { pinned: Arc::new(OnceLock::from(format!("\"{etag}\""))), ..self }
    }
}

impl Client {
    /// The entry of a file and a signed URL for its bytes.
    ///
    /// # Errors
    /// [`super::ErrorKind::NotFound`], [`super::ErrorKind::IsFolder`], permissions.
    pub async fn open_download(&self, path: &RemotePath) -> Result<Download, Error> {
        let _ = path;
        Err(self.unwritten())
    }

    /// Begins to fetch `range`, or the whole file. A range must not be empty and must lie within the
    /// file: an empty file is asked for as a whole.
    ///
    /// # Errors
    /// [`super::ErrorKind::UrlExpired`]: open again. [`super::ErrorKind::VersionChanged`]: these are
    /// not the bytes that were opened.
    pub async fn fetch(&self, download: &Download, range: Option<Range<u64>>) -> Result<Body, Error> {
        let _ = (download, range);
        Err(self.unwritten())
    }

    /// The storage's ETag of the file at `path`, for one API call and one byte.
    ///
    /// # Errors
    /// As for [`Self::open_download`] and [`Self::fetch`].
    pub async fn object_etag(&self, path: &RemotePath) -> Result<Option<ETag>, Error> {
        let _ = path;
        Err(self.unwritten())
    }
}
