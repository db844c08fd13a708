//! The table of steps: changes of names that Files.com must still make, in order.

use rusqlite::types::Value;
use rusqlite::{Connection, Row, Transaction};

use super::owed::path;
use super::rows::{self, misread};
use crate::model::backlog::Step;
use crate::model::digest::Md5;
use crate::model::moment::Moment;
use crate::model::path::RemotePath;
use crate::model::proof::Fingerprint;

pub(super) const TABLE: &str = "CREATE TABLE steps (
    number INTEGER PRIMARY KEY, what TEXT NOT NULL, path TEXT NOT NULL, target TEXT,
    size INTEGER, seconds INTEGER, nanos INTEGER, md5 TEXT,
    sum INTEGER NOT NULL
) STRICT;";

pub(super) fn insert(to: &Transaction<'_>, number: u64, step: &Step) -> rusqlite::Result<()> {
    let (what, path, target, version) = match step {
        Step::Make(path) => ("make", path, None, None),
        Step::Delete { path, version } => ("delete", path, None, Some(version)),
        Step::RemoveFolder(path) => ("rmdir", path, None, None),
        Step::Move { from, to, overwrite: false } => ("move", from, Some(to), None),
        Step::Move { from, to, overwrite: true } => ("replace", from, Some(to), None),
        Step::Copy { from, to, version } => ("copy", from, Some(to), Some(version)),
    };
    let created = version.and_then(|version| version.created);
    let text = |path: &RemotePath| Value::Text(path.as_str().to_owned());
    let or_null = |value: Option<Value>| value.unwrap_or(Value::Null);
    let values = vec![
        Value::Integer(number as i64),
        Value::Text(what.to_owned()),
        text(path),
        or_null(target.map(text)),
        or_null(version.map(|version| Value::Integer(version.size as i64))),
        or_null(created.map(|created| Value::Integer(created.seconds))),
        or_null(created.map(|created| Value::Integer(created.nanos.into()))),
        or_null(version.and_then(|version| version.md5).map(|md5| Value::Text(md5.to_string()))),
    ];
    rows::write(to, "steps", values)
}

pub(super) fn remove(from: &Transaction<'_>, number: u64) -> rusqlite::Result<()> {
    from.prepare_cached("DELETE FROM steps WHERE number = ?1")?.execute([number as i64])?;
    Ok(())
}

pub(super) fn read(connection: &Connection) -> rusqlite::Result<Vec<(u64, Step)>> {
    let mut query = connection.prepare("SELECT * FROM steps ORDER BY number")?;
    let rows = query.query_map([], |row| {
        rows::check("steps", row)?;
        let (number, what): (i64, String) = (row.get(0)?, row.get(1)?);
        let from = path(row, 2)?;
        let step = match what.as_str() {
            "make" => Step::Make(from),
            "delete" => Step::Delete { path: from, version: version(row)? },
            "rmdir" => Step::RemoveFolder(from),
            "move" => Step::Move { from, to: path(row, 3)?, overwrite: false },
            "replace" => Step::Move { from, to: path(row, 3)?, overwrite: true },
            "copy" => Step::Copy { from, to: path(row, 3)?, version: version(row)? },
            _ => return Err(misread(1, format!("{what:?} is no step"))),
        };
        Ok((number as u64, step))
    })?;
    rows.collect()
}

/// What tells a version from others after a restart: size, date, and MD5.
fn version(row: &Row<'_>) -> rusqlite::Result<Fingerprint> {
    let created = row.get::<_, Option<i64>>(5)?.zip(row.get(6)?);
    let md5: Option<String> = row.get(7)?;
    let md5 = md5.map(|md5| md5.parse::<Md5>().map_err(|_| misread(7, format!("{md5:?} is no MD5"))));
    Ok(Fingerprint {
        size: row.get::<_, i64>(4)? as u64,
        created: created.map(|(seconds, nanos)| Moment { seconds, nanos }),
        changed: None,
        md5: md5.transpose()?,
        crc32: None,
    })
}
