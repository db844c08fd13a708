//! Opening: the journal is proven whole before a word of it is believed; where it is not, nothing of it is
//! touched, and it can be set aside.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{Facts, VERSION, VERSION_BEFORE, create, entries, owed, place, steps, told, uploads, versions};
use crate::local::durable;
use crate::local::trouble::Trouble;

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is not what was written.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// Another version of this program wrote it.
    #[error("it is of version {0}, and this program knows version {VERSION}: use the program that wrote it")]
    Version(i64),
    /// The disk or SQLite refused; it may be whole.
    #[error(transparent)]
    Refused(rusqlite::Error),
    /// The machine gives us no thread to write it with.
    #[error("no thread can be started: {0}")]
    Thread(io::Error),
}

impl OpenError {
    /// What to do next.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Refused(_) | Self::Thread(_) => {
                "Leave it where it is: it knows what is owed. Free some space on its disk, see that this user may \
                 write there, and mount again"
            }
            Self::Version(_) | Self::Damaged(_) => {
                "Use the version of filescomfs that wrote it. Whoever moves the journal away to mount without it gives \
                 up what it owes: the files in the spool beside it are then set aside, not published"
            }
        }
    }
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error as E;
        match &error {
            E::SqliteFailure(failure, _) => match failure.code {
                // "Unknown" is SQL that does not fit the tables: these are not ours.
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown => {
                    Self::Damaged(error.to_string())
                }
                _ => Self::Refused(error),
            },
            E::FromSqlConversionFailure(..)
            | E::IntegralValueOutOfRange(..)
            | E::InvalidColumnType(..)
            | E::Utf8Error(..)
            | E::SqlInputError { .. }
            | E::InvalidColumnIndex(_)
            | E::QueryReturnedNoRows => Self::Damaged(error.to_string()),
            _ => Self::Refused(error),
        }
    }
}

/// A connection to a journal that is whole, and what it says.
pub(super) fn open(path: &Path) -> Result<(Connection, Facts), OpenError> {
    // A link in its place would lead to a file of somebody else's.
    let flags = OpenFlags::default() | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags)?;
    // What turns out to be damaged stays as it is: SQLite would tidy up behind us.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if ![0, VERSION_BEFORE, VERSION].contains(&version) {
        return Err(OpenError::Version(version));
    }
    let verdict: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(OpenError::Damaged(verdict));
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    if version == 0 {
        create(&connection)?;
    }
    let facts = read(&connection)?;
    if version == VERSION_BEFORE {
        upgrade(&connection)?;
    }
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    // An earlier mount may have ended because the log could not be synced. What can be read of it now may be in the
    // memory of this machine alone, and what is appended would be lost behind it: so it is brought into the tables, and the
    // log begins anew. It is not cut off: what a power loss left of its beginning would be read over newer tables.
    match checkpoint(&connection, "RESTART") {
        Err(error) if Trouble::of_sqlite(&error) == Trouble::Broken => return Err(error.into()),
        _ => {}
    }
    Ok((connection, facts))
}

/// Brings what the log says into the tables, durably, as far as nobody reads it.
pub(super) fn checkpoint(connection: &Connection, how: &str) -> rusqlite::Result<()> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({how})"), [], |_| Ok(()))
}

/// What a journal says that is whole. Of an older version only the next mount makes a new one.
pub(super) fn look(path: &Path) -> Result<Facts, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if ![VERSION_BEFORE, VERSION].contains(&version) {
        return Err(OpenError::Version(version));
    }
    let verdict: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(OpenError::Damaged(verdict));
    }
    Ok(read(&connection)?)
}

/// From the version before, all at once.
fn upgrade(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN;")?;
    connection.execute_batch(versions::TABLE)?;
    connection.execute_batch(told::TABLE)?;
    connection.pragma_update(None, "user_version", VERSION)?;
    connection.execute_batch("COMMIT;")
}

fn read(connection: &Connection) -> rusqlite::Result<Facts> {
    Ok(Facts {
        owed: owed::read(connection)?,
        entries: entries::read(connection)?,
        steps: steps::read(connection)?,
        uploads: uploads::read(connection)?,
        place: place::read(connection)?,
    })
}

/// The names under which journals are kept that were damaged.
const DAMAGED: &str = ".damaged.";

/// Puts a damaged journal beside the place where a fresh one will be, and says where it is now.
///
/// # Errors
/// What the disk said.
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let with = |end: &str| -> PathBuf { OsString::from_iter([path.as_os_str(), end.as_ref()]).into() };
    let kept = (1u32..)
        .map(|n| with(&format!("{DAMAGED}{n}")))
        .find(|kept| !kept.exists())
        .ok_or(io::ErrorKind::AlreadyExists)?;
    // The log first: beside a fresh journal, its pages would be taken for that one's.
    for end in ["-wal", "-shm", ""] {
        let to = OsString::from_iter([kept.as_os_str(), end.as_ref()]);
        match std::fs::rename(with(end), to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    path.parent().map_or(Ok(()), durable::sync_names)?;
    Ok(kept)
}

/// The damaged journals that are kept beside `path`.
pub fn kept_aside(path: &Path) -> Vec<PathBuf> {
    let prefix = path.file_name().map(|name| format!("{}{DAMAGED}", name.display())).unwrap_or_default();
    let entries = path.parent().map(std::fs::read_dir).into_iter().flatten().flatten().flatten();
    let mut kept: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            let number = path.file_name().and_then(|name| name.to_str()?.strip_prefix(&prefix));
            number.is_some_and(|number| number.bytes().all(|digit| digit.is_ascii_digit()))
        })
        .collect();
    kept.sort();
    kept
}
