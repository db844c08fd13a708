//! The table of folders that are only here, and of attributes that Files.com was not told of.

use rusqlite::types::Value;
use rusqlite::{Connection, Transaction};

use super::fact::{EntryDebt, OwedEntry};
use super::owed::{attributes, path, xattrs};
use super::rows;
use crate::model::attributes::Attributes;
use crate::model::path::RemotePath;

pub(super) const TABLE: &str = "CREATE TABLE entries (
    path TEXT PRIMARY KEY, folder INTEGER NOT NULL,
    mode INTEGER NOT NULL, uid INTEGER NOT NULL, gid INTEGER NOT NULL,
    seconds INTEGER NOT NULL, nanos INTEGER NOT NULL, xattrs TEXT NOT NULL,
    sum INTEGER NOT NULL
) STRICT;";

pub(super) fn insert(to: &Transaction<'_>, entry: &OwedEntry) -> rusqlite::Result<()> {
    let Attributes { mode, uid, gid, mtime, .. } = entry.attributes;
    let is_folder = entry.what == EntryDebt::Folder;
    let values = vec![
        Value::Text(entry.path.as_str().to_owned()),
        Value::Integer(is_folder.into()),
        Value::Integer(mode.into()),
        Value::Integer(uid.into()),
        Value::Integer(gid.into()),
        Value::Integer(mtime.seconds),
        Value::Integer(mtime.nanos.into()),
        Value::Text(entry.xattrs.to_text()),
    ];
    rows::write(to, "entries", values)
}

pub(super) fn remove(from: &Transaction<'_>, path: &RemotePath) -> rusqlite::Result<()> {
    from.prepare_cached("DELETE FROM entries WHERE path = ?1")?.execute([path.as_str()])?;
    Ok(())
}

/// In the order of their paths: folders before what is in them.
pub(super) fn read(connection: &Connection) -> rusqlite::Result<Vec<OwedEntry>> {
    let mut query = connection.prepare("SELECT * FROM entries ORDER BY path")?;
    let rows = query.query_map([], |row| {
        rows::check("entries", row)?;
        let what = if row.get(1)? { EntryDebt::Folder } else { EntryDebt::Attributes };
        let (attributes, xattrs) = (attributes(row, 2)?, xattrs(row, 7)?);
        Ok(OwedEntry { path: path(row, 0)?, what, attributes, xattrs })
    })?;
    rows.collect()
}
