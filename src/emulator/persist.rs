//! A site in a folder: content as files, the tree in an SQLite database beside them.
//!
//! What a request changed is written in one transaction before its answer goes out, so the tree survives
//! the end of the process at any point. It does not claim to survive a power cut. Uploads that were under
//! way, sessions, signed URLs and accepted deletions are forgotten.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::auth::Author;
use super::clock::Time;
use super::object::{Body, ContentFile, Depot, Object, Part};
use super::tree::{Kind, Node, ROOT, Tree};

/// The database.
#[derive(Debug)]
pub(super) struct Index(Connection);

#[derive(Serialize, Deserialize)]
struct Row {
    parent: u64,
    name: String,
    created_at: Time,
    mtime: Time,
    provided_mtime: Option<i64>,
    metadata: BTreeMap<String, String>,
    priority_color: Option<String>,
    created_by: Author,
    modified_by: Author,
    /// `None`: a folder.
    object: Option<StoredObject>,
}

#[derive(Serialize, Deserialize)]
struct StoredObject {
    id: String,
    etag: String,
    crc32: u32,
    md5: Option<[u8; 16]>,
    parts: Vec<StoredPart>,
}

#[derive(Serialize, Deserialize)]
struct StoredPart {
    file: String,
    len: u64,
    md5: [u8; 16],
    crc32: u32,
}

impl Index {
    /// Opens the folder, reads its tree into `tree`, and removes content that nothing refers to.
    pub(super) fn open(dir: &Path, tree: &mut Tree, depot: &Depot) -> rusqlite::Result<Self> {
        let connection = Connection::open(dir.join("index.sqlite"))?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;
             CREATE TABLE IF NOT EXISTS nodes (id INTEGER PRIMARY KEY, row TEXT NOT NULL);",
        )?;
        let mut rows = Vec::new();
        {
            let mut statement = connection.prepare("SELECT id, row FROM nodes ORDER BY id")?;
            let mut found = statement.query([])?;
            while let Some(found) = found.next()? {
                let (id, text): (i64, String) = (found.get(0)?, found.get(1)?);
                if let (Ok(id), Ok(row)) = (u64::try_from(id), serde_json::from_str::<Row>(&text)) {
                    rows.push((id, row));
                }
            }
        }
        let mut parts = HashSet::new();
        let mut shared = BTreeMap::new();
        for (id, row) in rows {
            let kind = match row.object {
                None => Kind::Folder(BTreeMap::new()),
                Some(object) => Kind::File(object.restore(depot, row.created_at, &mut parts, &mut shared)),
            };
            let mut node = Node::new(kind, row.created_at, row.created_by);
            node.mtime = row.mtime;
            node.provided_mtime = row.provided_mtime;
            node.metadata = row.metadata;
            node.priority_color = row.priority_color;
            node.modified_by = row.modified_by;
            tree.attach(row.parent, &row.name, node, Some(id));
        }
        tree.rebuild();
        tree.changed.clear();
        if let Some(dir) = &depot.dir {
            for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                if !parts.contains(&entry.file_name().to_string_lossy().into_owned()) {
                    // Left by an upload that was never completed.
                    let _ = std::fs::remove_file(entry.path());
                }
            }
        }
        Ok(Self(connection))
    }

    /// Brings the rows of `changed` up to date.
    pub(super) fn write(&mut self, tree: &Tree, changed: &BTreeSet<u64>) -> rusqlite::Result<()> {
        let transaction = self.0.transaction()?;
        {
            let mut put =
                transaction.prepare_cached("INSERT OR REPLACE INTO nodes (id, row) VALUES (?1, ?2)")?;
            let mut delete = transaction.prepare_cached("DELETE FROM nodes WHERE id = ?1")?;
            for id in changed.iter().filter(|id| **id != ROOT) {
                let key = i64::try_from(*id).unwrap_or(i64::MAX);
                match tree.get(*id).and_then(|node| serde_json::to_string(&Row::of(node)).ok()) {
                    Some(row) => put.execute(params![key, row])?,
                    None => delete.execute(params![key])?,
                };
            }
        }
        transaction.commit()
    }
}

impl Row {
    fn of(node: &Node) -> Self {
        let object = match &node.kind {
            Kind::File(object) => Some(StoredObject::of(object)),
            Kind::Folder(_) => None,
        };
        Self {
            parent: node.parent,
            name: node.name.clone(),
            created_at: node.created_at,
            mtime: node.mtime,
            provided_mtime: node.provided_mtime,
            metadata: node.metadata.clone(),
            priority_color: node.priority_color.clone(),
            created_by: node.created_by,
            modified_by: node.modified_by,
            object,
        }
    }
}

impl StoredObject {
    fn of(object: &Object) -> Self {
        let file = |part: &Part| match &part.body {
            Body::Disk(file) => file.path.file_name().map(|name| name.to_string_lossy().into_owned()),
            Body::Memory(_) => None,
        };
        let part = |part: &Arc<Part>| StoredPart {
            file: file(part).unwrap_or_default(),
            len: part.len,
            md5: part.md5,
            crc32: part.crc32,
        };
        Self {
            id: object.id.clone(),
            etag: object.etag.clone(),
            crc32: object.crc32,
            md5: object.md5.get().copied(),
            parts: object.parts.iter().map(part).collect(),
        }
    }

    /// Copies of a file share their parts: each file on disk becomes one value, that goes with the last.
    fn restore(
        self,
        depot: &Depot,
        stored_at: Time,
        files: &mut HashSet<String>,
        shared: &mut BTreeMap<String, Arc<Part>>,
    ) -> Arc<Object> {
        let dir = depot.dir.clone().unwrap_or_default();
        let mut restore = |part: StoredPart| {
            files.insert(part.file.clone());
            let body = || Body::Disk(ContentFile { path: dir.join(&part.file), keep: depot.keep.clone() });
            let restored =
                || Arc::new(Part { len: part.len, md5: part.md5, crc32: part.crc32, body: body() });
            shared.entry(part.file.clone()).or_insert_with(restored).clone()
        };
        let parts: Vec<Arc<Part>> = self.parts.into_iter().map(&mut restore).collect();
        let size = parts.iter().map(|part| part.len).sum();
        let md5 = self.md5.map_or_else(OnceLock::new, OnceLock::from);
        let object =
            Arc::new(Object { id: self.id, size, crc32: self.crc32, etag: self.etag, stored_at, parts, md5 });
        // The process may have ended between a completion and its MD5.
        object.md5();
        object
    }
}
