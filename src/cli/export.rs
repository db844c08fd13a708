//! Copies of files that Files.com does not have, for a person: bytes, mode, owner where allowed, time.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::SystemTime;

use crate::local::draft::Draft;
use crate::local::holes;

/// What a copy gets besides its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp {
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Time of the last change.
    pub mtime: SystemTime,
}

impl Stamp {
    /// As a file shows it.
    pub fn of(metadata: &Metadata) -> Self {
        let mtime = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        Self { mode: metadata.mode() & 0o7777, owner: (metadata.uid(), metadata.gid()), mtime }
    }
}

/// Copies `from` to `to`, which must not be there, durably. Folders above are made.
pub(super) fn copy_file(from: &Path, to: &Path, stamp: Stamp) -> io::Result<()> {
    let source = File::open(from)?;
    make_folder_of(to)?;
    // Nobody else reads it before it has its own mode, and half a copy is never taken for one.
    let mut draft = Draft::beside(to, 0o600)?;
    let target = draft.file();
    holes::copy(&source, target)?;
    // Only root may give files away.
    let _ = std::os::unix::fs::fchown(&*target, Some(stamp.owner.0), Some(stamp.owner.1));
    target.set_permissions(fs::Permissions::from_mode(stamp.mode))?;
    target.set_modified(stamp.mtime)?;
    draft.publish_new()
}

/// Makes the symbolic link `to`, which must not be there.
pub(super) fn copy_link(target: &Path, to: &Path) -> io::Result<()> {
    make_folder_of(to)?;
    std::os::unix::fs::symlink(target, to)
}

fn make_folder_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => DirBuilder::new().recursive(true).mode(0o700).create(folder),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_the_bytes_and_the_attributes_and_overwrites_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("spooled");
        fs::write(&from, "bytes").unwrap();
        let owner = fs::metadata(&from).map(|it| (it.uid(), it.gid())).unwrap();
        let mtime = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        let to = dir.path().join("a/b/copy");
        copy_file(&from, &to, Stamp { mode: 0o640, owner, mtime }).unwrap();
        let stamp = Stamp::of(&fs::metadata(&to).unwrap());
        assert_eq!((fs::read(&to).unwrap(), stamp.mode, stamp.mtime), (b"bytes".to_vec(), 0o640, mtime));
        fs::write(&to, "mine").unwrap();
        assert_eq!(copy_file(&from, &to, stamp).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&to).unwrap(), b"mine");
        assert!(copy_link(Path::new("x"), &to).is_err());
    }
}
