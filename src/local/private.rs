//! Folders of ours: this user's alone, and not reached by a link of somebody else's. Whoever could write there could
//! make us write into any other file, or read what was never his.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use super::durable;

/// Links on the way to one folder, at most: as the kernel counts.
const MOST_LINKS: u32 = 40;

/// Why a folder cannot hold what is ours.
#[derive(Debug, thiserror::Error)]
pub enum NotPrivate {
    /// Another user made it, or the link that leads to it.
    #[error("{} belongs to another user (uid {owner}); name a folder of your own, or `chown` it", path.display())]
    Foreign {
        /// The folder, or the link.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// Others may write into it.
    #[error("others may write into {0} (mode {mode:04o}); look what is in it, then type: chmod go-w {0}", path.display())]
    Open {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// What the disk says.
    #[error("cannot use {}: {error}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// Its answer.
        error: io::Error,
    },
}

/// The place that `path` leads to, whether or not it is there: without links, `.` and `..`.
///
/// # Errors
/// A link of another user's on the last step; root's are everybody's. What the disk says of links.
pub fn place_of(path: &Path) -> Result<PathBuf, NotPrivate> {
    let absolute = std::path::absolute(path).map_err(|error| io_error(path, error))?;
    if let Ok(found) = absolute.symlink_metadata()
        && found.is_symlink()
        && !is_trusted(found.uid())
    {
        return Err(NotPrivate::Foreign { path: absolute, owner: found.uid() });
    }
    let mut links = 0;
    resolved(&absolute, &mut links).map_err(|error| io_error(path, error))
}

fn resolved(path: &Path, links: &mut u32) -> io::Result<PathBuf> {
    let mut place = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::ParentDir => drop(place.pop()),
            Component::Normal(name) => {
                let next = place.join(name);
                match next.symlink_metadata() {
                    Ok(found) if found.is_symlink() => {
                        *links += 1;
                        if *links > MOST_LINKS {
                            return Err(io::Error::from_raw_os_error(libc::ELOOP));
                        }
                        place = resolved(&place.join(next.read_link()?), links)?;
                    }
                    // What is not there, or may not be looked at, is told when it is made.
                    _ => place = next,
                }
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(place)
}

/// Is `place` in the folder `root`, or that itself, under whatever name? A folder that is mounted in two places is one.
pub fn is_inside(place: &Path, root: &Path) -> bool {
    let identity = |path: &Path| path.metadata().ok().map(|found| (found.dev(), found.ino()));
    let Some(root) = identity(root) else { return false };
    place.ancestors().any(|above| identity(above) == Some(root))
}

/// Makes a folder, with those above it, or looks that one which is there is ours alone.
///
/// # Errors
/// Why it cannot be used; then nothing was written into it.
pub fn make(folder: &Path) -> Result<File, NotPrivate> {
    let failed = |error| io_error(folder, error);
    durable::make_private_folder(folder).map_err(failed)?;
    let flags = libc::O_NOFOLLOW | libc::O_DIRECTORY;
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(folder).map_err(failed)?;
    let found = opened.metadata().map_err(failed)?;
    let (path, owner, mode) = (folder.to_owned(), found.uid(), found.mode() & 0o7777);
    match (owner == own_uid(), mode & 0o022) {
        (false, _) => Err(NotPrivate::Foreign { path, owner }),
        (true, 0) => Ok(opened),
        (true, _) => Err(NotPrivate::Open { path, mode }),
    }
}

fn is_trusted(owner: u32) -> bool {
    owner == 0 || owner == own_uid()
}

fn own_uid() -> u32 {
    // SAFETY: only reads the process's identity and cannot fail.
    unsafe { libc::geteuid() }
}

fn io_error(path: &Path, error: io::Error) -> NotPrivate {
    NotPrivate::Io { path: path.to_owned(), error }
}

/// Opens or makes a file of ours, for its owner alone. A link in its place is not followed.
///
/// # Errors
/// ELOOP for a link; else what the disk says.
pub fn open(path: &Path, options: &mut OpenOptions) -> io::Result<fs::File> {
    options.mode(0o600).custom_flags(libc::O_NOFOLLOW).open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_place_is_found_through_links_and_dots_before_it_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir(root.join("real")).unwrap();
        symlink("real", root.join("link")).unwrap();
        symlink(root.join("real/later"), root.join("dangling")).unwrap();
        symlink("round", root.join("round")).unwrap();
        for (path, place) in [
            ("link/a/../b", "real/b"),
            ("dangling/c", "real/later/c"),
            ("x/y/../../real", "real"),
            ("real/./", "real"),
        ] {
            assert_eq!(place_of(&root.join(path)).unwrap(), root.join(place), "{path}");
            assert!(is_inside(&root.join(place), &root.join("real")), "{path}");
        }
        assert!(!is_inside(&root.join("reality"), &root.join("real")));
        assert!(place_of(&root.join("round")).is_err());
    }

    #[test]
    fn a_folder_is_private_or_it_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/b");
        make(&folder).unwrap();
        assert_eq!(folder.metadata().unwrap().mode() & 0o7777, 0o700);
        for mode in [0o755, 0o770, 0o702, 0o1777] {
            fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(make(&folder).is_ok(), mode & 0o022 == 0, "{mode:o}");
        }
        symlink(&folder, dir.path().join("link")).unwrap();
        assert!(make(&dir.path().join("link")).is_err(), "the place is what counts, not a link to it");
    }
}
