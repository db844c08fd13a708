//! Files that take their name in one step: written beside their target under a name that nobody can foresee, synced, and
//! renamed, or gone. A link that somebody laid where the draft would be leads nowhere: it is made new or not at all.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::durable;

/// A file that has no name of its own yet. Dropped, it goes.
#[derive(Debug)]
pub struct Draft {
    file: NamedTempFile,
    target: PathBuf,
}

impl Draft {
    /// An empty draft of `target`, with these permissions less the umask.
    ///
    /// # Errors
    /// Of the folder that `target` is in.
    pub fn beside(target: &Path, mode: u32) -> io::Result<Self> {
        let mut prefix = std::ffi::OsString::from(".");
        prefix.push(target.file_name().ok_or(io::ErrorKind::InvalidFilename)?);
        prefix.push(".");
        let mut builder = tempfile::Builder::new();
        // A long name leaves no room for more.
        if prefix.len() <= 200 {
            builder.prefix(&prefix);
        }
        builder.permissions(Permissions::from_mode(mode));
        Ok(Self { file: builder.tempfile_in(folder_of(target))?, target: target.to_owned() })
    }

    /// The file to write to.
    pub fn file(&mut self) -> &mut File {
        self.file.as_file_mut()
    }

    /// Takes the name, in the place of whatever has it, durably.
    ///
    /// # Errors
    /// Of the disk; then what had the name still has it.
    pub fn publish(self) -> io::Result<()> {
        self.take_name(|file, target| file.persist(target).map(drop).map_err(|error| error.error))
    }

    /// The same where nothing has the name yet.
    ///
    /// # Errors
    /// EEXIST besides.
    pub fn publish_new(self) -> io::Result<()> {
        self.take_name(|file, target| file.persist_noclobber(target).map(drop).map_err(|error| error.error))
    }

    fn take_name(self, persist: impl FnOnce(NamedTempFile, &Path) -> io::Result<()>) -> io::Result<()> {
        self.file.as_file().sync_all()?;
        persist(self.file, &self.target)?;
        durable::sync_names(folder_of(&self.target))
    }
}

fn folder_of(target: &Path) -> &Path {
    target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;

    #[test]
    fn a_draft_takes_the_place_of_a_file_or_leaves_it() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("m");
        fs::write(&target, "old").unwrap();
        let count = || fs::read_dir(dir.path()).unwrap().count();
        drop(Draft::beside(&target, 0o600).unwrap());
        assert_eq!((fs::read(&target).unwrap(), count()), (b"old".to_vec(), 1));
        let mut draft = Draft::beside(&target, 0o600).unwrap();
        draft.file().write_all(b"new").unwrap();
        draft.publish().unwrap();
        assert_eq!((fs::read(&target).unwrap(), count()), (b"new".to_vec(), 1));
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
        let refused = Draft::beside(&target, 0o600).unwrap().publish_new().unwrap_err();
        assert_eq!((refused.kind(), count()), (io::ErrorKind::AlreadyExists, 1));
    }

    #[test]
    fn a_name_of_any_length_has_a_draft() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("n".repeat(255));
        Draft::beside(&target, 0o600).unwrap().publish_new().unwrap();
        assert!(target.exists());
    }
}
