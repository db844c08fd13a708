//! The table of files that are owed.

use rusqlite::types::Value;
use rusqlite::{Connection, Row, Transaction};

use super::fact::Owed;
use super::{rows, told, versions};
use crate::model::attributes::Attributes;
use crate::model::ino::ContentId;
use crate::model::moment::Moment;
use crate::model::path::RemotePath;
use crate::model::xattrs::Xattrs;

pub(super) const TABLE: &str = "CREATE TABLE owed (
    id INTEGER PRIMARY KEY, path TEXT NOT NULL, size INTEGER NOT NULL,
    mode INTEGER NOT NULL, uid INTEGER NOT NULL, gid INTEGER NOT NULL,
    seconds INTEGER NOT NULL, nanos INTEGER NOT NULL, link INTEGER NOT NULL,
    xattrs TEXT NOT NULL,
    sum INTEGER NOT NULL
) STRICT;";

pub(super) fn insert(to: &Transaction<'_>, owed: &Owed) -> rusqlite::Result<()> {
    versions::insert(to, owed.id, &owed.there)?;
    told::insert(to, owed.id)?;
    let Attributes { mode, uid, gid, mtime, .. } = owed.attributes;
    let values = vec![
        Value::Integer(owed.id.0 as i64),
        Value::Text(owed.path.as_str().to_owned()),
        Value::Integer(owed.size as i64),
        Value::Integer(mode.into()),
        Value::Integer(uid.into()),
        Value::Integer(gid.into()),
        Value::Integer(mtime.seconds),
        Value::Integer(mtime.nanos.into()),
        Value::Integer(owed.is_link.into()),
        Value::Text(owed.xattrs.to_text()),
    ];
    rows::write(to, "owed", values)
}

pub(super) fn remove(from: &Transaction<'_>, id: ContentId) -> rusqlite::Result<()> {
    versions::remove(from, id)?;
    told::remove(from, id)?;
    from.prepare_cached("DELETE FROM owed WHERE id = ?1")?.execute([id.0 as i64])?;
    Ok(())
}

/// All of them, in the order in which the journal was told of them.
pub(super) fn read(connection: &Connection) -> rusqlite::Result<Vec<Owed>> {
    let (versions, told) = (versions::read(connection)?, told::read(connection)?);
    let mut query = connection.prepare("SELECT * FROM owed ORDER BY id")?;
    let rows = query.query_map([], |row| {
        rows::check("owed", row)?;
        let id = ContentId(row.get::<_, i64>(0)? as u64);
        Ok(Owed {
            id,
            there: versions.get(&id).copied().unwrap_or_default(),
            path: path(row, 1)?,
            size: row.get::<_, i64>(2)? as u64,
            attributes: attributes(row, 3)?,
            is_link: row.get(8)?,
            xattrs: xattrs(row, 9)?,
        })
    })?;
    let mut owed = rows.collect::<rusqlite::Result<Vec<Owed>>>()?;
    owed.sort_by_key(|owed| told.get(&owed.id).copied());
    Ok(owed)
}

/// A path, or an error: a fact whose path is none must not be skipped in silence.
pub(super) fn path(row: &Row<'_>, at: usize) -> rusqlite::Result<RemotePath> {
    let text: String = row.get(at)?;
    RemotePath::parse(&text).ok_or_else(|| rows::misread(at, format!("{text:?} is no path")))
}

/// Extended attributes, as one text.
pub(super) fn xattrs(row: &Row<'_>, at: usize) -> rusqlite::Result<Xattrs> {
    let text: String = row.get(at)?;
    Xattrs::from_text(&text).ok_or_else(|| rows::misread(at, format!("{text:?} are no extended attributes")))
}

/// Mode, owner, group, and the time in two columns.
pub(super) fn attributes(row: &Row<'_>, at: usize) -> rusqlite::Result<Attributes> {
    let mtime = Moment { seconds: row.get(at + 3)?, nanos: row.get(at + 4)? };
    Ok(Attributes { mode: row.get(at)?, uid: row.get(at + 1)?, gid: row.get(at + 2)?, mtime, ctime: mtime })
}
