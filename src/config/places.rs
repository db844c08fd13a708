//! Where a mount keeps its things unless it is told otherwise.

use std::path::PathBuf;

use url::Url;

use super::{ConfigError, Environment};
use crate::model::digest::Md5;
use crate::model::path::RemotePath;

/// The configuration that is read without being named.
pub fn default_config(environment: &Environment) -> Option<PathBuf> {
    if environment.is_root() {
        return Some("/etc/filescomfs/config.toml".into());
    }
    Some(environment.xdg("XDG_CONFIG_HOME", ".config")?.join("filescomfs/config.toml"))
}

/// A name for the folders of one mount: readable, and different for every site and folder. Who
/// mounts it does not matter: what one key left owed, the next may send.
pub fn id(base: &Url, folder: &RemotePath) -> String {
    let site = base.host_str().unwrap_or_default();
    let site = site.strip_suffix(".files.com").unwrap_or(site);
    let mut slug = String::new();
    for c in format!("{site}-{}", folder.as_str()).chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' => slug.push(c.to_ascii_lowercase()),
            _ if slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
    }
    let slug: String = slug.trim_matches(['-', '.']).chars().take(40).collect();
    let whole = Md5::of(format!("{base}\n{}", folder.as_str()).as_bytes()).to_string();
    format!("{slug}-{}", &whole[..8])
}

/// `(state, cache)`: where a mount keeps what is owed and what may be thrown away. What is given
/// wins; a cache folder alone holds the state too, in `state`.
///
/// # Errors
/// [`ConfigError::Place`] where no home folder is known.
pub fn default_places(
    environment: &Environment,
    id: &str,
    state: Option<PathBuf>,
    cache: Option<PathBuf>,
) -> Result<(PathBuf, PathBuf), ConfigError> {
    let place = |root: &str, variable: &str, below_home: &str, option: &str| {
        let parent = match environment.is_root() {
            true => PathBuf::from(root),
            false => environment.xdg(variable, below_home).ok_or_else(|| {
                ConfigError::Place(format!("neither HOME nor {variable} is set: give {option} FOLDER"))
            })?,
        };
        Ok::<_, ConfigError>(parent.join("filescomfs").join(id))
    };
    let state = match (state, &cache) {
        (Some(state), _) => state,
        (None, Some(cache)) => cache.join("state"),
        (None, None) => place("/var/lib", "XDG_STATE_HOME", ".local/state", "--state-dir")?,
    };
    let cache = match cache {
        Some(cache) => cache,
        None => place("/var/cache", "XDG_CACHE_HOME", ".cache", "--cache-dir")?,
    };
    Ok((state, cache))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_of(base: &str, folder: &str) -> String {
        id(&base.parse().unwrap(), &RemotePath::parse(folder).unwrap())
    }

    #[test]
    fn an_id_is_readable_and_tells_sites_and_folders_apart() {
        let one = id_of("https://mysite.files.com", "/Backups/Host 1");
        assert!(one.starts_with("mysite-backups-host-1-"), "{one}");
        assert_ne!(one, id_of("https://mysite.files.com", "/Backups/Host-1"));
        assert_ne!(id_of("http://127.0.0.1:1", "/"), id_of("http://127.0.0.1:2", "/"));
        for folder in ["/", "/é/ü x", "/a/b\\c/..d/.hidden", "/\u{7}"] {
            let id = id_of("https://mysite.files.com", folder);
            assert!(
                id.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '-' | '.')),
                "{id} is no plain name"
            );
            assert!(id.starts_with("mysite-"), "{id}");
        }
    }

    #[test]
    fn root_and_others_have_their_places() {
        let root = Environment::invented(0, &[]);
        let (state, cache) = default_places(&root, "x", None, None).unwrap();
        assert_eq!((state, cache), ("/var/lib/filescomfs/x".into(), "/var/cache/filescomfs/x".into()));

        let user = Environment::invented(7, &[("HOME", "/home/u"), ("XDG_CACHE_HOME", "/fast")]);
        let (state, cache) = default_places(&user, "x", None, None).unwrap();
        assert_eq!((state, cache), ("/home/u/.local/state/filescomfs/x".into(), "/fast/filescomfs/x".into()));

        assert!(default_places(&Environment::invented(7, &[]), "x", None, None).is_err());
    }

    #[test]
    fn a_cache_folder_alone_holds_the_state_too() {
        let user = Environment::invented(7, &[]);
        let (state, cache) = default_places(&user, "x", None, Some("/c".into())).unwrap();
        assert_eq!((state, cache), ("/c/state".into(), "/c".into()));
    }
}
