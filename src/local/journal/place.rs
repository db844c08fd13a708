//! Where the journal's facts belong: a site, and the folder of it that was mounted.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Transaction};

use super::owed::path;
use super::rows;
use crate::model::path::RemotePath;

/// A folder of a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Scheme, host and port of the site.
    pub site: String,
    /// The folder that was mounted.
    pub folder: RemotePath,
}

pub(super) const TABLE: &str = "CREATE TABLE place (
    one INTEGER PRIMARY KEY CHECK (one = 1), folder TEXT NOT NULL, site TEXT NOT NULL,
    sum INTEGER NOT NULL
) STRICT;";

pub(super) fn set(to: &Transaction<'_>, place: &Place) -> rusqlite::Result<()> {
    let [folder, site] = [place.folder.as_str(), &place.site].map(|text| Value::Text(text.to_owned()));
    rows::write(to, "place", vec![Value::Integer(1), folder, site])
}

pub(super) fn read(connection: &Connection) -> rusqlite::Result<Option<Place>> {
    connection
        .query_row("SELECT * FROM place", [], |row| {
            rows::check("place", row)?;
            Ok(Place { folder: path(row, 1)?, site: row.get(2)? })
        })
        .optional()
}
