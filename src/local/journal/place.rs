//! Where the journal's facts belong: a site, and the folder of it that was mounted.

use rusqlite::{Connection, OptionalExtension, Transaction};

use super::owed::path;
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
    one INTEGER PRIMARY KEY CHECK (one = 1), folder TEXT NOT NULL, site TEXT NOT NULL
) STRICT;";

pub(super) fn set(to: &Transaction<'_>, place: &Place) -> rusqlite::Result<()> {
    to.prepare_cached("INSERT OR REPLACE INTO place VALUES (1, ?1, ?2)")?
        .execute([place.folder.as_str(), &place.site])?;
    Ok(())
}

pub(super) fn read(connection: &Connection) -> rusqlite::Result<Option<Place>> {
    connection
        .query_row("SELECT folder, site FROM place", [], |row| {
            Ok(Place { folder: path(row, 0)?, site: row.get(1)? })
        })
        .optional()
}
