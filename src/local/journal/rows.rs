//! Rows that know when they were damaged: the last column of every table is a CRC32 over the table's name and
//! all other columns. SQLite notices damage to its own structure; a flipped bit in a path or a number it would
//! hand out as the truth.

use rusqlite::types::{Type, Value};
use rusqlite::{Row, Transaction, params_from_iter};

/// Writes a row, over one of the same key.
pub(super) fn write(to: &Transaction<'_>, table: &str, values: Vec<Value>) -> rusqlite::Result<()> {
    let sum = checksum(table, &values);
    let marks = "?, ".repeat(values.len());
    let mut insert = to.prepare_cached(&format!("INSERT OR REPLACE INTO {table} VALUES ({marks}?)"))?;
    insert.execute(params_from_iter(values.into_iter().chain([Value::Integer(sum)])))?;
    Ok(())
}

/// Compares a row with its checksum, before anything of it is believed.
///
/// # Errors
/// [`rusqlite::Error::FromSqlConversionFailure`] where they differ.
pub(super) fn check(table: &str, row: &Row<'_>) -> rusqlite::Result<()> {
    let last = row.as_ref().column_count() - 1;
    let values: Vec<Value> = (0..last).map(|at| row.get(at)).collect::<Result<_, _>>()?;
    if row.get::<_, Value>(last)? == Value::Integer(checksum(table, &values)) {
        return Ok(());
    }
    Err(misread(last, format!("a row of {table} is not what was written")))
}

/// A value that none of ours can be.
pub(super) fn misread(at: usize, what: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(at, Type::Text, what.into())
}

fn checksum(table: &str, values: &[Value]) -> i64 {
    let mut hasher = crc32fast::Hasher::new();
    let mut add = |kind: u8, bytes: &[u8]| {
        // With its kind and length, so that no two rows are the same bytes.
        hasher.update(&[kind]);
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    add(0, table.as_bytes());
    for value in values {
        match value {
            Value::Null => add(1, &[]),
            Value::Integer(number) => add(2, &number.to_le_bytes()),
            Value::Real(number) => add(3, &number.to_le_bytes()),
            Value::Text(text) => add(4, text.as_bytes()),
            Value::Blob(bytes) => add(5, bytes),
        }
    }
    hasher.finalize().into()
}
