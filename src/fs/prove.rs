//! The comparison: what left against what Files.com and its storage report.

use std::time::Duration;

use tokio::time::Instant;

use super::core::Digests;
use super::job::Trouble;
use super::{Filesystem, Verify};
use crate::model::digest::ETag;
use crate::model::entry::Entry;
use crate::model::failure::Failure;
use crate::model::path::RemotePath;
use crate::model::proof::{Basis, Mismatch, Sent, Stored, Verified};
use crate::remote::{Deadline, ErrorKind};

/// How long a site's MD5 is awaited where it is known to come, and where it is not known.
const PATIENCE: Duration = Duration::from_secs(10);
const CURIOSITY: Duration = Duration::from_secs(2);

impl From<Mismatch> for Trouble {
    fn from(mismatch: Mismatch) -> Self {
        Self::Mismatch(Failure::new(libc::EIO, mismatch.to_string()))
    }
}

impl Filesystem {
    /// Proves that `path` holds what was sent. Builds on what the site offers: its MD5, the storage's
    /// ETags, its CRC32, at last the size.
    pub(super) async fn prove(
        &self,
        path: &RemotePath,
        sent: &Sent,
        entry: &Entry,
    ) -> Result<Verified, Trouble> {
        let strict = self.rules.verify == Verify::Strict;
        let enough = |proof: &Verified| match strict {
            true => proof.basis() == Basis::FileMd5,
            // Where a storage has to be taken at its word, the site's own digest is better, if there is one.
            false => !proof.basis().is_weak() && proof.basis() != Basis::ComparedParts,
        };
        let mut stored = Stored { size: entry.size, md5: entry.md5, crc32: entry.crc32, object: None };
        // The storage knows at once which parts, in which order, it put together; the site's own digest of a large
        // file may take seconds. Where the storage names the object otherwise, the site's digest decides, if there is
        // one.
        let are_digests = sent.parts.iter().all(|part| matches!(part.etag, ETag::Md5(_)));
        let mut object = None;
        if !strict && stored.md5.is_none() && sent.parts.len() > 1 && are_digests {
            object = self.stored_object(path, entry).await?;
            stored.object = object.take_if(|etag| *etag == sent.object());
        }
        if let Some(proof) = Verified::compare(sent, &stored)?.filter(enough) {
            return Ok(proof);
        }
        if let Some(later) = self.await_digest(path, entry, self.patience()).await? {
            (stored.md5, stored.crc32) = (later.md5, later.crc32);
            if let Some(proof) = Verified::compare(sent, &stored)?.filter(enough) {
                self.core().habits.digests = Digests::Stated;
                return Ok(proof);
            }
        }
        if strict {
            return Err(Trouble::Later(Failure::new(
                libc::EIO,
                "Files.com has the file but does not state its MD5, which verify=strict asks for; \
                 turn on Data Governance, File Integrity, MD5 in the site's settings",
            )));
        }
        {
            let mut core = self.core();
            if core.habits.digests == Digests::Unknown {
                core.habits.digests = Digests::Absent;
            }
        }
        stored.object = object;
        let proof = Verified::by_size(sent, &stored)?;
        warn_if_weak(path, proof.basis());
        Ok(proof)
    }

    /// What the storage calls the object that was completed as `completed`.
    async fn stored_object(&self, path: &RemotePath, completed: &Entry) -> Result<Option<ETag>, Trouble> {
        match self.remote.object(path).await {
            Ok((entry, etag)) => is_still(path, completed, &entry).map(|()| etag),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(vanished(path)),
            Err(error) => Err(error.into()),
        }
    }

    /// How long a digest of the site is worth waiting for.
    pub(super) fn patience(&self) -> Duration {
        match self.core().habits.digests {
            _ if self.rules.verify == Verify::Strict => self.rules.network_timeout,
            Digests::Stated => PATIENCE,
            Digests::Unknown => CURIOSITY,
            Digests::Absent => Duration::ZERO,
        }
    }

    /// Asks until the site states a digest of this version, for at most `patience`, and no longer than the call may
    /// wait: a look that learns nothing is no progress.
    pub(super) async fn await_digest(
        &self,
        path: &RemotePath,
        completed: &Entry,
        patience: Duration,
    ) -> Result<Option<Entry>, Trouble> {
        let (deadline, mut pause) = (Instant::now() + patience, Duration::from_millis(50));
        let call = Deadline::current().and_then(|deadline| deadline.end());
        // With time for one more look, that is to be answered.
        let deadline = call.map_or(deadline, |end| deadline.min(end - self.rules.network_timeout / 10));
        while Instant::now() + pause <= deadline {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
            let entry = self.remote.stat(path).await?.ok_or_else(|| vanished(path))?;
            is_still(path, completed, &entry)?;
            if entry.md5.is_some() {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }
}

/// Where only its size or a weaker digest could be compared, the log says what would help.
pub(super) fn warn_if_weak(path: &RemotePath, basis: Basis) {
    if basis.is_weak() {
        tracing::warn!(
            "{path} is only weakly verified, by its {}; turn on Data Governance, File Integrity, MD5 in the site's \
             settings",
            basis.name()
        );
    }
}

fn vanished(path: &RemotePath) -> Trouble {
    let why = format!("{path} vanished right after its upload: somebody else removed it");
    Trouble::Lost(Failure::new(libc::EIO, why))
}

/// Is what is at `path` what was completed?
fn is_still(path: &RemotePath, completed: &Entry, entry: &Entry) -> Result<(), Trouble> {
    if entry.created == completed.created && entry.size == completed.size {
        return Ok(());
    }
    let why = format!("{path} was replaced by somebody else right after its upload");
    Err(Trouble::Lost(Failure::new(libc::EIO, why)))
}
