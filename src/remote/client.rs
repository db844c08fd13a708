//! The client: what it is made of, and how it is made.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::counters::Calls;
use super::credentials::Credentials;
use super::error::Error;
use super::error_table::ErrorKind;

/// What a client needs to know.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Base URL of the site, without the path of the API.
    pub base: Url,
    /// Who we are.
    pub credentials: Credentials,
    /// The longest that a call may take in all, repetitions included, and the longest that a body
    /// may stand still.
    pub network_timeout: Duration,
    /// Transfers to the storage at the same time.
    pub max_uploads: usize,
    /// Transfers from the storage at the same time.
    pub max_downloads: usize,
    /// Take plain http for a host that is not this one.
    pub allow_http: bool,
}

/// The conversation with one site. Clones share everything.
#[derive(Clone)]
pub struct Client(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub options: ClientOptions,
}

impl Client {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// [`ErrorKind::PlainHttp`] for plain http beyond this host; [`ErrorKind::Tls`] where this host
    /// has no usable certificates.
    pub fn new(options: ClientOptions) -> Result<Self, Error> {
        Ok(Self(Arc::new(Inner { options })))
    }

    /// Uses other credentials from now on; calls under way are not disturbed.
    pub fn replace_credentials(&self, credentials: Credentials) {
        let _ = credentials;
    }

    /// How often the service was asked, until now.
    pub fn calls(&self) -> Calls {
        Calls::default()
    }

    /// By how many seconds the service's clock is ahead of this host's, as of its last answer.
    pub fn clock_skew(&self) -> Option<i64> {
        None
    }

    pub(super) fn unwritten(&self) -> Error {
        Error::new(ErrorKind::Protocol, self.0.options.base.as_str(), "not written yet")
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base", &self.0.options.base.as_str()).finish_non_exhaustive()
    }
}
