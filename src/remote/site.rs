//! Who the caller is, and how the site is set.

use super::client::Client;
use super::error::Error;
use crate::model::moment::Moment;

/// Which digests a site computes; `None` where it does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checksums {
    /// MD5 of every file.
    pub md5: Option<bool>,
    /// CRC32 of every file.
    pub crc32: Option<bool>,
    /// An older site that decides by itself. It does not promise an MD5.
    pub legacy: Option<bool>,
}

/// The key in use, as `GET /api_key` describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiKey {
    /// The name that its owner gave it.
    pub name: Option<String>,
    /// `full`, `files_only`, …
    pub permission_set: Option<String>,
    /// The folder that it is confined to, where it is.
    pub path: Option<String>,
    /// When it stops working.
    pub expires_at: Option<Moment>,
    /// The user that it acts for.
    pub user_id: Option<u64>,
    /// The site that it belongs to.
    pub site_name: Option<String>,
}

/// A session, as the login describes it. The session id itself stays inside the client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Session {
    /// When it ends by itself.
    pub timeout_at: Option<Moment>,
    /// Which digests the site computes.
    pub checksums: Checksums,
    /// Nothing may be changed.
    pub read_only: bool,
    /// The folder that paths of this user begin in.
    pub root_path: Option<String>,
}

/// Settings of the site that matter to a backup. Only an administrator may read them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Site {
    /// Name of the site.
    pub name: Option<String>,
    /// Which digests it computes.
    pub checksums: Checksums,
    /// May uploaders set the modification time?
    pub use_provided_modified_at: Option<bool>,
    /// Since when files cannot be changed or deleted.
    pub immutable_since: Option<Moment>,
    /// How long removed and replaced data are kept, in days.
    pub days_to_retain_backups: Option<u64>,
}

impl Client {
    /// `GET /api_key`: every key may ask it, so it is the first question to a site.
    ///
    /// # Errors
    /// [`super::ErrorKind::Authentication`] where the key is refused.
    pub async fn api_key(&self) -> Result<ApiKey, Error> {
        Err(self.unwritten())
    }

    /// `POST /sessions`: logs in afresh with user name and password; later calls use the session.
    ///
    /// # Errors
    /// [`super::ErrorKind::Authentication`] and [`super::ErrorKind::SecondFactor`]; also for a key,
    /// which needs no login.
    pub async fn log_in(&self) -> Result<Session, Error> {
        Err(self.unwritten())
    }

    /// `GET /site`: settings of the site.
    ///
    /// # Errors
    /// [`super::ErrorKind::Permission`] for whoever is no administrator.
    pub async fn site(&self) -> Result<Site, Error> {
        Err(self.unwritten())
    }
}
