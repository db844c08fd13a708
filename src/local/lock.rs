//! One mount per state folder, and one per cache folder: two would let go of each other's bytes, and read them.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::private;

/// Why a state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody has it.
    #[error(
        "{} is in use by process {holder}. If its mount is gone, it still sends what is owed: wait, or end it \
         with `kill {holder}` (it sends for 5 more seconds, and the rest stays for the next mount). If it is \
         mounted, unmount it first; two mounts at once need a {option} each",
        folder.display()
    )]
    Taken {
        /// The folder.
        folder: PathBuf,
        /// The process that has it, as it wrote itself down.
        holder: String,
        /// How a mount is given another one.
        option: &'static str,
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
    _files: Vec<File>,
}

impl StateLock {
    /// Takes the lock of the state folder `folder`, or tells who has it.
    pub fn take(folder: &Path) -> Result<Self, LockError> {
        Ok(Self { _files: vec![Self::lock(folder, "lock", "--state-dir")?] })
    }

    /// Takes that of the cache folder, too. It may be the same folder.
    pub fn with_cache(mut self, folder: &Path) -> Result<Self, LockError> {
        self._files.push(Self::lock(folder, "content.lock", "--cache-dir")?);
        Ok(self)
    }

    fn lock(folder: &Path, name: &str, option: &'static str) -> Result<File, LockError> {
        let path = folder.join(name);
        let failed = |error| LockError::Io { path: path.clone(), error };
        let mut options = OpenOptions::new();
        let mut file = private::open(&path, options.read(true).write(true).create(true).truncate(false))
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = Read::take(&mut file, 32).read_to_string(&mut holder);
                let holder = holder.trim().to_owned();
                return Err(LockError::Taken { folder: folder.to_owned(), holder, option });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(failed)?;
        Ok(file)
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

    #[test]
    fn a_cache_folder_serves_one_mount_and_may_be_its_state_folder() {
        let [one, other, cache] = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let _first = StateLock::take(one.path()).unwrap().with_cache(cache.path()).unwrap();
        let second = StateLock::take(other.path()).unwrap().with_cache(cache.path());
        let refused = second.unwrap_err().to_string();
        assert!(refused.contains("need a --cache-dir each"), "{refused}");
        assert!(StateLock::take(other.path()).unwrap().with_cache(other.path()).is_ok());
    }
}
