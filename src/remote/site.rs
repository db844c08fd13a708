//! Who the caller is, and how the site is set.

use super::call::Call;
use super::client::Client;
use super::error::Error;
use super::transport::Answer;
use super::wire::{Fields, Misread};
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
        read(&self.call(Call::get("api_key", "/api_key")).await?, ApiKey::read)
    }

    /// `POST /sessions`: logs in afresh with user name and password; later calls use the session.
    ///
    /// # Errors
    /// [`super::ErrorKind::Authentication`] and [`super::ErrorKind::SecondFactor`]; also for a key,
    /// which needs no login.
    pub async fn log_in(&self) -> Result<Session, Error> {
        self.0.log_in_afresh().await
    }

    /// `GET /site`: settings of the site.
    ///
    /// # Errors
    /// [`super::ErrorKind::Permission`] for whoever is no administrator.
    pub async fn site(&self) -> Result<Site, Error> {
        read(&self.call(Call::get("site", "/site")).await?, Site::read)
    }
}

/// Bytes of what the service counts in.
const GIGABYTE: f64 = 1e9;

impl Client {
    /// `GET /site/usage`: bytes that the site holds, as counted once a day.
    ///
    /// # Errors
    /// [`super::ErrorKind::Permission`] for whoever is no administrator.
    pub async fn usage(&self) -> Result<Option<u64>, Error> {
        let answer = self.call(Call::get("usage", "/site/usage")).await?;
        let gigabytes = read(&answer, |fields| fields.quantity("current_storage"))?;
        // A float that is too large becomes the largest number.
        Ok(gigabytes.map(|gigabytes| (gigabytes * GIGABYTE).round() as u64))
    }
}

fn read<T>(answer: &Answer, read: impl FnOnce(Fields<'_>) -> Result<T, Misread>) -> Result<T, Error> {
    let value = answer.json()?;
    Fields::of(&value, "answer").and_then(read).map_err(|misread| misread.error(&answer.asked))
}

impl Checksums {
    fn read(fields: Fields<'_>) -> Self {
        let truth = |name| fields.or_unknown(fields.truth(name));
        Self {
            md5: truth("calculate_file_checksums_md5"),
            crc32: truth("calculate_file_checksums_crc32"),
            legacy: truth("legacy_checksums_mode"),
        }
    }
}

// Who one is and how a site is set is told in many words, and none of them is needed: what is not understood is unknown.

fn text(fields: Fields<'_>, name: &str) -> Option<String> {
    fields.or_unknown(fields.text(name)).map(str::to_owned)
}

fn moment(fields: Fields<'_>, name: &str) -> Option<Moment> {
    let stated = text(fields, name)?;
    let moment = fields.moment(name);
    if moment.is_none() && !stated.is_empty() {
        tracing::warn!("Files.com states {name:?} in a form that is not understood: {stated:?}");
    }
    moment
}

impl ApiKey {
    fn read(fields: Fields<'_>) -> Result<Self, Misread> {
        let text = |name| text(fields, name).filter(|text| !text.is_empty());
        Ok(Self {
            name: text("name"),
            permission_set: text("permission_set"),
            path: text("path"),
            expires_at: moment(fields, "expires_at"),
            user_id: fields.or_unknown(fields.number("user_id")),
            site_name: text("site_name"),
        })
    }
}

impl Session {
    pub(super) fn read(fields: Fields<'_>) -> Self {
        Self {
            timeout_at: moment(fields, "timeout_at"),
            checksums: Checksums::read(fields),
            read_only: fields.or_unknown(fields.truth("read_only")).unwrap_or(false),
            root_path: text(fields, "root_path"),
        }
    }
}

impl Site {
    fn read(fields: Fields<'_>) -> Result<Self, Misread> {
        Ok(Self {
            name: text(fields, "name"),
            checksums: Checksums::read(fields),
            use_provided_modified_at: fields.or_unknown(fields.truth("use_provided_modified_at")),
            immutable_since: moment(fields, "immutable_files_set_at"),
            days_to_retain_backups: fields.or_unknown(fields.number("days_to_retain_backups")),
        })
    }
}
