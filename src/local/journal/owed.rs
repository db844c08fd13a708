//! The table of files that are owed.

use rusqlite::{Connection, Row, Transaction, params};

use super::fact::Owed;
use crate::model::attributes::Attributes;
use crate::model::ino::ContentId;
use crate::model::moment::Moment;
use crate::model::path::RemotePath;
use crate::model::xattrs::Xattrs;

pub(super) const TABLE: &str = "CREATE TABLE owed (
    id INTEGER PRIMARY KEY, path TEXT NOT NULL, size INTEGER NOT NULL,
    mode INTEGER NOT NULL, uid INTEGER NOT NULL, gid INTEGER NOT NULL,
    seconds INTEGER NOT NULL, nanos INTEGER NOT NULL, link INTEGER NOT NULL,
    xattrs TEXT NOT NULL DEFAULT ''
) STRICT;";

pub(super) fn insert(to: &Transaction<'_>, owed: &Owed) -> rusqlite::Result<()> {
    let Attributes { mode, uid, gid, mtime, .. } = owed.attributes;
    to.prepare_cached("INSERT OR REPLACE INTO owed VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")?
        .execute(params![
            owed.id.0 as i64,
            owed.path.as_str(),
            owed.size as i64,
            mode,
            uid,
            gid,
            mtime.seconds,
            mtime.nanos,
            owed.is_link,
            owed.xattrs.to_text()
        ])?;
    Ok(())
}

pub(super) fn remove(from: &Transaction<'_>, id: ContentId) -> rusqlite::Result<()> {
    from.prepare_cached("DELETE FROM owed WHERE id = ?1")?.execute([id.0 as i64])?;
    Ok(())
}

pub(super) fn read(connection: &Connection) -> rusqlite::Result<Vec<Owed>> {
    let mut query = connection.prepare(
        "SELECT id, path, size, mode, uid, gid, seconds, nanos, link, xattrs FROM owed ORDER BY id",
    )?;
    let rows = query.query_map([], |row| {
        Ok(Owed {
            id: ContentId(row.get::<_, i64>(0)? as u64),
            path: path(row, 1)?,
            size: row.get::<_, i64>(2)? as u64,
            attributes: attributes(row, 3)?,
            is_link: row.get(8)?,
            xattrs: xattrs(row, 9)?,
        })
    })?;
    rows.collect()
}

/// A path, or an error: a fact whose path is none must not be skipped in silence.
pub(super) fn path(row: &Row<'_>, at: usize) -> rusqlite::Result<RemotePath> {
    let text: String = row.get(at)?;
    RemotePath::parse(&text).ok_or_else(|| misread(at, format!("{text:?} is no path")))
}

/// Extended attributes, as one text.
pub(super) fn xattrs(row: &Row<'_>, at: usize) -> rusqlite::Result<Xattrs> {
    let text: String = row.get(at)?;
    Xattrs::from_text(&text).ok_or_else(|| misread(at, format!("{text:?} are no extended attributes")))
}

pub(super) fn misread(at: usize, what: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, what.into())
}

/// Mode, owner, group, and the time in two columns.
pub(super) fn attributes(row: &Row<'_>, at: usize) -> rusqlite::Result<Attributes> {
    let mtime = Moment { seconds: row.get(at + 3)?, nanos: row.get(at + 4)? };
    Ok(Attributes { mode: row.get(at)?, uid: row.get(at + 1)?, gid: row.get(at + 2)?, mtime, ctime: mtime })
}
