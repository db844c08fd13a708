//! The table of when the journal was told of the bytes of each file that is owed, compared with others: the number of the
//! bytes says nothing of that.

use std::collections::HashMap;

use rusqlite::types::Value;
use rusqlite::{Connection, Transaction};

use super::rows;
use crate::model::ino::ContentId;

/// Older journals have none: of what they owe, the order is not known.
pub(super) const TABLE: &str = "CREATE TABLE IF NOT EXISTS told (
    place INTEGER PRIMARY KEY, id INTEGER NOT NULL UNIQUE, sum INTEGER NOT NULL
) STRICT;";

/// It is told just now.
pub(super) fn insert(to: &Transaction<'_>, id: ContentId) -> rusqlite::Result<()> {
    let mut next = to.prepare_cached("SELECT coalesce(max(place), 0) + 1 FROM told")?;
    let place = next.query_row([], |row| row.get(0))?;
    rows::write(to, "told", vec![Value::Integer(place), Value::Integer(id.0 as i64)])
}

pub(super) fn remove(from: &Transaction<'_>, id: ContentId) -> rusqlite::Result<()> {
    from.prepare_cached("DELETE FROM told WHERE id = ?1")?.execute([id.0 as i64])?;
    Ok(())
}

/// The place of each; a larger one is later.
pub(super) fn read(connection: &Connection) -> rusqlite::Result<HashMap<ContentId, i64>> {
    let is_there = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'told')";
    if !connection.query_row(is_there, [], |row| row.get(0))? {
        return Ok(HashMap::new());
    }
    let mut query = connection.prepare("SELECT * FROM told")?;
    let rows = query.query_map([], |row| {
        rows::check("told", row)?;
        Ok((ContentId(row.get::<_, i64>(1)? as u64), row.get(0)?))
    })?;
    rows.collect()
}
