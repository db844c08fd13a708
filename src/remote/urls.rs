//! URLs: of the site, of the API's paths, and what a signed one says about its life.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::{Host, Url};

use crate::model::path::RemotePath;

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
    let not_a_site = || SiteNameError::NotASite(site.to_owned());
    if site.is_empty() || site.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(SiteNameError::Blank);
    }
    let (scheme, rest, is_url) = match site.split_once("://") {
        Some((scheme, rest)) if scheme == "https" || scheme == "http" => (scheme, rest, true),
        Some(_) => return Err(not_a_site()),
        None => ("https", site, false),
    };
    if rest.split('/').next().is_some_and(|host| host.contains('@')) {
        return Err(SiteNameError::WithUser);
    }
    let host = if !is_url && is_subdomain(rest) { format!("{rest}.files.com") } else { rest.to_owned() };
    let url = Url::parse(&format!("{scheme}://{host}")).map_err(|_| not_a_site())?;
    let Some(name) = url.host_str().filter(|name| is_url || is_domain(name)) else {
        return Err(match rest.split_once('/') {
            Some((first, _)) if is_subdomain(first) || is_domain(first) => {
                SiteNameError::WithPath(site.to_owned(), first.to_owned())
            }
            _ => not_a_site(),
        });
    };
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        let alone = if is_url { url.origin().ascii_serialization() } else { name.to_owned() };
        return Err(SiteNameError::WithPath(site.to_owned(), alone));
    }
    if scheme == "http" && !allow_http && !is_this_host(&url) {
        return Err(SiteNameError::PlainHttp(name.to_owned()));
    }
    Ok(url)
}

/// One label of a host name.
fn is_subdomain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Several labels, perhaps with a port.
fn is_domain(text: &str) -> bool {
    let host = text.split_once(':').map_or(text, |(host, _)| host);
    host.contains('.') && host.split('.').all(is_subdomain)
}

/// Does the URL lead to this host, where nobody listens in?
pub(super) fn is_this_host(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Everything but the unreserved characters of RFC 3986 is encoded.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The URL of `resource` (`/files`, `/folders`, …) of the API, for `path` where it has one. The root is
/// spelled with a slash behind the resource.
pub(super) fn api_url(base: &Url, resource: &str, path: Option<&RemotePath>) -> Url {
    let mut text = format!("/api/rest/v1{resource}");
    if let Some(path) = path {
        text.push('/');
        for (place, segment) in path.components().enumerate() {
            if place > 0 {
                text.push('/');
            }
            text.extend(utf8_percent_encode(segment, SEGMENT));
        }
    }
    let mut url = base.clone();
    url.set_path(&text);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_a_subdomain_a_domain_or_a_url() {
        let table = [
            ("mysite", "https://mysite.files.com/"),
            ("mysite.files.com", "https://mysite.files.com/"),
            ("files.example.com", "https://files.example.com/"),
            ("files.example.com:8443", "https://files.example.com:8443/"),
            ("https://mysite.files.com", "https://mysite.files.com/"),
            ("https://mysite.files.com/", "https://mysite.files.com/"),
            ("http://127.0.0.1:4041", "http://127.0.0.1:4041/"),
            ("http://localhost:4041/", "http://localhost:4041/"),
            ("http://[::1]:4041", "http://[::1]:4041/"),
        ];
        for (site, url) in table {
            assert_eq!(base_url(site).map(|url| url.to_string()).as_deref(), Ok(url), "{site}");
        }
    }

    #[test]
    fn what_is_no_site_is_refused_with_what_to_type() {
        use SiteNameError::*;
        let path = |site: &str, alone: &str| WithPath(site.into(), alone.into());
        let table = [
            ("", Blank),
            ("my site", Blank),
            ("mysite/backups", path("mysite/backups", "mysite")),
            ("mysite.files.com/backups", path("mysite.files.com/backups", "mysite.files.com")),
            ("https://a.files.com/x/", path("https://a.files.com/x/", "https://a.files.com")),
            ("https://a.files.com?x=1", path("https://a.files.com?x=1", "https://a.files.com")),
            ("http://nas.example.com", PlainHttp("nas.example.com".into())),
            ("https://me:word@a.files.com", WithUser),
            ("ftp://mysite.files.com", NotASite("ftp://mysite.files.com".into())),
            ("a..b", NotASite("a..b".into())),
            ("https://", NotASite("https://".into())),
        ];
        for (site, error) in table {
            assert_eq!(base_url(site), Err(error), "{site}");
        }
        assert!(base_url_allowing_http("http://nas.example.com", true).is_ok());
    }

    #[test]
    fn an_error_about_credentials_in_a_url_does_not_repeat_them() {
        assert!(!base_url("https://me:hunter2@a.files.com").unwrap_err().to_string().contains("hunter2"));
    }

    #[test]
    fn every_segment_of_a_path_is_encoded_and_the_slashes_stay() {
        let base = Url::parse("https://mysite.files.com").unwrap();
        let url = |path| api_url(&base, "/folders", Some(&RemotePath::parse(path).unwrap())).to_string();
        assert_eq!(url(""), "https://mysite.files.com/api/rest/v1/folders/");
        assert_eq!(
            url("a b/(c)/100%?#&+\\ü"),
            "https://mysite.files.com/api/rest/v1/folders/a%20b/%28c%29/100%25%3F%23%26%2B%5C%C3%BC"
        );
        assert_eq!(url("%2e%2e/x"), "https://mysite.files.com/api/rest/v1/folders/%252e%252e/x");
        assert_eq!(api_url(&base, "/api_key", None).path(), "/api/rest/v1/api_key");
    }
}
