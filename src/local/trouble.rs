//! What an error of the local disk means: of those that a program can wait out, none says anything about the disk.

use std::io;

use rusqlite::ErrorCode;
use rusqlite::ffi;

/// What to think of the disk after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It has no room. What was refused is not there, and may be asked for again.
    Full,
    /// This process, or this machine, lacked something for a moment: a descriptor, memory, time without a signal, the
    /// lock of a file. The disk was not asked, so it has refused nothing.
    Short,
    /// It failed. What it kept is not known, and asking again would tell nothing.
    Broken,
}

impl Trouble {
    /// By the number of a system call.
    pub fn of(errno: Option<i32>) -> Self {
        match errno {
            Some(libc::ENOSPC | libc::EDQUOT) => Self::Full,
            Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EINTR | libc::EAGAIN) => Self::Short,
            _ => Self::Broken,
        }
    }

    /// Of an error that the disk answered.
    pub fn of_io(error: &io::Error) -> Self {
        Self::of(error.raw_os_error())
    }

    /// By SQLite's extended code: the primary one says "I/O error" of a sync that failed and of a disk that is full.
    pub fn of_sqlite(error: &rusqlite::Error) -> Self {
        let rusqlite::Error::SqliteFailure(failure, _) = error else { return Self::Broken };
        match (failure.code, failure.extended_code) {
            // The index of the log grows by a write of its own. It is never synced, nor believed after a crash.
            (ErrorCode::DiskFull, _) | (_, ffi::SQLITE_IOERR_SHMSIZE) => Self::Full,
            (ErrorCode::OutOfMemory | ErrorCode::CannotOpen, _) => Self::Short,
            (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => Self::Short,
            (_, ffi::SQLITE_IOERR_NOMEM | ffi::SQLITE_IOERR_SHMOPEN | ffi::SQLITE_IOERR_SHMMAP) => {
                Self::Short
            }
            _ => Self::Broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sqlite(extended: i32) -> Trouble {
        Trouble::of_sqlite(&rusqlite::Error::SqliteFailure(ffi::Error::new(extended), None))
    }

    #[test]
    fn only_what_the_disk_itself_refused_is_held_against_it() {
        for errno in [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::EINTR] {
            assert_eq!(Trouble::of(Some(errno)), Trouble::Short, "{errno}");
        }
        for errno in [libc::ENOSPC, libc::EDQUOT] {
            assert_eq!(Trouble::of(Some(errno)), Trouble::Full, "{errno}");
        }
        for errno in [libc::EIO, libc::EROFS, libc::ENXIO, libc::ENODEV, libc::EUCLEAN] {
            assert_eq!(Trouble::of(Some(errno)), Trouble::Broken, "{errno}");
        }
        assert_eq!(Trouble::of(None), Trouble::Broken);
    }

    #[test]
    fn a_sync_that_failed_is_no_full_disk_whatever_its_first_eight_bits_say() {
        for code in [
            ffi::SQLITE_IOERR,
            ffi::SQLITE_IOERR_FSYNC,
            ffi::SQLITE_IOERR_DIR_FSYNC,
            ffi::SQLITE_IOERR_WRITE,
            ffi::SQLITE_IOERR_READ,
            ffi::SQLITE_IOERR_SHORT_READ,
            ffi::SQLITE_IOERR_TRUNCATE,
            ffi::SQLITE_IOERR_DATA,
            ffi::SQLITE_CORRUPT,
            ffi::SQLITE_READONLY,
        ] {
            assert_eq!(sqlite(code), Trouble::Broken, "{code}");
        }
        for code in [ffi::SQLITE_FULL, ffi::SQLITE_IOERR_SHMSIZE] {
            assert_eq!(sqlite(code), Trouble::Full, "{code}");
        }
        for code in [
            ffi::SQLITE_NOMEM,
            ffi::SQLITE_IOERR_NOMEM,
            ffi::SQLITE_CANTOPEN,
            ffi::SQLITE_IOERR_SHMOPEN,
            ffi::SQLITE_BUSY,
        ] {
            assert_eq!(sqlite(code), Trouble::Short, "{code}");
        }
        assert_eq!(Trouble::of_sqlite(&rusqlite::Error::InvalidQuery), Trouble::Broken);
    }
}
