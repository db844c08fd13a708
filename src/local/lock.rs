//! One mount per state folder: two would let go of each other's bytes.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Why a state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody has it.
    #[error(
        "{} is in use by process {holder}. If its mount is gone, it still sends what is owed: wait, or end it \
         with `kill {holder}` (it sends for 5 more seconds, and the rest stays for the next mount). If it is \
         mounted, unmount it first; two mounts at once need a --state-dir each",
        folder.display()
    )]
    Taken {
        /// The folder.
        folder: PathBuf,
        /// The process that has it, as it wrote itself down.
        holder: String,
    },
    /// The disk said no.
    #[error("cannot lock {}: {error}", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// What the disk said.
        error: io::Error,
    },
}

/// Held as long as the mount lives; the kernel frees it however the process ends.
#[derive(Debug)]
pub struct StateLock {
    _file: File,
}

impl StateLock {
    /// Takes the lock of `folder`, or tells who has it.
    pub fn take(folder: &Path) -> Result<Self, LockError> {
        let path = folder.join("lock");
        let failed = |error| LockError::Io { path: path.clone(), error };
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = Read::take(&mut file, 32).read_to_string(&mut holder);
                let holder = holder.trim().to_owned();
                return Err(LockError::Taken { folder: folder.to_owned(), holder });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(failed)?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_mount_learns_who_has_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let first = StateLock::take(folder.path()).unwrap();
        let refused = StateLock::take(folder.path()).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        drop(first);
        assert!(StateLock::take(folder.path()).is_ok());
    }
}
