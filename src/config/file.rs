//! The configuration file: named storages.
//!
//! ```toml
//! [storage.vault]
//! site = "mysite"                      # subdomain, custom domain or full URL
//! api_key_file = "/etc/filescomfs/vault.key"
//! folder = "/backups/host1"            # optional: what is mounted
//! options = "cache-size=50G,verify=strict"   # optional: as after -o
//! ```
//!
//! Read key by key rather than derived, so that an error can name the key and never shows its value.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::credentials::secret;
use super::{ConfigError, private, similar, source};
use crate::model::path::RemotePath;
use crate::remote::{Credentials, Secret};

/// Where a storage has its credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredCredentials {
    /// A file that holds the key and nothing else.
    ApiKeyFile(PathBuf),
    /// A file with `api_key=…`, or `username=…` and `password=…`.
    CredentialsFile(PathBuf),
    /// In the configuration itself.
    Here(Credentials),
    /// Nowhere: the environment has to give them.
    Elsewhere,
}

/// One named storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// Subdomain, custom domain or full URL.
    pub site: String,
    /// Where its credentials are.
    pub credentials: StoredCredentials,
    /// The folder that is mounted when SOURCE names none.
    pub folder: Option<RemotePath>,
    /// Mount options, as after `-o`; what is typed wins.
    pub options: Option<String>,
}

/// A configuration file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    path: PathBuf,
    storages: BTreeMap<String, Storage>,
}

impl Config {
    /// Reads the file that was named, which must exist, or the usual one, which need not.
    ///
    /// # Errors
    /// A file that is exposed, unreadable or wrong.
    pub fn load(named: Option<&Path>, usual: Option<&Path>) -> Result<Self, ConfigError> {
        match (named, usual) {
            (Some(path), _) => Self::parse(&private::read(path)?, path),
            (None, Some(path)) => match private::read(path) {
                Ok(text) => Self::parse(&text, path),
                Err(ConfigError::Unreadable(_, error)) if error.kind() == std::io::ErrorKind::NotFound => {
                    Ok(Self { path: path.to_owned(), ..Self::default() })
                }
                Err(error) => Err(error),
            },
            (None, None) => Ok(Self::default()),
        }
    }

    /// Reads the text of the file at `path`, which errors name.
    ///
    /// # Errors
    /// [`ConfigError::File`] with the key or the line that is wrong.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let wrong = |message: String| ConfigError::File { path: path.to_owned(), message };
        let table: Table = toml::from_str(text).map_err(|error: toml::de::Error| {
            let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            wrong(format!("line {line} is no TOML: {}", error.message()))
        })?;
        let mut storages = BTreeMap::new();
        for (key, value) in table {
            let Value::Table(named) = value else {
                return Err(wrong(format!("unknown key {key}: only [storage.NAME] tables are known")));
            };
            if key != "storage" {
                return Err(wrong(format!("unknown table [{key}]: only [storage.NAME] is known")));
            }
            for (name, storage) in named {
                let section = format!("storage.{name}");
                let Value::Table(fields) = storage else {
                    return Err(wrong(format!("{section} must be a table: [{section}]")));
                };
                if name.is_empty() || name.contains([':', '/']) || name.contains(char::is_whitespace) {
                    return Err(wrong(format!("[{section}]: a name has no colon, slash or blank")));
                }
                let storage = Fields { section: &section, path, fields }.storage()?;
                storages.insert(name, storage);
            }
        }
        Ok(Self { path: path.to_owned(), storages })
    }

    /// The storage of this name.
    pub fn storage(&self, name: &str) -> Option<&Storage> {
        self.storages.get(name)
    }

    /// The file that was read, or that would be.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The keys of a storage.
const KEYS: [&str; 8] =
    ["site", "folder", "options", "api_key_file", "credentials_file", "api_key", "username", "password"];

/// The fields of one storage; what is taken is known, what is left is not.
struct Fields<'a> {
    section: &'a str,
    path: &'a Path,
    fields: Table,
}

