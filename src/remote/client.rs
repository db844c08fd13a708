//! The client: what it is made of, and how it is made.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use url::Url;

use super::counters::{Calls, ClockSkew, Counters};
use super::credentials::Credentials;
use super::error::Error;
use super::error_kind::ErrorKind;
use super::reach::Reach;
use super::session::Auth;
use super::transport::http_client;
use super::urls::is_this_host;

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

/// Calls of the API at the same time. Files.com limits the rate, not the number; more than this
/// helps nobody.
const API_SLOTS: usize = 32;

/// The conversation with one site. Clones share everything.
#[derive(Clone)]
pub struct Client(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub options: ClientOptions,
    /// Talks to the API, with credentials.
    pub api: reqwest::Client,
    /// Talks to the storage, without.
    pub storage: reqwest::Client,
    pub auth: Auth,
    pub counters: Counters,
    pub clock_skew: ClockSkew,
    pub reach: Reach,
    pub api_slots: Semaphore,
    pub upload_slots: Semaphore,
    /// Shared with the bodies that hold a slot while they are read.
    pub download_slots: Arc<Semaphore>,
}

impl Client {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// [`ErrorKind::PlainHttp`] for plain http beyond this host; [`ErrorKind::Tls`] where this host
    /// has no usable certificates.
    pub fn new(options: ClientOptions) -> Result<Self, Error> {
        let options = ClientOptions { base: site_of(&options.base), ..options };
        if options.base.scheme() != "https" && !options.allow_http && !is_this_host(&options.base) {
            let happened = "the key would cross the network unencrypted";
            return Err(Error::new(ErrorKind::PlainHttp, options.base.as_str(), happened));
        }
        let http_client = |http2| http_client(&options.base, options.network_timeout, http2);
        Ok(Self(Arc::new(Inner {
            api: http_client(true)?,
            storage: http_client(false)?,
            auth: Auth::new(options.credentials.clone()),
            counters: Counters::default(),
            clock_skew: ClockSkew::default(),
            reach: Reach::default(),
            api_slots: Semaphore::new(API_SLOTS),
            upload_slots: Semaphore::new(options.max_uploads.max(1)),
            download_slots: Arc::new(Semaphore::new(options.max_downloads.max(1))),
            options,
        })))
    }

    /// Uses other credentials from now on. A call that is refused under the old ones is made again
    /// under the new ones.
    pub fn replace_credentials(&self, credentials: Credentials) {
        self.0.auth.replace(credentials);
    }

    /// How often the service was asked, until now.
    pub fn calls(&self) -> Calls {
        self.0.counters.read()
    }

    /// Can Files.com be reached, as far as the last call tells; changes when that changes.
    pub fn reach(&self) -> watch::Receiver<bool> {
        self.0.reach.watch()
    }

    /// By how many seconds the service's clock is ahead of this host's, as of its last answer.
    pub fn clock_skew(&self) -> Option<i64> {
        self.0.clock_skew.get()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base", &self.0.options.base.as_str()).finish_non_exhaustive()
    }
}

/// Scheme, host and port: nothing else of a base URL is ours to send.
fn site_of(base: &Url) -> Url {
    Url::parse(&base.origin().ascii_serialization()).unwrap_or_else(|_| base.clone())
}
