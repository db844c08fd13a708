//! Signed URLs of the storage: whoever has one may read or write, so none is ever shown.

use std::fmt;
use std::time::{Duration, Instant};

use url::Url;

/// A URL that is its own permission, for a while.
#[derive(Clone)]
pub(super) struct SignedUrl {
    pub url: Url,
    /// When it runs out by this host's monotonic clock; `None` where the URL does not say.
    pub expires: Option<Instant>,
}

/// A URL with less life than this is not used any more.
const MARGIN: Duration = Duration::from_secs(2);

impl SignedUrl {
    pub fn is_expired(&self) -> bool {
        self.expires.is_some_and(|end| Instant::now() + MARGIN >= end)
    }
}

impl fmt::Debug for SignedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignedUrl(***)")
    }
}
