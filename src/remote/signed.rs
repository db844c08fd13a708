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
    /// A URL that was asked for at `asked`. It tells its life in seconds, and whoever signs it signs it
    /// when asked: so the life counts from there, and the clocks of both sides need not agree.
    pub fn new(url: Url, asked: Instant) -> Self {
        let expires = life(&url).map(|life| asked + life);
        Self { url, expires }
    }

    /// Too little life is left to begin a transfer.
    pub fn is_expired(&self) -> bool {
        self.expires.is_some_and(|end| Instant::now() + MARGIN >= end)
    }
}

impl fmt::Debug for SignedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignedUrl(***)")
    }
}

/// Parameters that state a life in seconds: S3, Files.com's own proxies, Google.
const LIVES: [&str; 3] = ["X-Amz-Expires", "X-Files-Expires", "X-Goog-Expires"];

/// The life that a signed URL states; of Azure, the time from its start (`st`) to its end (`se`).
fn life(url: &Url) -> Option<Duration> {
    let value = |name: &str| {
        url.query_pairs().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.into_owned())
    };
    if let Some(seconds) = LIVES.iter().find_map(|name| value(name)?.parse::<u32>().ok()) {
        return Some(Duration::from_secs(seconds.into()));
    }
    let time = |name| value(name)?.parse::<jiff::Timestamp>().ok();
    let seconds = time("se")?.as_second() - time("st")?.as_second();
    u32::try_from(seconds).ok().map(|seconds| Duration::from_secs(seconds.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_url_tells_its_life() {
        let table = [
            ("https://s3/o?X-Amz-Date=20250523T173105Z&X-Amz-Expires=60&X-Amz-Signature=x", Some(60)),
            ("https://proxy/o?X-Files-Date=20250523T173105Z&X-Files-Expires=900", Some(900)),
            ("https://a/o?st=2025-05-23T17:31:05Z&se=2025-05-23T17:36:05Z&sig=x", Some(300)),
            ("https://s3/o?X-Amz-Expires=-3", None),
            ("https://other/o", None),
        ];
        for (url, seconds) in table {
            assert_eq!(life(&Url::parse(url).unwrap()), seconds.map(Duration::from_secs), "{url}");
        }
    }

    #[test]
    fn a_url_is_given_up_shortly_before_its_end() {
        let url = Url::parse("https://s3/o?X-Amz-Expires=60").unwrap();
        assert!(!SignedUrl::new(url.clone(), Instant::now()).is_expired());
        let long_ago = Instant::now().checked_sub(Duration::from_secs(59)).unwrap();
        assert!(SignedUrl::new(url, long_ago).is_expired());
    }
}
