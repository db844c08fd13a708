//! Who we are for Files.com.

use super::secret::Secret;

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
