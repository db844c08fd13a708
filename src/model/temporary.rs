//! Which names are temporary: written, closed, and renamed a moment later.
//!
//! A backup tool writes under such a name and renames it to the final one within milliseconds. What
//! is published is the final name, so the close of a temporary name is kept here, and the rename
//! publishes. The patterns are narrow on purpose: a final name that looks temporary would get its
//! proof only after the hold.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// The names to hold back.
#[derive(Debug, Clone, Default)]
pub struct TemporaryNames {
    /// Patterns beyond the built-in ones; `*` stands for any bytes, everything else for itself.
    extra: Vec<Vec<u8>>,
}

impl TemporaryNames {
    /// The built-in patterns and these.
    pub fn with(extra: impl IntoIterator<Item = String>) -> Self {
        Self { extra: extra.into_iter().map(String::into_bytes).collect() }
    }

    /// Is a file that was just created under `name` going to be renamed?
    ///
    /// `private` says that it was created exclusively and for its owner alone (`O_EXCL`, mode 0600 or
    /// 0700), as mkstemp(3) and rsync do: rsync's names are told from ordinary hidden files by that.
    pub fn matches(&self, name: &OsStr, private: bool) -> bool {
        let name = name.as_bytes();
        (private && (looks_like_mkstemp(name) || is_drawn_by_lot(name)))
            || BUILT_IN.iter().any(|pattern| matches(pattern, name))
            || self.extra.iter().any(|pattern| matches(pattern, name))
    }

    /// Is a symbolic link that was just made under `name` going to be renamed?
    pub fn matches_link(&self, name: &OsStr) -> bool {
        self.matches(name, true) || looks_like_a_new_link(name.as_bytes())
    }
}

/// The name that a file under a temporary name will have, where it can be read from that.
pub fn final_name(name: &OsStr) -> Option<&OsStr> {
    let name = name.as_bytes();
    let ends = [&b".pgbackrest.tmp"[..], b".tmp", b".partial"];
    let end = ends.iter().find_map(|end| name.strip_suffix(*end));
    let own = match end {
        Some(own) => own,
        None if looks_like_mkstemp(name) || looks_like_a_new_link(name) => {
            let dot = name.iter().rposition(|&b| b == b'.')?;
            let start = usize::from(name.starts_with(b"."));
            &name[start..dot]
        }
        None => return None,
    };
    (!own.is_empty() && own != b"." && own != b"..").then(|| OsStr::from_bytes(own))
}

/// `.NAME.PID`: the name under which rsync makes a symbolic link that replaces something.
fn looks_like_a_new_link(name: &[u8]) -> bool {
    let Some(rest) = name.strip_prefix(b".") else { return false };
    let Some(dot) = rest.iter().rposition(|&b| b == b'.') else { return false };
    let pid = &rest[dot + 1..];
    dot > 0 && (1..=7).contains(&pid.len()) && pid.iter().all(u8::is_ascii_digit)
}

/// restic, borg, kopia, borgstore, rclone, pgBackRest, downloads, the folders of `rsync --delay-updates`, and the like.
const BUILT_IN: [&[u8]; 7] =
    [b"*-tmp-*", b"?*.tmp", b"?*.tmp.*", b"?*.partial", b"?*.part", b"?*.pgbackrest.tmp", b".~tmp~"];

/// `tmpXXXXXXXX`, `tmp.XXXXXXXXXX`: Python and mktemp(1), of which nothing can be read.
fn is_drawn_by_lot(name: &[u8]) -> bool {
    let suffix = name.strip_prefix(b"tmp").map(|suffix| suffix.strip_prefix(b".").unwrap_or(suffix));
    suffix.is_some_and(|suffix| {
        let is_drawn = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
        (6..=10).contains(&suffix.len()) && suffix.iter().all(is_drawn)
    })
}

