//! Who we are for Files.com. Neither text ever shows a secret.

use std::fmt;

/// A text that no log, error or debug output shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the one header or body that carries it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// An API key, or a user name with its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// `X-FilesAPI-Key`.
    ApiKey(Secret),
    /// Logs in for a session, which is renewed when it expires.
    Login {
        /// User name at the site.
        username: String,
        /// Its password.
        password: Secret,
    },
}
