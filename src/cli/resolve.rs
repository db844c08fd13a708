//! What is meant: the typed arguments, the configuration and the environment, put together.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Parser;
use url::Url;

use super::arguments::{AccessArguments, Command, CommandLine, MountArguments};
use super::exit_codes::{ExitCode, Failure};
use super::fstab;
use crate::config::{self, Config, CredentialSources, Environment, Found, Source};
use crate::mount::options::Options;
use crate::remote;

/// Which site, who we are, which folder.
#[derive(Debug)]
pub struct Access {
    /// The source as it is understood.
    pub source: Source,
    /// Base URL of the site.
    pub base: Url,
    /// The credentials, and what to say of them.
    pub found: Found,
}

/// Reads the configuration that goes with these arguments.
///
/// # Errors
/// Of the file.
pub fn load_config(arguments: &AccessArguments, environment: &Environment) -> Result<Config, Failure> {
    let usual = config::default_config(environment);
    Ok(Config::load(arguments.config.as_deref(), usual.as_deref())?)
}

/// The same with absolute paths: the daemon leaves its folder, and reads its credentials again later.
///
/// # Errors
/// An empty path.
pub fn anchored(arguments: &AccessArguments) -> Result<AccessArguments, Failure> {
    let anchor = |path: &Option<PathBuf>| path.as_deref().map(absolute).transpose();
    Ok(AccessArguments {
        api_key_file: anchor(&arguments.api_key_file)?,
        credentials: anchor(&arguments.credentials)?,
        config: anchor(&arguments.config)?,
        ..arguments.clone()
    })
}

/// Finds site and credentials.
///
/// # Errors
/// With the exit code of whatever is wrong: the site's name, or the configuration.
pub fn access(
    source: &str,
    arguments: &AccessArguments,
    config: &Config,
    environment: &Environment,
) -> Result<Access, Failure> {
    let source = config::parse_source(source, config)?;
    let base = remote::base_url_allowing_http(&source.site, arguments.allow_http)
        .map_err(config::ConfigError::Site)?;
    let found = credential_sources(&source, arguments, config, environment).find()?;
    Ok(Access { source, base, found })
}

/// Where credentials may come from; can be asked again while mounted.
pub fn credential_sources(
    source: &Source,
    arguments: &AccessArguments,
    config: &Config,
    environment: &Environment,
) -> CredentialSources {
    let storage = source.storage.as_deref().and_then(|name| config.storage(name));
    CredentialSources {
        api_key_file: arguments.api_key_file.clone(),
        credentials_file: arguments.credentials.clone(),
        storage: storage.map(|storage| storage.credentials.clone()),
        environment: environment.clone(),
        config: config.path().to_owned(),
    }
}

/// What a mount goes by, and a test of it: the options of the storage, and behind them what was typed.
#[derive(Debug)]
pub struct Effective {
    /// With absolute paths.
    pub arguments: Box<MountArguments>,
    /// What they were completed from.
    pub config: Config,
}

/// Completes what was typed (`words` is the whole command line of `mount`) from the configuration.
///
/// # Errors
/// Of the configuration.
pub fn effective(
    mut typed: Box<MountArguments>,
    words: &[OsString],
    environment: &Environment,
) -> Result<Effective, Failure> {
    typed.access = anchored(&typed.access)?;
    let config = load_config(&typed.access, environment)?;
    let mut arguments = with_storage_options(typed, words, &config)?;
    // The storage may have named files too.
    arguments.access = anchored(&arguments.access)?;
    Ok(Effective { arguments, config })
}

/// Reads a storage's own options in front of what was typed, so that what was typed wins.
///
/// # Errors
/// Options of the storage that cannot be taken, naming the file.
fn with_storage_options(
    typed: Box<MountArguments>,
    words: &[OsString],
    config: &Config,
) -> Result<Box<MountArguments>, Failure> {
    let source = config::parse_source(&typed.source, config)?;
    let storage = source.storage.as_deref().and_then(|name| config.storage(name));
    let Some(options) = storage.and_then(|storage| storage.options.as_deref()) else { return Ok(typed) };
    let wrong = |text: String| {
        let path = config.path().display();
        Failure::new(ExitCode::Usage, format!("{path}: options of storage {}: {text}", typed.source))
    };
    let folder = config.path().parent().unwrap_or(Path::new(""));
    let own = fstab::option_arguments_in(folder, options).map_err(|error| wrong(error.to_string()))?;
    let mut all: Vec<OsString> = words[..2.min(words.len())].to_vec();
    all.extend(own.into_iter().map(OsString::from));
    all.extend(words.iter().skip(2).cloned());
    match CommandLine::try_parse_from(all).map_err(|error| wrong(error.to_string()))?.command {
        Command::Mount(arguments) => Ok(arguments),
        _ => Err(wrong("they are no mount options".to_owned())),
    }
}

