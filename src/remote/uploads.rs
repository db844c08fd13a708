//! Uploads: begin, one signed URL per part, the parts, completion.
//!
//! Nothing is visible at the service before the completion, and the completion makes the whole file
//! appear at once.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use super::client::Client;
use super::error::Error;
use super::signed::SignedUrl;
use crate::model::digest::ETag;
use crate::model::entry::Entry;
use crate::model::moment::Moment;
use crate::model::path::RemotePath;

/// The service's name for one upload. Opaque; it survives a restart as its text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UploadRef(String);

impl fmt::Display for UploadRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for UploadRef {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

/// An upload that has begun.
#[derive(Debug, Clone)]
pub struct Upload {
    /// Names the upload in every further call.
    pub reference: UploadRef,
    /// Where part 1 goes.
    pub first: PartSlot,
    /// Several parts may travel at once; otherwise one after the other, in order.
    pub parallel_parts: bool,
    /// The part size that the service recommends, in bytes.
    pub recommended_part_size: u64,
}

/// Where one part goes: a signed URL, good for some minutes.
#[derive(Debug, Clone)]
pub struct PartSlot {
    /// Number of the part, from 1.
    pub number: u32,
    /// The signed URL.
    pub(super) url: SignedUrl,
    /// Headers that the service wants with the bytes.
    pub(super) headers: Vec<(String, String)>,
    /// The part may be sent again after a failure.
    pub(super) repeatable: bool,
    /// What error lines call this part.
    pub(super) asked: String,
}

impl PartSlot {
    /// The URL is about to run out, or has: [`Client::begin_part`] gives another.
    pub fn is_expired(&self) -> bool {
        self.url.is_expired()
    }
}

/// What makes the parts a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The upload.
    pub reference: UploadRef,
    /// Every part with the ETag that the storage answered. They name the bytes, so all are given.
    pub etags: Vec<(u32, ETag)>,
    /// Bytes of all parts together.
    pub size: u64,
    /// Modification time; the service keeps whole seconds.
    pub mtime: Option<Moment>,
    /// `custom_metadata`.
    pub metadata: BTreeMap<String, String>,
}

impl Client {
    /// Begins an upload of `size` bytes to `path`. Missing parent folders are made at once.
    ///
    /// # Errors
    /// Permissions, names, rules of the folder. May be repeated: it only opens another upload.
    pub async fn begin_upload(&self, path: &RemotePath, size: u64) -> Result<Upload, Error> {
        let _ = (path, size);
        Err(self.unwritten())
    }

    /// A (fresh) URL for one part.
    ///
    /// # Errors
    /// [`super::ErrorKind::UploadLost`]: the service has forgotten the upload.
    pub async fn begin_part(
        &self,
        path: &RemotePath,
        reference: &UploadRef,
        number: u32,
    ) -> Result<PartSlot, Error> {
        let _ = (path, reference, number);
        Err(self.unwritten())
    }

    /// Sends the bytes of one part; what is transient is tried again. The ETag is not compared here.
    ///
    /// # Errors
    /// [`super::ErrorKind::UrlExpired`]: ask [`Self::begin_part`] and send again.
    pub async fn put_part(&self, slot: &PartSlot, body: Bytes) -> Result<ETag, Error> {
        let _ = (slot, body);
        Err(self.unwritten())
    }

    /// Makes the file appear at `path`, which may be another than the one that the upload began with.
    ///
    /// # Errors
    /// [`super::ErrorKind::OutcomeUnknown`]: the answer was lost after it may have been done; look
    /// with [`Self::stat`]. [`super::ErrorKind::UploadLost`]: begin afresh with all parts.
    pub async fn complete_upload(&self, path: &RemotePath, completion: &Completion) -> Result<Entry, Error> {
        let _ = (path, completion);
        Err(self.unwritten())
    }
}
