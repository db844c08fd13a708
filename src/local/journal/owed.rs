//! The table of files that are owed.

use rusqlite::{Connection, Row, Transaction, params};

use super::fact::Owed;
use crate::model::attributes::Attributes;
use crate::model::ino::ContentId;
use crate::model::moment::Moment;
use crate::model::path::RemotePath;

pub(super) const TABLE: &str = "CREATE TABLE owed (
    id INTEGER PRIMARY KEY, path TEXT NOT NULL, size INTEGER NOT NULL,
    mode INTEGER NOT NULL, uid INTEGER NOT NULL, gid INTEGER NOT NULL,
    seconds INTEGER NOT NULL, nanos INTEGER NOT NULL, link INTEGER NOT NULL
) STRICT;";

pub(super) fn insert(to: &Transaction<'_>, owed: &Owed) -> rusqlite::Result<()> {
    let Attributes { mode, uid, gid, mtime, .. } = owed.attributes;
    to.prepare_cached("INSERT OR REPLACE INTO owed VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?.execute(
        params![
            owed.id.0 as i64,
            owed.path.as_str(),
            owed.size as i64,
            mode,
            uid,
            gid,
            mtime.seconds,
            mtime.nanos,
            owed.is_link
        ],
    )?;
    Ok(())
}

pub(super) fn remove(from: &Transaction<'_>, id: ContentId) -> rusqlite::Result<()> {
    from.prepare_cached("DELETE FROM owed WHERE id = ?1")?.execute([id.0 as i64])?;
    Ok(())
}

pub(super) fn read(connection: &Connection) -> rusqlite::Result<Vec<Owed>> {
    let mut query = connection
        .prepare("SELECT id, path, size, mode, uid, gid, seconds, nanos, link FROM owed ORDER BY id")?;
    let rows = query.query_map([], |row| {
        let owed = (row.get::<_, i64>(0)?, row.get::<_, i64>(2)?, attributes(row, 3)?, row.get(8)?);
        Ok((path(row, 1)?, owed))
    })?;
    let mut owed = Vec::new();
    for row in rows {
        let (path, (id, size, attributes, is_link)) = row?;
        owed.push(Owed { id: ContentId(id as u64), path, size: size as u64, attributes, is_link });
    }
    Ok(owed)
}

/// A path, or an error: a fact whose path is none must not be skipped in silence.
pub(super) fn path(row: &Row<'_>, at: usize) -> rusqlite::Result<RemotePath> {
    let text: String = row.get(at)?;
    RemotePath::parse(&text).ok_or_else(|| {
        let what = format!("{text:?} is no path").into();
        rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, what)
    })
}

/// Mode, owner, group, and the time in two columns.
pub(super) fn attributes(row: &Row<'_>, at: usize) -> rusqlite::Result<Attributes> {
    let mtime = Moment { seconds: row.get(at + 3)?, nanos: row.get(at + 4)? };
    Ok(Attributes { mode: row.get(at)?, uid: row.get(at + 1)?, gid: row.get(at + 2)?, mtime, ctime: mtime })
}
