//! Facts that must survive a crash: which files are whole in the spool and owed, under which path and
//! with which attributes.
//!
//! SQLite keeps them (write-ahead log, `synchronous=FULL`), written by one thread that takes all facts
//! that wait into one transaction. A fact is true for the next mount once [`Journal::commit`] has
//! answered. After a write that failed nothing here can be believed, so every later one fails too.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::oneshot;

use crate::model::attributes::Attributes;
use crate::model::failure::Failure;
use crate::model::ino::ContentId;
use crate::model::moment::Moment;
use crate::model::path::RemotePath;

/// Version of the tables; kept in SQLite's `user_version`.
const VERSION: i64 = 1;

/// A file that is whole in the spool and owed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    /// Its bytes.
    pub id: ContentId,
    /// Where they belong.
    pub path: RemotePath,
    /// How many bytes.
    pub size: u64,
    /// Mode, owner, times.
    pub attributes: Attributes,
    /// The bytes are the target of a symbolic link.
    pub is_link: bool,
}

/// What became true.
#[derive(Debug, Clone)]
pub enum Fact {
    /// These bytes are whole in the spool, and owed under this path; replaces what was said of the
    /// same bytes before.
    Owed(Owed),
    /// These bytes are owed no more: proven, superseded, or deleted.
    Settled(ContentId),
}

struct Order {
    /// `None` only asks to be told when all that came before is written.
    fact: Option<Fact>,
    answer: Option<oneshot::Sender<Result<(), Failure>>>,
}

/// The way to the one thread that writes.
#[derive(Debug)]
pub struct Journal {
    orders: Option<Sender<Order>>,
    writer: Option<JoinHandle<()>>,
}

impl Journal {
    /// Opens or creates the journal and tells what is owed.
    pub fn open(path: &Path) -> rusqlite::Result<(Self, Vec<Owed>)> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        let version: Option<i64> =
            connection.query_row("PRAGMA user_version", [], |row| row.get(0)).optional()?;
        match version {
            Some(VERSION) => {}
            Some(0) | None => create(&connection)?,
            Some(_) => return Err(rusqlite::Error::InvalidQuery),
        }
        let owed = read(&connection)?;
        let (orders, inbox) = channel();
        let writer = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || write(connection, &inbox))
            .map_err(|_| rusqlite::Error::InvalidQuery)?;
        Ok((Self { orders: Some(orders), writer: Some(writer) }, owed))
    }

    /// Writes a fact without waiting for it: it survives a crash of the process soon, and a power
    /// loss once a later fact was committed.
    pub fn note(&self, fact: Fact) {
        if let Some(orders) = &self.orders {
            let _ = orders.send(Order { fact: Some(fact), answer: None });
        }
    }

    /// Writes a fact and waits until it is on the disk.
    pub async fn commit(&self, fact: Fact) -> Result<(), Failure> {
        self.order(Some(fact)).await
    }

    /// Waits until every fact that was noted before is on the disk.
    pub async fn flush(&self) -> Result<(), Failure> {
        self.order(None).await
    }

    async fn order(&self, fact: Option<Fact>) -> Result<(), Failure> {
        let (answer, outcome) = oneshot::channel();
        let sent = self
            .orders
            .as_ref()
            .is_some_and(|orders| orders.send(Order { fact, answer: Some(answer) }).is_ok());
        let gone = || Failure::new(libc::EIO, "the journal is closed");
        if !sent {
            return Err(gone());
        }
        outcome.await.unwrap_or_else(|_| Err(gone()))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "BEGIN;
         CREATE TABLE owed (
            id INTEGER PRIMARY KEY, path TEXT NOT NULL, size INTEGER NOT NULL,
            mode INTEGER NOT NULL, uid INTEGER NOT NULL, gid INTEGER NOT NULL,
            seconds INTEGER NOT NULL, nanos INTEGER NOT NULL, link INTEGER NOT NULL
         ) STRICT;",
    )?;
    connection.pragma_update(None, "user_version", VERSION)?;
    connection.execute_batch("COMMIT;")
}