/// `.NAME.XXXXXX`, six letters or digits: rsync; `NAME.XXXXXX`, where they look drawn by lot: rsync with `--temp-dir`.
fn looks_like_mkstemp(name: &[u8]) -> bool {
    let is_drawn = |suffix: &[u8]| {
        let has = |is: fn(&u8) -> bool| suffix.iter().any(is);
        // Words, dates and versions are none of these.
        has(u8::is_ascii_lowercase) && suffix.iter().skip(1).any(u8::is_ascii_uppercase)
    };
    let is_hidden = name.starts_with(b".");
    let rest = if is_hidden { &name[1..] } else { name };
    let Some(dot) = rest.iter().rposition(|&b| b == b'.') else { return false };
    let suffix = &rest[dot + 1..];
    let fits = dot > 0 && suffix.len() == 6 && suffix.iter().all(u8::is_ascii_alphanumeric);
    fits && (is_hidden || is_drawn(suffix))
}

/// Matches `*` (any bytes) and `?` (one byte) greedily with one point of return.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut retry = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, n));
                p += 1;
            }
            Some(&b) if b == b'?' || b == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match retry {
                Some((after, from)) => {
                    p = after;
                    n = from + 1;
                    retry = Some((after, n));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&b| b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_backup_tools_are_known() {
        let names = TemporaryNames::default();
        for (name, private) in [
            (".data.bin.Ab3dE9", true),
            ("3f2a-tmp-123456", true),
            ("index.7.tmp", false),
            ("hints.12.tmp", false),
            ("lock.exclusive.aXb2.tmp", false),
            ("pq1.f.tmp.0a1b2c3d", false),
            ("photo.jpg.partial", false),
            ("backup.info.pgbackrest.tmp", false),
            ("data.bin.Ab3dE9", true),
            ("tmp.x7GkQpLm2z", true),
            ("tmpk3j_9x0q", true),
            ("movie.mkv.part", false),
            (".~tmp~", false),
        ] {
            assert!(names.matches(OsStr::new(name), private), "{name}");
        }
    }

    #[test]
    fn ordinary_names_are_published_when_they_are_closed() {
        let names = TemporaryNames::default();
        for name in
            ["data.bin", ".bashrc", ".config.backup", ".tmp", "tmp", "partial", "a.tmpl", ".data.bin.Ab3dE9"]
        {
            assert!(!names.matches(OsStr::new(name), false), "{name}");
        }
        for name in [
            ".profile.backup7",
            "db.backup",
            "dump.202401",
            "lib.so.v20240",
            "NEWS.README",
            "a.Readme",
            "tmp",
        ] {
            assert!(!names.matches(OsStr::new(name), true), "{name}");
        }
    }

    #[test]
    fn links_that_replace_something_are_known() {
        let names = TemporaryNames::default();
        for (name, temporary) in
            [(".x.3465", true), (".latest.Ab3dE9", true), (".x", false), ("x.3465", false)]
        {
            assert_eq!(names.matches_link(OsStr::new(name)), temporary, "{name}");
        }
        assert!(!names.matches(OsStr::new(".x.3465"), false));
    }

    #[test]
    fn the_final_name_is_read_from_those_that_hold_it() {
        for (name, expected) in [
            (".data.bin.Ab3dE9", Some("data.bin")),
            ("data.bin.Ab3dE9", Some("data.bin")),
            ("tmpk3j_9x0q", None),
            ("tmp.x7GkQpLm2z", None),
            (".x.3465", Some("x")),
            ("index.7.tmp", Some("index.7")),
            ("photo.jpg.partial", Some("photo.jpg")),
            ("backup.info.pgbackrest.tmp", Some("backup.info")),
            ("3f2a-tmp-123456", None),
            ("..tmp", None),
            (".tmp", None),
        ] {
            assert_eq!(final_name(OsStr::new(name)), expected.map(OsStr::new), "{name}");
        }
    }

    #[test]
    fn a_user_may_name_more() {
        let names = TemporaryNames::with(["upload-*~".to_owned()]);
        assert!(names.matches(OsStr::new("upload-1~"), false));
        assert!(!names.matches(OsStr::new("upload-1"), false));
    }
}
