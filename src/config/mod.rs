//! What is configured: named storages, where credentials come from, where things are kept.
//!
//! Reads files and the environment, asks no network. No error, and no debug output, shows a secret:
//! a value of the configuration is never repeated, only the name of its key.

mod credentials;
mod environment;
mod file;
mod places;
mod private;
mod source;

use std::path::PathBuf;

pub use credentials::{CredentialSources, Found};
pub use environment::Environment;
pub use file::{Config, Storage, StoredCredentials};
pub use places::{default_config, default_places, id};
pub use source::{Source, Spelling, parse_source};

use crate::remote::SiteNameError;

/// The one of `known` that somebody who typed `word` meant, if one is near enough.
pub fn similar<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = |known: &'a str| (known, strsim::damerau_levenshtein(word, known));
    let (nearest, distance) = known.into_iter().map(near).min_by_key(|(_, distance)| *distance)?;
    // Two slips in a long word, one in a short one.
    (distance <= 1 + usize::from(word.chars().count() > 5)).then_some(nearest)
}

/// A configuration that cannot be used. Each text says what to type instead.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that is not there or not ours to read.
    #[error("cannot read {path}: {reason}", path = .0.display(), reason = .1)]
    Unreadable(PathBuf, std::io::Error),
    /// Others could read a secret.
    #[error("{path} can be used by others than its owner (mode {mode:04o}); type: chmod 600 {typed}",
            path = .path.display(), typed = private::shell_word(.path))]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not TOML, or a key of the wrong type, or an unknown one.
    #[error("{path}: {message}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong and where; no values.
        message: String,
    },
    /// An empty secret.
    #[error("{0} is empty")]
    EmptySecret(String),
    /// User name without password, or the other way round.
    #[error("{0} gives a user name without a password, or the other way round: give both, or an API key")]
    HalfLogin(String),
    /// No source gave credentials.
    #[error(
        "no credentials: give --api-key-file FILE or --credentials FILE, a storage in {config}, \
         or set FILES_API_KEY", config = .0.display()
    )]
    NoCredentials(PathBuf),
    /// SOURCE is not `NAME[:/FOLDER]`.
    #[error("{0}")]
    Source(String),
    /// The site's name makes no address.
    #[error(transparent)]
    Site(#[from] SiteNameError),
    /// A place that cannot be named.
    #[error("{0}")]
    Place(String),
}
