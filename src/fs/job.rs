//! One attempt to publish, and the ways in which it can end without a proof.

use super::{is_final, told};
use crate::model::content::Revision;
use crate::model::failure::Failure;
use crate::model::ino::{ContentId, Ino};
use crate::model::path::RemotePath;
use crate::model::proof::Fingerprint;
use crate::remote::{self, ErrorKind};

/// One attempt: these bytes, as they are now.
#[derive(Debug)]
pub(super) struct Job {
    pub ino: Ino,
    pub revision: Revision,
    pub id: ContentId,
    pub path: RemotePath,
    pub size: u64,
    /// The version that it will replace.
    pub replaces: Option<Fingerprint>,
}

/// Why an attempt ended without a proof.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Newer bytes, or none are wanted any more.
    Overtaken,
    /// Changes of names come first.
    Behind,
    /// What arrived is not what left.
    Mismatch(Failure),
    /// The service does not know the upload any more.
    Lost(Failure),
    /// Another attempt may succeed at once, with the parts that are there.
    Again(Failure),
    /// It may work later.
    Later(Failure),
    /// It will not work as it is.
    Refused(Failure),
}

impl From<remote::Error> for Trouble {
    fn from(error: remote::Error) -> Self {
        let failure = told(&error);
        match error.kind() {
            ErrorKind::UploadLost => Self::Lost(failure),
            ErrorKind::UrlExpired | ErrorKind::OutcomeUnknown => Self::Again(failure),
            kind if is_final(kind) => Self::Refused(failure),
            _ => Self::Later(failure),
        }
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Later(failure)
    }
}

impl Trouble {
    /// Why it did not happen, and whether that stays so until a person changes something.
    pub(super) fn verdict(self) -> (Failure, bool) {
        match self {
            Self::Refused(failure) | Self::Mismatch(failure) => (failure, true),
            Self::Lost(failure) | Self::Again(failure) | Self::Later(failure) => (failure, false),
            Self::Overtaken | Self::Behind => (Failure::plain(libc::EBUSY), false),
        }
    }
}
