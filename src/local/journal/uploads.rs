//! The tables of uploads of several parts that were begun, and of their parts that were accepted.

use std::collections::BTreeMap;

use rusqlite::types::Type;
use rusqlite::{Connection, Transaction, params};

use crate::model::digest::{ETag, Md5};
use crate::model::ino::ContentId;
use crate::model::moment::Moment;
use crate::model::path::RemotePath;
use crate::model::proof::PartEvidence;
use crate::model::resume::Begun;

pub(super) const TABLE: &str = "CREATE TABLE uploads (
    id INTEGER PRIMARY KEY, reference TEXT NOT NULL, size INTEGER NOT NULL, part_size INTEGER NOT NULL,
    parallel INTEGER NOT NULL, seconds INTEGER NOT NULL, nanos INTEGER NOT NULL, completing TEXT
) STRICT;
CREATE TABLE parts (
    id INTEGER NOT NULL, number INTEGER NOT NULL, md5 TEXT NOT NULL, etag TEXT NOT NULL,
    PRIMARY KEY (id, number)
) STRICT, WITHOUT ROWID;";

pub(super) fn insert(to: &Transaction<'_>, id: ContentId, begun: &Begun) -> rusqlite::Result<()> {
    remove(to, id)?;
    to.prepare_cached("INSERT INTO uploads VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?.execute(params![
        id.0 as i64,
        begun.reference,
        begun.size as i64,
        begun.part_size as i64,
        begun.parallel,
        begun.written.seconds,
        begun.written.nanos,
        begun.completing.as_ref().map(RemotePath::as_str),
    ])?;
    begun.parts.iter().try_for_each(|(number, evidence)| insert_part(to, id, *number, evidence))
}

pub(super) fn insert_part(
    to: &Transaction<'_>,
    id: ContentId,
    number: u32,
    evidence: &PartEvidence,
) -> rusqlite::Result<()> {
    to.prepare_cached("INSERT OR REPLACE INTO parts VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        id.0 as i64,
        number,
        evidence.sent.to_string(),
        evidence.etag.to_string()
    ])?;
    Ok(())
}

pub(super) fn completing(to: &Transaction<'_>, id: ContentId, path: &RemotePath) -> rusqlite::Result<()> {
    to.prepare_cached("UPDATE uploads SET completing = ?2 WHERE id = ?1")?
        .execute(params![id.0 as i64, path.as_str()])?;
    Ok(())
}

pub(super) fn remove(from: &Transaction<'_>, id: ContentId) -> rusqlite::Result<()> {
    for table in ["DELETE FROM uploads WHERE id = ?1", "DELETE FROM parts WHERE id = ?1"] {
        from.prepare_cached(table)?.execute([id.0 as i64])?;
    }
    Ok(())
}

pub(super) fn read(connection: &Connection) -> rusqlite::Result<BTreeMap<ContentId, Begun>> {
    let mut query = connection.prepare(
        "SELECT id, reference, size, part_size, parallel, seconds, nanos, completing FROM uploads",
    )?;
    let rows = query.query_map([], |row| {
        let completing: Option<String> = row.get(7)?;
        let begun = Begun {
            reference: row.get(1)?,
            size: row.get::<_, i64>(2)? as u64,
            part_size: row.get::<_, i64>(3)? as u64,
            parallel: row.get(4)?,
            written: Moment { seconds: row.get(5)?, nanos: row.get(6)? },
            parts: BTreeMap::new(),
            completing: completing.map(|_| super::owed::path(row, 7)).transpose()?,
        };
        Ok((ContentId(row.get::<_, i64>(0)? as u64), begun))
    })?;
    let mut uploads: BTreeMap<ContentId, Begun> = rows.collect::<Result<_, _>>()?;
    let mut query = connection.prepare("SELECT id, number, md5, etag FROM parts")?;
    let rows = query.query_map([], |row| {
        let (md5, etag): (String, String) = (row.get(2)?, row.get(3)?);
        let sent: Md5 = md5.parse().map_err(|_| {
            rusqlite::Error::FromSqlConversionFailure(2, Type::Text, format!("{md5:?} is no MD5").into())
        })?;
        let evidence = PartEvidence { sent, etag: ETag::parse(&etag) };
        Ok((ContentId(row.get::<_, i64>(0)? as u64), row.get(1)?, evidence))
    })?;
    for row in rows {
        let (id, number, evidence) = row?;
        if let Some(begun) = uploads.get_mut(&id) {
            begun.parts.insert(number, evidence);
        }
    }
    Ok(uploads)
}
