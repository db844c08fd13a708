//! PATH arguments: a path below the mountpoint, or an absolute one inside it, as the mount is asked for
//! it. The filesystem that is mounted there is not asked.

use std::path::{Component, Path};

use super::exit_codes::{ExitCode, Failure};
use super::resolve;
use crate::model::name;

/// `path` as a request spells it: names as Files.com would store them, which brings any bytes through.
/// `mountpoint` is the mountpoint as it was typed, `named` as the daemon knows it.
pub(super) fn below(mountpoint: &Path, named: &Path, path: &Path) -> Result<String, Failure> {
    let usage = |text: String| Failure::new(ExitCode::Usage, text);
    let outside =
        || usage(format!("{} is not inside {}; name a path below it", path.display(), mountpoint.display()));
    let inside = match path.is_absolute() {
        true => {
            let typed = resolve::absolute(mountpoint)?;
            let rest = path.strip_prefix(named).or_else(|_| path.strip_prefix(&typed));
            rest.map_err(|_| outside())?
        }
        false => path,
    };
    let mut names = Vec::new();
    for component in inside.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(name) => {
                let remote = name::to_remote(name);
                names.push(remote.map_err(|refused| usage(format!("{}: {refused}", path.display())))?);
            }
            _ => return Err(outside()),
        }
    }
    Ok(names.join("/"))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    fn asked(path: impl AsRef<Path>) -> Result<String, Failure> {
        below(Path::new("/link"), Path::new("/mnt/backup"), path.as_ref())
    }

    #[test]
    fn a_path_is_taken_from_the_mountpoint_or_from_the_root() {
        for path in ["a/b", "./a//b/", "/mnt/backup/a/b", "/link/a/b"] {
            assert_eq!(asked(path).unwrap(), "a/b", "{path}");
        }
        assert_eq!((asked(".").unwrap(), asked("/mnt/backup").unwrap()), (String::new(), String::new()));
        assert_eq!(asked(OsStr::from_bytes(b"a\xff")).unwrap(), "a‛FF");
    }

    #[test]
    fn a_path_that_leads_out_is_refused() {
        for path in ["..", "a/../b", "/mnt/backup2/a", "/etc"] {
            assert_eq!(asked(path).unwrap_err().code, ExitCode::Usage, "{path}");
        }
    }
}
