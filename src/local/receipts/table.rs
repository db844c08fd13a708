//! The table of receipts, a row for each path.

use rusqlite::{Connection, Row, Transaction, params};

use crate::model::digest::Md5;
use crate::model::moment::Moment;
use crate::model::path::RemotePath;
use crate::model::proof::Basis;
use crate::model::receipt::Receipt;

pub(super) const TABLE: &str = "CREATE TABLE receipts (
    seq INTEGER PRIMARY KEY, folder TEXT NOT NULL, name TEXT NOT NULL,
    size INTEGER NOT NULL, md5 TEXT NOT NULL, there TEXT, basis TEXT NOT NULL,
    created INTEGER, created_nanos INTEGER, changed INTEGER, changed_nanos INTEGER,
    uploaded INTEGER NOT NULL, uploaded_nanos INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX by_path ON receipts (folder, name);";

const COLUMNS: &str = "folder, name, size, md5, there, basis, created, created_nanos, changed, \
                       changed_nanos, uploaded, uploaded_nanos";

/// The receipts of a folder, or of one file in it.
pub(super) fn read(
    connection: &Connection,
    folder: &RemotePath,
    name: Option<&str>,
) -> rusqlite::Result<Vec<Receipt>> {
    let only = if name.is_some() { "name = ?2" } else { "?2 IS NULL" };
    let text = format!("SELECT {COLUMNS} FROM receipts WHERE folder = ?1 AND {only}");
    let mut query = connection.prepare_cached(&text)?;
    let rows = query.query_map(params![folder.as_str(), name], receipt)?;
    rows.collect()
}

/// Lets the oldest go beyond `limit`.
pub(super) fn trim(within: &Transaction<'_>, limit: u32) -> rusqlite::Result<()> {
    within.execute(
        "DELETE FROM receipts WHERE seq <= (SELECT seq FROM receipts ORDER BY seq DESC LIMIT 1 OFFSET ?1)",
        [limit],
    )?;
    Ok(())
}

pub(super) fn empty(within: &Transaction<'_>) -> rusqlite::Result<()> {
    within.execute("DELETE FROM receipts", [])?;
    Ok(())
}

pub(super) fn give(to: &Transaction<'_>, receipt: &Receipt) -> rusqlite::Result<()> {
    let Some(folder) = receipt.path.parent() else { return Ok(()) };
    let text = format!(
        "INSERT OR REPLACE INTO receipts ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
    );
    to.prepare_cached(&text)?.execute(params![
        folder.as_str(),
        receipt.path.name(),
        receipt.size as i64,
        receipt.md5.to_string(),
        receipt.there.map(|md5| md5.to_string()),
        receipt.basis.name(),
        receipt.created.map(|at| at.seconds),
        receipt.created.map(|at| at.nanos),
        receipt.changed.map(|at| at.seconds),
        receipt.changed.map(|at| at.nanos),
        { receipt.uploaded.seconds },
        { receipt.uploaded.nanos },
    ])?;
    Ok(())
}

pub(super) fn forget(from: &Transaction<'_>, path: &RemotePath) -> rusqlite::Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    from.prepare_cached("DELETE FROM receipts WHERE folder = ?1 AND name = ?2")?
        .execute([folder.as_str(), path.name()])?;
    Ok(())
}

/// A file, or a folder with all below it. `0` is the character behind `/`.
pub(super) fn rename(within: &Transaction<'_>, from: &RemotePath, to: &RemotePath) -> rusqlite::Result<()> {
    let (Some(old), Some(new)) = (from.parent(), to.parent()) else { return Ok(()) };
    forget(within, to)?;
    within
        .prepare_cached("UPDATE receipts SET folder = ?3, name = ?4 WHERE folder = ?1 AND name = ?2")?
        .execute([old.as_str(), from.name(), new.as_str(), to.name()])?;
    within
        .prepare_cached(
            "UPDATE OR REPLACE receipts SET folder = ?2 || substr(folder, length(?1) + 1)
             WHERE folder = ?1 OR (folder > ?1 || '/' AND folder < ?1 || '0')",
        )?
        .execute([from.as_str(), to.as_str()])?;
    Ok(())
}

fn receipt(row: &Row<'_>) -> rusqlite::Result<Receipt> {
    let misread = |at: usize, text: &str| {
        let what = format!("{text:?} makes no sense").into();
        rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, what)
    };
    let md5 = |at: usize, text: String| text.parse::<Md5>().map_err(|_| misread(at, &text));
    let moment = |at: usize| -> rusqlite::Result<Option<Moment>> {
        let parts = row.get::<_, Option<i64>>(at)?.zip(row.get(at + 1)?);
        Ok(parts.map(|(seconds, nanos)| Moment { seconds, nanos }))
    };
    let (folder, name, basis): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(5)?);
    let path = format!("{folder}/{name}");
    Ok(Receipt {
        path: RemotePath::parse(&path).ok_or_else(|| misread(1, &path))?,
        size: row.get::<_, i64>(2)? as u64,
        md5: md5(3, row.get(3)?)?,
        there: row.get::<_, Option<String>>(4)?.map(|text| md5(4, text)).transpose()?,
        basis: Basis::from_name(&basis).ok_or_else(|| misread(5, &basis))?,
        created: moment(6)?,
        changed: moment(8)?,
        uploaded: Moment { seconds: row.get(10)?, nanos: row.get(11)? },
    })
}
