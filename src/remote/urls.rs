//! URLs: of the site, of the API's paths, and what a signed one says about its life.

use url::Url;

/// A site name that no base URL can be made of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SiteNameError {
    /// Nothing, or blanks in it.
    #[error(
        "the site name is empty or holds blanks: give the subdomain (mysite), a custom domain or a full URL"
    )]
    Blank,
    /// A path, a query or a fragment behind the host.
    #[error("{0:?} has a path behind the host: give {1} alone, and the folder as SOURCE:/FOLDER")]
    WithPath(String, String),
    /// A user name or password in the URL.
    #[error("the URL holds a user name or password: credentials are never part of the source")]
    WithUser,
    /// `http://` beyond this host.
    #[error(
        "http://{0} is not encrypted: use https://{0} (or --allow-http, which shows the key to the network)"
    )]
    PlainHttp(String),
    /// Neither a subdomain, nor a domain, nor a URL.
    #[error(
        "{0:?} is no site name: give the subdomain (mysite), a custom domain (files.example.com) or a full URL"
    )]
    NotASite(String),
}

/// The base URL of a site, from what a person typed: `mysite` is `https://mysite.files.com`, a name
/// with a dot is a domain, a full URL stays as it is.
///
/// # Errors
/// Each says what to type instead. Plain http is only taken for this host (the emulator);
/// [`base_url_allowing_http`] takes it for others.
pub fn base_url(site: &str) -> Result<Url, SiteNameError> {
    base_url_allowing_http(site, false)
}

/// Like [`base_url`]; `allow_http` takes plain http for any host.
///
/// # Errors
/// As for [`base_url`].
pub fn base_url_allowing_http(site: &str, allow_http: bool) -> Result<Url, SiteNameError> {
    let _ = allow_http;
    Err(SiteNameError::NotASite(site.to_owned()))
}