fn read(connection: &Connection) -> rusqlite::Result<Vec<Owed>> {
    let mut query = connection
        .prepare("SELECT id, path, size, mode, uid, gid, seconds, nanos, link FROM owed ORDER BY id")?;
    let rows = query.query_map([], |row| {
        let mtime = Moment { seconds: row.get(6)?, nanos: row.get(7)? };
        let path: String = row.get(1)?;
        let attributes =
            Attributes { mode: row.get(3)?, uid: row.get(4)?, gid: row.get(5)?, mtime, ctime: mtime };
        Ok((row.get::<_, i64>(0)?, path, row.get::<_, i64>(2)?, attributes, row.get(8)?))
    })?;
    let mut owed = Vec::new();
    for row in rows {
        let (id, path, size, attributes, is_link) = row?;
        let Some(path) = RemotePath::parse(&path) else { continue };
        owed.push(Owed { id: ContentId(id as u64), path, size: size as u64, attributes, is_link });
    }
    Ok(owed)
}

/// Until the last sender is gone: everything that waits becomes one transaction.
fn write(mut connection: Connection, inbox: &Receiver<Order>) {
    let mut broken: Option<Failure> = None;
    while let Ok(first) = inbox.recv() {
        let orders: Vec<Order> = std::iter::once(first).chain(inbox.try_iter()).collect();
        if broken.is_none()
            && let Err(error) = apply(&mut connection, &orders)
        {
            tracing::error!(
                "the journal cannot be written ({error}); nothing new is accepted until the next mount"
            );
            broken = Some(Failure::new(libc::EIO, format!("the journal cannot be written: {error}")));
        }
        for order in orders {
            if let Some(answer) = order.answer {
                let _ = answer.send(broken.clone().map_or(Ok(()), Err));
            }
        }
    }
}

fn apply(connection: &mut Connection, orders: &[Order]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for order in orders {
        match &order.fact {
            None => {}
            Some(Fact::Owed(owed)) => {
                let Attributes { mode, uid, gid, mtime, .. } = owed.attributes;
                transaction
                    .prepare_cached(
                        "INSERT OR REPLACE INTO owed VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                    )?
                    .execute(params![
                        owed.id.0 as i64,
                        owed.path.as_str(),
                        owed.size as i64,
                        mode,
                        uid,
                        gid,
                        mtime.seconds,
                        mtime.nanos,
                        owed.is_link
                    ])?;
            }
            Some(Fact::Settled(id)) => {
                transaction.prepare_cached("DELETE FROM owed WHERE id = ?1")?.execute([id.0 as i64])?;
            }
        }
    }
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owed(id: u64, path: &str) -> Owed {
        let mtime = Moment { seconds: -5, nanos: 7 };
        let attributes = Attributes { mode: 0o640, uid: 1, gid: 2, mtime, ctime: mtime };
        Owed {
            id: ContentId(id),
            path: RemotePath::parse(path).unwrap(),
            size: 10,
            attributes,
            is_link: true,
        }
    }

    #[tokio::test]
    async fn the_next_mount_reads_what_was_committed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.sqlite");
        let (journal, before) = Journal::open(&path).unwrap();
        assert!(before.is_empty());
        journal.commit(Fact::Owed(owed(1, "a/.f.tmp"))).await.unwrap();
        journal.note(Fact::Owed(owed(2, "b")));
        journal.note(Fact::Owed(owed(1, "a/f")));
        journal.commit(Fact::Settled(ContentId(2))).await.unwrap();
        drop(journal);
        let (_journal, after) = Journal::open(&path).unwrap();
        assert_eq!(after, [owed(1, "a/f")]);
    }

    #[test]
    fn a_journal_of_another_version_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.sqlite");
        drop(Journal::open(&path).unwrap());
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
        assert!(Journal::open(&path).is_err());
    }
}
