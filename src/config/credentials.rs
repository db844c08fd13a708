//! Who we are: the first source that says so.
//!
//! In this order: what the command line names, the storage, systemd's credentials, the environment.
//! Within one of them a key comes before a user name, and the log says that it did. The sources can
//! be asked again while mounted, so that a key is changed without unmounting.

use std::path::{Path, PathBuf};

use super::{ConfigError, Environment, StoredCredentials, private};
use crate::remote::{Credentials, Secret};

/// Everything that may hold credentials.
#[derive(Debug, Clone)]
pub struct CredentialSources {
    /// `--api-key-file`.
    pub api_key_file: Option<PathBuf>,
    /// `--credentials`.
    pub credentials_file: Option<PathBuf>,
    /// What the storage says, where SOURCE names one.
    pub storage: Option<StoredCredentials>,
    /// Variables, systemd's among them.
    pub environment: Environment,
    /// Where a storage would be written, for the error that none was found.
    pub config: PathBuf,
}

/// Credentials, and what to say of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The credentials.
    pub credentials: Credentials,
    /// Where they come from: the name of a file or variable.
    pub origin: String,
    /// For the log, where something was passed over.
    pub note: Option<String>,
}

impl CredentialSources {
    /// Reads the first source that has any.
    ///
    /// # Errors
    /// A source that is named but unusable ends the search: the next one may be another account.
    pub fn find(&self) -> Result<Found, ConfigError> {
        private::keep_out_of_dumps();
        let found = match self.named()? {
            Some(found) => Some(found),
            None => match self.stored()? {
                Some(found) => Some(found),
                None => match self.of_systemd()? {
                    Some(found) => Some(found),
                    None => self.variables()?,
                },
            },
        };
        found.ok_or_else(|| ConfigError::NoCredentials(self.config.clone()))
    }

    fn named(&self) -> Result<Option<Found>, ConfigError> {
        match (&self.api_key_file, &self.credentials_file) {
            (Some(path), passed_over) => {
                let mut found = key_file(path)?;
                found.note = passed_over.as_ref().map(|passed_over| {
                    format!("the key of {} is used, not {}", path.display(), passed_over.display())
                });
                Ok(Some(found))
            }
            (None, Some(path)) => credentials_file(path).map(Some),
            (None, None) => Ok(None),
        }
    }

    fn stored(&self) -> Result<Option<Found>, ConfigError> {
        Ok(match &self.storage {
            None | Some(StoredCredentials::Elsewhere) => None,
            Some(StoredCredentials::ApiKeyFile(path)) => Some(key_file(path)?),
            Some(StoredCredentials::CredentialsFile(path)) => Some(credentials_file(path)?),
            Some(StoredCredentials::Here(credentials)) => Some(Found {
                credentials: credentials.clone(),
                origin: self.config.display().to_string(),
                note: None,
            }),
        })
    }

    /// `filescomfs.api-key` (the key alone), or `filescomfs` (as for `--credentials`).
    fn of_systemd(&self) -> Result<Option<Found>, ConfigError> {
        let Some(folder) = self.environment.path("CREDENTIALS_DIRECTORY") else { return Ok(None) };
        let path = folder.join("filescomfs.api-key");
        if let Some(text) = private::read_guarded(&path)? {
            return key(&text, &path.display().to_string()).map(Some);
        }
        let path = folder.join("filescomfs");
        match private::read_guarded(&path)? {
            Some(text) => parse_credentials(&text, &path).map(Some),
            None => Ok(None),
        }
    }

    fn variables(&self) -> Result<Option<Found>, ConfigError> {
        let get = |name: &str| self.environment.get(name).map(|value| value.to_string_lossy().into_owned());
        let given = Given {
            api_key: get("FILES_API_KEY"),
            username: get("FILES_USERNAME"),
            password: get("FILES_PASSWORD"),
        };
        given.choose("the environment (FILES_API_KEY, FILES_USERNAME, FILES_PASSWORD)")
    }
}

fn key_file(path: &Path) -> Result<Found, ConfigError> {
    key(&private::read(path)?, &path.display().to_string())
}

fn key(text: &str, origin: &str) -> Result<Found, ConfigError> {
    let key = secret(text, origin)?;
    Ok(Found { credentials: Credentials::ApiKey(key), origin: origin.to_owned(), note: None })
}

fn credentials_file(path: &Path) -> Result<Found, ConfigError> {
    parse_credentials(&private::read(path)?, path)
}

/// `name=value` lines; blank lines and lines that begin with `#` do not count.
fn parse_credentials(text: &str, path: &Path) -> Result<Found, ConfigError> {
    let wrong = |message: String| ConfigError::File { path: path.to_owned(), message };
    let mut given = Given::default();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start();
        if line.trim_end().is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) =
            line.split_once('=').ok_or_else(|| wrong(format!("line {number} is not NAME=VALUE")))?;
        let slot = match name.trim_end() {
            "api_key" => &mut given.api_key,
            "username" => &mut given.username,
            "password" => &mut given.password,
            // What stands before the `=` may be part of a key that was pasted in.
            _ => {
                return Err(wrong(format!("line {number} is not one of api_key=, username=, password=")));
            }
        };
        *slot = Some(value.to_owned());
    }
    let origin = path.display().to_string();
    given.choose(&origin)?.ok_or_else(|| wrong("holds neither api_key= nor username= and password=".into()))
}

