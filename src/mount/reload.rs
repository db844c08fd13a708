//! Credentials that are read again while mounted: the new ones are tried as a mount would, and take the place of the old
//! only where they are good.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::assemble::try_credentials;
use super::error::MountError;
use super::options::Options;
use crate::model::moment::Moment;
use crate::remote::{Client, Credentials, ErrorKind};

/// Finds the credentials where the mount found them; the text says why there are none.
pub(super) type Find = Box<dyn Fn() -> Result<Credentials, String> + Send + Sync>;

/// The credentials of a mount.
pub(super) struct Keyring {
    find: Find,
    options: Options,
    client: Client,
    /// When the key ends that is in use, where it says.
    expires: Mutex<Option<Moment>>,
    /// One attempt at a time: the last one that was asked for decides.
    turn: tokio::sync::Mutex<()>,
}

/// Why the credentials stayed as they were.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unchanged {
    /// There are none to try.
    #[error("{0}")]
    Unreadable(String),
    /// A mount would not come about with them, or they could not be tried.
    #[error(transparent)]
    Refused(#[from] MountError),
}

impl Unchanged {
    /// What Files.com, or the way there, said; `None` where it was not asked.
    pub fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Unreadable(_) => None,
            Self::Refused(MountError::Remote(error)) => Some(error.kind()),
            Self::Refused(MountError::FolderMissing(_)) => Some(ErrorKind::NotFound),
            Self::Refused(MountError::NotAFolder(_)) => Some(ErrorKind::NotFolder),
            Self::Refused(_) => Some(ErrorKind::Refused),
        }
    }
}

impl Keyring {
    pub fn new(find: Find, options: Options, client: Client, expires: Option<Moment>) -> Self {
        Self { find, options, client, expires: Mutex::new(expires), turn: tokio::sync::Mutex::new(()) }
    }

    /// When the key ends that is in use, where it says.
    pub fn expires(&self) -> Option<Moment> {
        *self.expires.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the credentials again and tries them, each request for `patience` at most. Nothing changes where this future
    /// is dropped before it is ready.
    pub async fn reload(&self, patience: Duration) -> Result<Option<Moment>, Unchanged> {
        let _turn = self.turn.lock().await;
        let found = (self.find)().map_err(Unchanged::Unreadable)?;
        let network_timeout = self.options.network_timeout.min(patience);
        let options = Options { credentials: found.clone(), network_timeout, ..self.options.clone() };
        let expires = try_credentials(&options).await?;
        self.client.replace_credentials(found);
        *self.expires.lock().unwrap_or_else(PoisonError::into_inner) = expires;
        Ok(expires)
    }
}
