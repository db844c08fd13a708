//! The table of what Files.com has under the paths of files that are owed: what they replace, or may have become already.
//! A mount that begins without Files.com would take what it cannot see for nothing, and would neither delete nor move it.

use std::collections::HashMap;

use rusqlite::types::Value;
use rusqlite::{Connection, Transaction};

use super::VERSION_BEFORE;
use super::fact::There;
use super::rows::{self, misread};
use crate::model::digest::Md5;
use crate::model::ino::ContentId;
use crate::model::moment::Moment;
use crate::model::proof::Fingerprint;

/// Journals of the version before have none: of what they owe, nothing is known to be there.
pub(super) const TABLE: &str = "CREATE TABLE versions (
    id INTEGER PRIMARY KEY, doubtful INTEGER NOT NULL, size INTEGER NOT NULL,
    created_seconds INTEGER, created_nanos INTEGER, changed_seconds INTEGER, changed_nanos INTEGER, md5 TEXT,
    sum INTEGER NOT NULL
) STRICT;";

pub(super) fn insert(to: &Transaction<'_>, id: ContentId, there: &There) -> rusqlite::Result<()> {
    let (doubtful, version) = match there {
        There::Nothing => return remove(to, id),
        There::Version(version) => (false, version),
        There::Perhaps(version) => (true, version),
    };
    let moment = |moment: Option<Moment>| match moment {
        Some(Moment { seconds, nanos }) => [Value::Integer(seconds), Value::Integer(nanos.into())],
        None => [Value::Null, Value::Null],
    };
    let mut values = vec![
        Value::Integer(id.0 as i64),
        Value::Integer(doubtful.into()),
        Value::Integer(version.size as i64),
    ];
    values.extend(moment(version.created));
    values.extend(moment(version.changed));
    values.push(version.md5.map_or(Value::Null, |md5| Value::Text(md5.to_string())));
    rows::write(to, "versions", values)
}

pub(super) fn remove(from: &Transaction<'_>, id: ContentId) -> rusqlite::Result<()> {
    from.prepare_cached("DELETE FROM versions WHERE id = ?1")?.execute([id.0 as i64])?;
    Ok(())
}

pub(super) fn read(connection: &Connection) -> rusqlite::Result<HashMap<ContentId, There>> {
    let is_there = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'versions')";
    let is_there = connection.query_row(is_there, [], |row| row.get(0))?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    match (version == VERSION_BEFORE, is_there) {
        (true, false) => return Ok(HashMap::new()),
        (true, true) => return Err(misread(0, "it has a table that its version does not have".into())),
        (false, _) => {}
    }
    let mut query = connection.prepare("SELECT * FROM versions")?;
    let rows = query.query_map([], |row| {
        rows::check("versions", row)?;
        let moment = |at: usize| -> rusqlite::Result<Option<Moment>> {
            let parts = row.get::<_, Option<i64>>(at)?.zip(row.get(at + 1)?);
            Ok(parts.map(|(seconds, nanos)| Moment { seconds, nanos }))
        };
        let md5: Option<String> = row.get(7)?;
        let md5 = md5.map(|md5| md5.parse::<Md5>().map_err(|_| misread(7, format!("{md5:?} is no MD5"))));
        let version = Fingerprint {
            size: row.get::<_, i64>(2)? as u64,
            created: moment(3)?,
            changed: moment(5)?,
            md5: md5.transpose()?,
            crc32: None,
        };
        let there = if row.get(1)? { There::Perhaps(version) } else { There::Version(version) };
        Ok((ContentId(row.get::<_, i64>(0)? as u64), there))
    })?;
    rows.collect()
}