/// What one source gives.
#[derive(Default)]
struct Given {
    api_key: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

impl Given {
    fn choose(self, origin: &str) -> Result<Option<Found>, ConfigError> {
        let note = (self.api_key.is_some() && self.username.is_some())
            .then(|| format!("{origin} gives both an API key and a user name: the key is used"));
        let credentials = match self {
            Self { api_key: Some(key), .. } => Credentials::ApiKey(secret(&key, origin)?),
            Self { username: Some(username), password: Some(password), .. } => Credentials::Login {
                username: username.trim_end().to_owned(),
                password: secret(&password, origin)?,
            },
            Self { username: None, password: None, .. } => return Ok(None),
            _ => return Err(ConfigError::HalfLogin(origin.to_owned())),
        };
        Ok(Some(Found { credentials, origin: origin.to_owned(), note }))
    }
}

/// A secret as it was read from `place`. Editors and `echo` leave blanks and a line end behind it,
/// which no key or password ends with.
pub(super) fn secret(text: &str, place: &str) -> Result<Secret, ConfigError> {
    let text = text.trim_end();
    if text.is_empty() { Err(ConfigError::EmptySecret(place.to_owned())) } else { Ok(text.to_owned().into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn sources(variables: &[(&str, &str)]) -> CredentialSources {
        CredentialSources {
            api_key_file: None,
            credentials_file: None,
            storage: None,
            environment: Environment::invented(7, variables),
            config: "/c.toml".into(),
        }
    }

    fn file(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn found_key(sources: &CredentialSources) -> String {
        match sources.find().unwrap().credentials {
            Credentials::ApiKey(key) => key.expose().to_owned(),
            Credentials::Login { username, .. } => format!("login {username}"),
        }
    }

    #[test]
    fn the_nearest_source_wins() {
        let folder = tempfile::tempdir().unwrap();
        let systemd = folder.path().join("systemd");
        fs::create_dir(&systemd).unwrap();
        let directory = systemd.to_str().unwrap().to_owned();
        let mut all = sources(&[
            ("FILES_API_KEY", "env"),
            ("FILES_USERNAME", "u"),
            ("FILES_PASSWORD", "p"),
            ("CREDENTIALS_DIRECTORY", &directory),
        ]);
        assert_eq!(found_key(&all), "env");
        file(&systemd, "filescomfs", "username=s\npassword=p\n");
        assert_eq!(found_key(&all), "login s");
        file(&systemd, "filescomfs.api-key", "systemd\n");
        assert_eq!(found_key(&all), "systemd");
        all.storage = Some(StoredCredentials::Elsewhere);
        assert_eq!(found_key(&all), "systemd");
        all.storage = Some(StoredCredentials::ApiKeyFile(file(folder.path(), "s", "storage\n")));
        assert_eq!(found_key(&all), "storage");
        all.credentials_file = Some(file(folder.path(), "c", "# mine\n\napi_key=named \n"));
        assert_eq!(found_key(&all), "named");
        all.api_key_file = Some(file(folder.path(), "k", "alone \r\n"));
        assert_eq!(found_key(&all), "alone");
        assert!(all.find().unwrap().note.is_some());
    }

    #[test]
    fn a_key_wins_over_a_user_name_and_it_is_said() {
        let both = sources(&[("FILES_API_KEY", "k"), ("FILES_USERNAME", "u"), ("FILES_PASSWORD", "p")])
            .find()
            .unwrap();
        assert_eq!(both.credentials, Credentials::ApiKey("k".to_owned().into()));
        assert!(both.note.unwrap().contains("the key is used"));
    }

    #[test]
    fn a_source_that_is_unusable_ends_the_search_without_showing_anything() {
        let folder = tempfile::tempdir().unwrap();
        for (text, named) in [
            ("", "neither"),
            ("username=SECRET\n", "user name without a password"),
            ("api_key=\n", "is empty"),
            ("SECRET\n", "line 1"),
            ("SECRET=SECRET\n", "line 1"),
        ] {
            let mut all = sources(&[("FILES_API_KEY", "env")]);
            all.credentials_file = Some(file(folder.path(), "c", text));
            let message = all.find().unwrap_err().to_string();
            assert!(message.contains(named), "{text:?}: {message}");
            assert!(!message.contains("SECRET"), "{message}");
        }
    }

    #[test]
    fn without_any_source_the_error_lists_them() {
        let message = sources(&[]).find().unwrap_err().to_string();
        assert!(message.contains("--api-key-file") && message.contains("FILES_API_KEY"), "{message}");
        assert!(matches!(sources(&[("FILES_USERNAME", "u")]).find(), Err(ConfigError::HalfLogin(_))));
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let all = sources(&[("FILES_API_KEY", "SECRET")]);
        assert!(!format!("{all:?} {:?}", all.find().unwrap()).contains("SECRET"));
    }
}