/// Puts the options of a mount together. Paths become absolute, since the daemon leaves its folder.
///
/// # Errors
/// A mountpoint that is none, a place that cannot be named.
pub fn mount_options(
    arguments: &MountArguments,
    access: Access,
    environment: &Environment,
) -> Result<Options, Failure> {
    let Access { source, base, found } = access;
    let id = config::id(&base, &source.folder);
    let state = arguments.state_dir.as_deref().map(absolute).transpose()?;
    let cache = arguments.cache_dir.as_deref().map(absolute).transpose()?;
    let (state_dir, cache_dir) = config::default_places(environment, &id, state, cache)?;
    Ok(Options {
        source: arguments.source.clone(),
        base,
        allow_http: arguments.access.allow_http,
        credentials: found.credentials,
        folder: source.folder,
        mountpoint: mountpoint(&arguments.mountpoint)?,
        state_dir,
        cache_dir,
        cache_size: arguments.cache_size,
        read_only: arguments.read_only,
        allow_other: arguments.allow_other,
        uid: arguments.uid.unwrap_or(environment.uid),
        gid: arguments.gid.unwrap_or(environment.gid),
        umask: arguments.umask,
        close: arguments.close.into(),
        verify: arguments.verify.into(),
        metadata: arguments.metadata.into(),
        names: arguments.names.into(),
        hard_links: arguments.hard_links.into(),
        symlinks: arguments.symlinks.into(),
        dir_ttl: arguments.dir_ttl,
        temporary_names: arguments.temporary_names.iter().filter(|name| !name.is_empty()).cloned().collect(),
        temporary_hold: arguments.temporary_hold,
        max_uploads: arguments.max_uploads.into(),
        max_downloads: arguments.max_downloads.into(),
        bandwidth_up: arguments.bwlimit_up.clone(),
        bandwidth_down: arguments.bwlimit_down.clone(),
        network_timeout: arguments.access.network_timeout,
        offline_start: arguments.offline_start,
        kernel: arguments.kernel_option.clone(),
    })
}

/// The absolute path of a mountpoint that can be mounted on.
fn mountpoint(path: &Path) -> Result<PathBuf, Failure> {
    let wrong = |text: String| Failure::new(ExitCode::Usage, text);
    let shown = path.display();
    match path.metadata() {
        Ok(found) if found.is_dir() => path
            .canonicalize()
            .map_err(|error| wrong(format!("the mountpoint {shown} cannot be used: {error}"))),
        Ok(_) => Err(wrong(format!("the mountpoint {shown} is no folder"))),
        Err(error) if error.raw_os_error() == Some(libc::ENOTCONN) => {
            Err(wrong(format!("a mount that has died is on {shown}; type: filescomfs umount {shown}")))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(wrong(format!("the mountpoint {shown} does not exist; type: mkdir {shown}")))
        }
        Err(error) => Err(wrong(format!("the mountpoint {shown} cannot be used: {error}"))),
    }
}

/// The path, counted from the root, whether or not it exists.
///
/// # Errors
/// An empty path.
pub fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path)
        .map_err(|error| Failure::new(ExitCode::Usage, format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::policy::Close;

    fn typed(words: &[&str]) -> (Box<MountArguments>, Vec<OsString>) {
        let words = fstab::normalize(words.iter().map(OsString::from).collect()).unwrap();
        match CommandLine::try_parse_from(&words).unwrap().command {
            Command::Mount(arguments) => (arguments, words),
            _ => panic!("not a mount"),
        }
    }

    fn options(words: &[&str]) -> Result<Options, Failure> {
        let (arguments, words) = typed(words);
        let text = "[storage.vault]\nsite='http://127.0.0.1:9'\napi_key='k'\noptions='ro,cache-size=1G'\n";
        let config = Config::parse(text, Path::new("/c.toml"))?;
        let environment = Environment::invented(7, &[("HOME", "/home/u"), ("FILES_API_KEY", "k")]);
        let arguments = with_storage_options(arguments, &words, &config)?;
        let access = access(&arguments.source, &arguments.access, &config, &environment)?;
        mount_options(&arguments, access, &environment)
    }

    #[test]
    fn a_user_who_sets_nothing_is_well_served() {
        let options = options(&["filescomfs", "mount", "mysite:/b", "/"]).unwrap();
        assert_eq!(options.base.as_str(), "https://mysite.files.com/");
        assert_eq!((options.cache_size, options.umask, options.uid), (10 << 30, 0o22, 7));
        assert_eq!((options.max_uploads, options.network_timeout.as_secs()), (64, 60));
        assert!(options.bandwidth_up.is_off() && options.bandwidth_down.is_off());
        assert!(options.state_dir.starts_with("/home/u/.local/state/filescomfs"));
    }

    #[test]
    fn what_is_typed_wins_over_the_storage() {
        let stored = options(&["filescomfs", "vault", "/"]).unwrap();
        assert!(stored.read_only);
        assert_eq!(stored.cache_size, 1 << 30);
        let typed = options(&["filescomfs", "vault", "/", "-o", "rw,cache-size=2G"]).unwrap();
        assert!(!typed.read_only);
        assert_eq!(typed.cache_size, 2 << 30);
    }

    #[test]
    fn the_last_of_two_options_counts_and_patterns_add_up() {
        let words = [
            "filescomfs",
            "s",
            "/",
            "-o",
            "ro,umask=077,temporary-names=a*:b*",
            "-o",
            "rw,temporary-names=c*",
        ];
        let options = options(&words).unwrap();
        assert_eq!((options.read_only, options.umask), (false, 0o77));
        assert_eq!(options.temporary_names, ["a*", "b*", "c*"]);
    }

    #[test]
    fn a_mountpoint_that_is_missing_is_told_before_anything_is_asked() {
        let failure = options(&["filescomfs", "s", "/no/such/folder"]).unwrap_err();
        assert_eq!(failure.code, ExitCode::Usage);
        assert!(failure.message.contains("mkdir /no/such/folder"));
    }

    #[test]
    fn the_mode_of_close_is_verified_unless_it_is_asked_for() {
        let mode = |words: &[&str]| options(words).unwrap().close;
        assert_eq!(mode(&["filescomfs", "s", "/"]), Close::Verified);
        assert_eq!(mode(&["filescomfs", "s", "/", "-o", "close=journaled"]), Close::Journaled);
    }
}
