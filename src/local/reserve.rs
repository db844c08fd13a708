//! Room that is kept back for the journal.
//!
//! A file of some MiB that holds nothing. When the disk is full it is given up, so that facts can still
//! be written: what is acknowledged must be on the disk whatever others put there. While it is missing,
//! writes of data are refused, and it is made again as soon as there is room.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::private;

/// Enough for the facts of some ten thousand files.
const SIZE: u64 = 8 << 20;
/// The least time between two attempts to make it again.
const PAUSE: Duration = Duration::from_millis(500);

/// The file, or its absence.
#[derive(Debug)]
pub struct Reserve {
    path: PathBuf,
    size: u64,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Kept,
    /// The disk had no room for it when that was last tried.
    Missing(Instant),
    /// The disk cannot keep room back, full or not.
    Impossible,
}

impl State {
    fn after(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT) => Self::Missing(Instant::now()),
            _ => Self::Impossible,
        }
    }
}

impl Reserve {
    /// Keeps room back in the file `path`; a disk that has none is told in the log.
    pub fn keep(path: &Path) -> Self {
        Self::of_size(path, SIZE)
    }

    fn of_size(path: &Path, size: u64) -> Self {
        let state = match allocate(path, size) {
            Ok(()) => State::Kept,
            Err(error) => {
                tracing::warn!(
                    "no room can be kept back for the journal in {}: {error}; see to it that there is some",
                    path.display()
                );
                State::after(&error)
            }
        };
        Self { path: path.to_owned(), size, state: Mutex::new(state) }
    }

    /// Is there room for facts, as far as this disk can tell? Makes it again where it is missing and the disk
    /// allows.
    pub fn is_kept(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Missing(tried) = *state
            && tried.elapsed() >= PAUSE
        {
            *state = match allocate(&self.path, self.size) {
                Ok(()) => {
                    tracing::info!("the disk has room again; some is kept back for the journal");
                    State::Kept
                }
                Err(error) => State::after(&error),
            };
        }
        !matches!(*state, State::Missing(_))
    }

    /// Gives the room up. False when there was none.
    pub fn give_up(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*state, State::Kept) {
            return false;
        }
        *state = State::Missing(Instant::now());
        fs::remove_file(&self.path).is_ok()
    }
}

/// Makes a file whose blocks are its own: nobody else's bytes can take them.
fn allocate(path: &Path, size: u64) -> io::Result<()> {
    let file = private::open(path, OpenOptions::new().write(true).create(true).truncate(false))?;
    if file.metadata()?.len() == size {
        return Ok(());
    }
    // SAFETY: the descriptor is open for as long as `file` lives; the call touches no memory of ours.
    match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, size as libc::off_t) } {
        0 => Ok(()),
        error => {
            drop(file);
            // A part of it would take room and be of no use.
            let _ = fs::remove_file(path);
            Err(io::Error::from_raw_os_error(error))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn the_room_is_real_given_up_once_and_made_again_later() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("reserve");
        let reserve = Reserve::of_size(&path, 1 << 20);
        assert!(reserve.is_kept());
        assert!(fs::metadata(&path).unwrap().blocks() * 512 >= 1 << 20, "a hole keeps nothing back");
        assert!(reserve.give_up());
        assert!(!path.exists() && !reserve.give_up() && !reserve.is_kept());
        *reserve.state.lock().unwrap() = State::Missing(Instant::now().checked_sub(PAUSE).unwrap());
        assert!(reserve.is_kept() && path.exists());
    }

    #[test]
    fn a_disk_that_cannot_keep_room_back_is_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("reserve");
        // No disk has files of that size.
        let reserve = Reserve::of_size(&path, i64::MAX as u64);
        assert!(reserve.is_kept(), "nothing could ever be written");
        assert!(!reserve.give_up());
        assert!(!path.exists(), "half of it would only take room");
    }

    #[test]
    fn only_a_full_disk_holds_writers_back() {
        let full = [libc::ENOSPC, libc::EDQUOT].map(io::Error::from_raw_os_error);
        assert!(full.iter().all(|error| matches!(State::after(error), State::Missing(_))));
        let other = [libc::EOPNOTSUPP, libc::EFBIG].map(io::Error::from_raw_os_error);
        assert!(other.iter().all(|error| matches!(State::after(error), State::Impossible)));
    }
}
