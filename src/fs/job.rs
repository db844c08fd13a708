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
    /// For how long it is sent.
    pub wanted: Wanted,
}

/// For how long bytes are sent that others may overtake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Nobody waits for them.
    WhileNewest,
    /// A close waits for them, or for newer ones that are whole.
    UntilNewerIsWhole,
    /// A close waits for them, and was sent after newer ones often enough.
    AnyCase,
}

/// Why an attempt ended without a proof.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Newer bytes, or none are wanted any more.
    Overtaken,
    /// Changes of names come first.
    Behind,
    /// It is proven, and the journal could not be told to forget an older version.
    Unnoted(Failure),
    /// What arrived is not what left.
    Mismatch(Failure),
    /// The service does not know the upload any more.
    Lost(Failure),
    /// The storage takes no parts of the size that was sent.
    PartSize(Failure),
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
            ErrorKind::PartSize => Self::PartSize(failure),
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
    /// What to do with what did not happen.
    pub(super) fn ending(self) -> Ending {
        match self {
            Self::Refused(failure) | Self::Mismatch(failure) => Ending::Refused(failure),
            Self::Lost(failure)
            | Self::PartSize(failure)
            | Self::Again(failure)
            | Self::Later(failure)
            | Self::Unnoted(failure) => Ending::Later(failure),
            Self::Overtaken | Self::Behind => Ending::Later(Failure::plain(libc::EBUSY)),
        }
    }
}

/// How something ended that did not happen.
#[derive(Debug)]
pub(super) enum Ending {
    /// It is tried again.
    Later(Failure),
    /// It stays so until a person changes something.
    Refused(Failure),
}

impl Ending {
    pub fn why(&self) -> &Failure {
        match self {
            Self::Later(failure) | Self::Refused(failure) => failure,
        }
    }
}
