//! The tables of uploads of several parts that were begun, and of their parts that were accepted.

use std::collections::{BTreeMap, HashMap};

use rusqlite::types::Value;
use rusqlite::{Connection, Row, Transaction};

use super::rows;
use crate::model::digest::{ETag, Md5};
use crate::model::ino::ContentId;
use crate::model::moment::Moment;
use crate::model::path::RemotePath;
use crate::model::proof::PartEvidence;
use crate::model::resume::Begun;

pub(super) const TABLE: &str = "CREATE TABLE uploads (
    id INTEGER PRIMARY KEY, reference TEXT NOT NULL, size INTEGER NOT NULL, part_size INTEGER NOT NULL,
    parallel INTEGER NOT NULL, seconds INTEGER NOT NULL, nanos INTEGER NOT NULL,
    sum INTEGER NOT NULL
) STRICT;
CREATE TABLE parts (
    id INTEGER NOT NULL, number INTEGER NOT NULL, md5 TEXT NOT NULL, etag TEXT NOT NULL,
    sum INTEGER NOT NULL, PRIMARY KEY (id, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE completing (
    id INTEGER PRIMARY KEY, path TEXT NOT NULL, sum INTEGER NOT NULL
) STRICT;";

pub(super) fn insert(to: &Transaction<'_>, id: ContentId, begun: &Begun) -> rusqlite::Result<()> {
    remove(to, id)?;
    let values = vec![
        Value::Integer(id.0 as i64),
        Value::Text(begun.reference.clone()),
        Value::Integer(begun.size as i64),
        Value::Integer(begun.part_size as i64),
        Value::Integer(begun.parallel.into()),
        Value::Integer(begun.written.seconds),
        Value::Integer(begun.written.nanos.into()),
    ];
    rows::write(to, "uploads", values)?;
    if let Some(path) = &begun.completing {
        completing(to, id, path)?;
    }
    begun.parts.iter().try_for_each(|(number, evidence)| insert_part(to, id, *number, evidence))
}

pub(super) fn insert_part(
    to: &Transaction<'_>,
    id: ContentId,
    number: u32,
    evidence: &PartEvidence,
) -> rusqlite::Result<()> {
    let values = vec![
        Value::Integer(id.0 as i64),
        Value::Integer(number.into()),
        Value::Text(evidence.sent.to_string()),
        Value::Text(evidence.etag.to_record()),
    ];
    rows::write(to, "parts", values)
}

pub(super) fn completing(to: &Transaction<'_>, id: ContentId, path: &RemotePath) -> rusqlite::Result<()> {
    let values = vec![Value::Integer(id.0 as i64), Value::Text(path.as_str().to_owned())];
    rows::write(to, "completing", values)
}

pub(super) fn remove(from: &Transaction<'_>, id: ContentId) -> rusqlite::Result<()> {
    for table in ["uploads", "parts", "completing"] {
        from.prepare_cached(&format!("DELETE FROM {table} WHERE id = ?1"))?.execute([id.0 as i64])?;
    }
    Ok(())
}

pub(super) fn read(connection: &Connection) -> rusqlite::Result<HashMap<ContentId, Begun>> {
    let id = |row: &Row<'_>| row.get::<_, i64>(0).map(|id| ContentId(id as u64));
    let mut query = connection.prepare("SELECT * FROM uploads")?;
    let rows = query.query_map([], |row| {
        rows::check("uploads", row)?;
        let begun = Begun {
            reference: row.get(1)?,
            size: row.get::<_, i64>(2)? as u64,
            part_size: row.get::<_, i64>(3)? as u64,
            parallel: row.get(4)?,
            written: Moment { seconds: row.get(5)?, nanos: row.get(6)? },
            parts: BTreeMap::new(),
            completing: None,
        };
        Ok((id(row)?, begun))
    })?;
    let mut uploads: HashMap<ContentId, Begun> = rows.collect::<Result<_, _>>()?;
    let mut query = connection.prepare("SELECT * FROM parts")?;
    let rows = query.query_map([], |row| {
        rows::check("parts", row)?;
        let (md5, etag): (String, String) = (row.get(2)?, row.get(3)?);
        let sent: Md5 = md5.parse().map_err(|_| rows::misread(2, format!("{md5:?} is no MD5")))?;
        Ok((id(row)?, row.get(1)?, PartEvidence { sent, etag: ETag::from_record(&etag) }))
    })?;
    for row in rows {
        let (id, number, evidence) = row?;
        if let Some(begun) = uploads.get_mut(&id) {
            begun.parts.insert(number, evidence);
        }
    }
    let mut query = connection.prepare("SELECT * FROM completing")?;
    let rows = query.query_map([], |row| {
        rows::check("completing", row)?;
        Ok((id(row)?, super::owed::path(row, 1)?))
    })?;
    for row in rows {
        let (id, path) = row?;
        if let Some(begun) = uploads.get_mut(&id) {
            begun.completing = Some(path);
        }
    }
    Ok(uploads)
}