impl Fields<'_> {
    fn wrong(&self, message: impl std::fmt::Display) -> ConfigError {
        ConfigError::File { path: self.path.to_owned(), message: format!("[{}]: {message}", self.section) }
    }

    fn text(&mut self, key: &str) -> Result<Option<String>, ConfigError> {
        match self.fields.remove(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(format_args!("{key} must be a text in quotes"))),
        }
    }

    /// A path counts from the folder of the configuration.
    fn file(&mut self, key: &str) -> Result<Option<PathBuf>, ConfigError> {
        let parent = self.path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(self.text(key)?.map(|text| parent.join(text)))
    }

    fn secret(&mut self, key: &str) -> Result<Option<Secret>, ConfigError> {
        let place = format!("{} in {}: [{}]", key, self.path.display(), self.section);
        self.text(key)?.map(|text| secret(&text, &place)).transpose()
    }

    fn storage(mut self) -> Result<Storage, ConfigError> {
        let site = self.text("site")?.ok_or_else(|| self.wrong("site is missing"))?;
        let folder = self.text("folder")?.map(|text| source::parse_folder(&text)).transpose()?;
        let options = self.text("options")?;
        let mut given = Vec::new();
        given.extend(self.file("api_key_file")?.map(StoredCredentials::ApiKeyFile));
        given.extend(self.file("credentials_file")?.map(StoredCredentials::CredentialsFile));
        let key = self.secret("api_key")?;
        given.extend(key.map(|key| StoredCredentials::Here(Credentials::ApiKey(key))));
        match (self.text("username")?, self.secret("password")?) {
            (Some(username), Some(password)) => {
                given.push(StoredCredentials::Here(Credentials::Login { username, password }));
            }
            (None, None) => {}
            _ => return Err(self.wrong("username and password belong together")),
        }
        if let Some(key) = self.fields.keys().next() {
            let meant =
                similar(key, KEYS).map(|meant| format!(" (did you mean {meant}?)")).unwrap_or_default();
            return Err(self.wrong(format_args!("unknown key {key}{meant}; known are {}", KEYS.join(", "))));
        }
        let credentials = match given.len() {
            0 => StoredCredentials::Elsewhere,
            1 => given.remove(0),
            _ => {
                return Err(self.wrong(
                    "give one of api_key_file, credentials_file, api_key, or username with password",
                ));
            }
        };
        Ok(Storage { site, credentials, folder, options })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("/etc/filescomfs/config.toml"))
    }

    #[test]
    fn a_storage_is_read() {
        let config = parse(
            "[storage.vault]\nsite='mysite'\nfolder='/b/'\napi_key_file='vault.key'\noptions='ro'\n\
             [storage.other]\nsite='files.example.com'\nusername='u'\npassword='p '\n",
        )
        .unwrap();
        let vault = config.storage("vault").unwrap();
        assert_eq!(vault.credentials, StoredCredentials::ApiKeyFile("/etc/filescomfs/vault.key".into()));
        assert_eq!(vault.folder.as_ref().unwrap().as_str(), "b");
        assert_eq!(vault.options.as_deref(), Some("ro"));
        assert!(matches!(
            &config.storage("other").unwrap().credentials,
            StoredCredentials::Here(Credentials::Login { username, .. }) if username == "u"
        ));
        assert_eq!(config.storage("third"), None);
    }

    #[test]
    fn what_is_wrong_is_named_and_no_secret_is_shown() {
        for (text, named) in [
            ("[storage.v]\nsite='s'\napi_key='SECRET'\ncolour='x'", "unknown key colour;"),
            ("[storage.v]\nsite='s'\napi_key_flie='SECRET'", "did you mean api_key_file?"),
            ("[storage.v]\nsite='s'\noption='ro'", "did you mean options?"),
            ("[storage.v]\napi_key='SECRET'", "site is missing"),
            ("[storage.v]\nsite=7", "site must be a text"),
            ("[storage.v]\nsite='s'\napi_key=5551234", "api_key must be a text"),
            ("[storage.v]\nsite='s'\napi_key='SECRET'\napi_key_file='f'", "give one of"),
            ("[storage.v]\nsite='s'\nusername='u'", "belong together"),
            ("[storage.v]\nsite='s'\napi_key='  '", "empty"),
            ("[server]\nx=1", "unknown table [server]"),
            ("colour='SECRET'", "unknown key colour"),
            ("[storage.v]\nsite='s'\napi_key='SECRET", "line 3"),
            ("[storage.v]\nsite='s'\nfolder='/a/..'", ".."),
            ("[storage.'a:b']\nsite='s'", "no colon"),
        ] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.contains(named), "{text}: {message}");
            assert!(!message.contains("SECRET") && !message.contains("555"), "{message}");
        }
    }

    #[test]
    fn a_usual_file_may_be_missing_and_a_named_one_may_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        assert!(Config::load(None, Some(&path)).is_ok());
        assert!(matches!(Config::load(Some(&path), None), Err(ConfigError::Unreadable(..))));
    }
}
