//! `NAME[:/FOLDER]`: what is mounted.

use super::{Config, ConfigError, Storage};
use crate::model::path::RemotePath;

/// How the site was written, which `test` remarks on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// `mysite`: what is meant for a site of Files.com.
    Subdomain,
    /// `mysite.files.com`, where `mysite` would do.
    FilesDomain,
    /// `files.example.com`: a domain of one's own.
    CustomDomain,
    /// `https://mysite.files.com`, where `mysite` would do.
    FilesUrl,
    /// `https://files.example.com`, `http://127.0.0.1:4041`.
    Url,
}

impl Spelling {
    fn of(site: &str) -> Self {
        let lower = site.to_ascii_lowercase();
        match (lower.contains("://"), lower.contains(".files.com")) {
            (true, true) => Self::FilesUrl,
            (true, false) => Self::Url,
            (false, true) => Self::FilesDomain,
            (false, false) if lower.contains('.') => Self::CustomDomain,
            (false, false) => Self::Subdomain,
        }
    }
}

/// A source as it is understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Site as it is written: in SOURCE, or in the storage.
    pub site: String,
    /// How it is written.
    pub spelling: Spelling,
    /// The folder that becomes the root.
    pub folder: RemotePath,
    /// Name of the storage, where SOURCE names one.
    pub storage: Option<String>,
}

/// Reads a SOURCE. A storage's name comes before a site's; a folder in SOURCE comes before the
/// storage's, and both count from the root of the site.
///
/// # Errors
/// [`ConfigError::Source`] with what to type instead.
pub fn parse_source(text: &str, config: &Config) -> Result<Source, ConfigError> {
    let (name, folder) = split(text)?;
    let folder = folder.map(parse_folder).transpose()?;
    if let Some(Storage { site, folder: stored, .. }) = config.storage(name) {
        return Ok(Source {
            site: site.clone(),
            spelling: Spelling::of(site),
            folder: folder.or_else(|| stored.clone()).unwrap_or_default(),
            storage: Some(name.to_owned()),
        });
    }
    Ok(Source {
        site: name.to_owned(),
        spelling: Spelling::of(name),
        folder: folder.unwrap_or_default(),
        storage: None,
    })
}

/// Name and folder. The colon of a scheme or of a port is none of ours: ours has one slash after it.
fn split(text: &str) -> Result<(&str, Option<&str>), ConfigError> {
    let scheme = text.find("://").map_or(0, |at| at + 3);
    let (name, folder) = match text[scheme..].find(":/") {
        Some(at) => (&text[..scheme + at], Some(&text[scheme + at + 1..])),
        None => (text, None),
    };
    if name.is_empty() {
        return Err(ConfigError::Source(
            "SOURCE has no name: NAME[:/FOLDER] is wanted, such as mysite:/backups".into(),
        ));
    }
    if scheme == 0
        && let Some((site, rest)) = name.split_once(':')
        && !rest.bytes().all(|b| b.is_ascii_digit())
    {
        return Err(ConfigError::Source(format!(
            "the folder of a SOURCE begins with a slash: did you mean {site}:/{rest} ?"
        )));
    }
    if scheme == 0 && name.contains('/') {
        let (site, rest) = name.split_once('/').unwrap_or((name, ""));
        return Err(ConfigError::Source(format!(
            "a colon goes between site and folder: did you mean {site}:/{rest} ?"
        )));
    }
    Ok((name, folder))
}

pub(super) fn parse_folder(text: &str) -> Result<RemotePath, ConfigError> {
    RemotePath::parse(text).ok_or_else(|| {
        ConfigError::Source(format!("the folder {text:?} holds `.` or `..`: give its path from the root"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn source(text: &str) -> Result<Source, ConfigError> {
        let config = "[storage.vault]\nsite = 'mysite'\nfolder = '/a/b'\napi_key = 'k'\n";
        parse_source(text, &Config::parse(config, Path::new("c.toml")).unwrap())
    }

    fn understood(text: &str) -> (String, String, Spelling) {
        let source = source(text).unwrap();
        (source.site, source.folder.to_string(), source.spelling)
    }

    #[test]
    fn every_form_of_a_source_is_understood() {
        for (text, site, folder, spelling) in [
            ("mysite", "mysite", "/", Spelling::Subdomain),
            ("mysite:/", "mysite", "/", Spelling::Subdomain),
            ("mysite:/a/b c:/d", "mysite", "/a/b c:/d", Spelling::Subdomain),
            ("files.example.com:/x", "files.example.com", "/x", Spelling::CustomDomain),
            ("mysite.files.com", "mysite.files.com", "/", Spelling::FilesDomain),
            ("https://mysite.files.com/:/x", "https://mysite.files.com/", "/x", Spelling::FilesUrl),
            ("http://127.0.0.1:4041", "http://127.0.0.1:4041", "/", Spelling::Url),
            ("http://127.0.0.1:4041:/x/", "http://127.0.0.1:4041", "/x", Spelling::Url),
            ("http://[::1]:4041:/x", "http://[::1]:4041", "/x", Spelling::Url),
            ("vault", "mysite", "/a/b", Spelling::Subdomain),
            ("vault:/c", "mysite", "/c", Spelling::Subdomain),
            ("vault:/", "mysite", "/", Spelling::Subdomain),
        ] {
            assert_eq!(understood(text), (site.to_owned(), folder.to_owned(), spelling), "{text}");
        }
    }

    #[test]
    fn a_source_that_is_none_says_what_to_type() {
        for (text, hint) in [
            ("", "NAME[:/FOLDER]"),
            (":/x", "NAME[:/FOLDER]"),
            ("mysite:backups", "mysite:/backups"),
            ("mysite/backups", "mysite:/backups"),
            ("mysite:/a/../b", ".."),
        ] {
            let message = source(text).unwrap_err().to_string();
            assert!(message.contains(hint), "{text}: {message}");
        }
    }
}
