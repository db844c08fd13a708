//! Facts that must survive a crash: which files are whole in the spool and owed, which folders and
//! attributes, and which changes of names Files.com must still make.
//!
//! SQLite keeps them, a table for each kind (write-ahead log, `synchronous=FULL`, a checksum in each row),
//! written by one thread (`writer.rs`). A fact is true for the next mount once [`Journal::commit`] has
//! answered. After a write or a sync that failed nothing here can be believed: every later one fails too, and
//! [`Journal::failure`] says why. A disk without room is another matter, and so is a process without memory or
//! descriptors ([`super::trouble`]): for the first, room is kept back ([`super::reserve`]), and where that does not
//! suffice, facts wait in memory, in order, and whoever waits for them is told.

#[cfg(test)]
mod damage;
mod entries;
mod fact;
mod latch;
mod open;
mod owed;
mod place;
mod rows;
mod steps;
mod told;
mod uploads;
mod versions;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::oneshot;

pub use self::fact::{EntryDebt, Fact, Facts, Owed, OwedEntry, There};
use self::latch::Latch;
pub use self::open::{OpenError, kept_aside, set_aside};
pub use self::place::Place;
use self::writer::{Order, Then};
use super::reserve::Reserve;
use crate::model::failure::Failure;

/// Version of the tables; kept in SQLite's `user_version`.
const VERSION: i64 = 5;
/// The one before, which knows all but what Files.com has under the paths of what is owed (`versions.rs`).
const VERSION_BEFORE: i64 = 4;

/// The way to the one thread that writes.
#[derive(Debug)]
pub struct Journal {
    orders: Option<Sender<Order>>,
    writer: Option<JoinHandle<()>>,
    reserve: Arc<Reserve>,
    latch: Arc<Latch>,
    /// How many orders with facts were given, and how many of them are on the disk.
    noted: AtomicU64,
    written: Arc<AtomicU64>,
}

impl Journal {
    /// Opens or creates the journal and tells what an earlier mount left true.
    ///
    /// # Errors
    /// Nothing of the file was changed then.
    pub fn open(path: &Path) -> Result<(Self, Facts), OpenError> {
        let (connection, facts) = open::open(path)?;
        let reserve = Arc::new(Reserve::keep(&path.with_extension("reserve")));
        let latch = Arc::new(Latch::default());
        let written = Arc::new(AtomicU64::new(0));
        let (orders, inbox) = channel();
        let writer = std::thread::Builder::new()
            .name("journal".into())
            .spawn({
                let (reserve, latch, written) = (reserve.clone(), latch.clone(), written.clone());
                move || writer::write(connection, &inbox, &reserve, &latch, &written)
            })
            .map_err(OpenError::Thread)?;
        let (orders, writer, noted) = (Some(orders), Some(writer), AtomicU64::new(0));
        Ok((Self { orders, writer, reserve, latch, noted, written }, facts))
    }

    /// Why nothing new may be promised any more, once that is so.
    pub fn failure(&self) -> Option<&Failure> {
        self.latch.failure()
    }

    /// The disk failed to sync what a fact was going to speak of: what it kept is not known, and asking again
    /// would tell nothing.
    pub fn distrust(&self, failure: &Failure) {
        self.latch.set(format!("the local disk cannot be synced: {failure}"));
    }

    /// Room for facts on a disk that is full of other things.
    pub fn reserve(&self) -> &Reserve {
        &self.reserve
    }

    /// What a journal says, for those who only look: nothing is made, and no fact is written.
    ///
    /// # Errors
    /// As for [`Self::open`]; also where there is no journal.
    pub fn look(path: &Path) -> Result<Facts, OpenError> {
        open::look(path)
    }

    /// Writes a fact without waiting for it: it survives a crash of the process soon, and a power
    /// loss once a later fact was committed.
    pub fn note(&self, fact: Fact) {
        self.note_all(vec![fact]);
    }

    /// The same for several that become true together.
    pub fn note_all(&self, facts: Vec<Fact>) {
        if let Some(orders) = self.orders.as_ref().filter(|_| !facts.is_empty()) {
            self.noted.fetch_add(1, Ordering::SeqCst);
            let _ = orders.send(Order { facts, answer: None, then: None });
        }
    }

    /// The same, and `then` once it is on the disk: what a fact speaks of goes after the fact.
    pub fn note_then(&self, fact: Fact, then: impl FnOnce() + Send + 'static) {
        if let Some(orders) = &self.orders {
            self.noted.fetch_add(1, Ordering::SeqCst);
            let _ = orders.send(Order { facts: vec![fact], answer: None, then: Some(Then(Box::new(then))) });
        }
    }

    /// Writes a fact and waits until it is on the disk.
    pub async fn commit(&self, fact: Fact) -> Result<(), Failure> {
        self.note(fact);
        self.flush().await
    }

    /// Waits until every fact that was noted before is on the disk.
    pub async fn flush(&self) -> Result<(), Failure> {
        if let Some(failure) = self.latch.failure() {
            return Err(failure.clone());
        }
        if self.written.load(Ordering::SeqCst) >= self.noted.load(Ordering::SeqCst) {
            return Ok(());
        }
        let (answer, outcome) = oneshot::channel();
        let order = Order { facts: Vec::new(), answer: Some(answer), then: None };
        let sent = self.orders.as_ref().is_some_and(|orders| orders.send(order).is_ok());
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
    connection.execute_batch("BEGIN;")?;
    let tables = [owed::TABLE, entries::TABLE, steps::TABLE, uploads::TABLE, place::TABLE, versions::TABLE];
    for table in tables.into_iter().chain([told::TABLE]) {
        connection.execute_batch(table)?;
    }
    connection.pragma_update(None, "user_version", VERSION)?;
    connection.execute_batch("COMMIT;")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};
    use std::ffi::OsStr;

    use super::*;
    use crate::model::attributes::Attributes;
    use crate::model::backlog::Step;
    use crate::model::digest::{ETag, Md5};
    use crate::model::ino::ContentId;
    use crate::model::moment::Moment;
    use crate::model::path::RemotePath;
    use crate::model::proof::{Fingerprint, PartEvidence};
    use crate::model::resume::Begun;
    use crate::model::xattrs::{Expects, Xattrs};

    fn xattrs() -> Xattrs {
        let (name, value) = (OsStr::new("user.of bytes"), [0, 255, b' ']);
        Xattrs::default().with(name, &value, Expects::Nothing, 0).unwrap()
    }

    fn owed(id: u64, path: &str) -> Owed {
        let mtime = Moment { seconds: -5, nanos: 7 };
        let attributes = Attributes { mode: 0o640, uid: 1, gid: 2, mtime, ctime: mtime };
        Owed {
            id: ContentId(id),
            path: RemotePath::parse(path).unwrap(),
            size: 10,
            attributes,
            is_link: true,
            xattrs: xattrs(),
            there: There::Version(version(5)),
        }
    }

    fn version(size: u64) -> Fingerprint {
        let moment = |seconds| Some(Moment { seconds, nanos: 8 });
        let (created, changed) = (moment(7), moment(9));
        Fingerprint { size, created, changed, md5: Some(Md5::of(b"x")), crc32: None }
    }

    #[tokio::test]
    async fn a_journal_of_before_is_read_and_tells_nothing_of_what_files_com_has() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.sqlite");
        let (journal, _) = Journal::open(&path).unwrap();
        journal.commit(Fact::Owed(owed(1, "a"))).await.unwrap();
        let doubtful = Owed { there: There::Perhaps(version(6)), ..owed(2, "b") };
        journal.commit(Fact::Owed(doubtful.clone())).await.unwrap();
        drop(journal);
        assert_eq!(Journal::look(&path).unwrap().owed, [owed(1, "a"), doubtful]);
        let before = format!("DROP TABLE versions; DROP TABLE told; PRAGMA user_version = {VERSION_BEFORE};");
        Connection::open(&path).unwrap().execute_batch(&before).unwrap();
        let unknown = Owed { there: There::Nothing, ..owed(1, "a") };
        assert_eq!(Journal::look(&path).unwrap().owed[0], unknown);
        let (journal, facts) = Journal::open(&path).unwrap();
        assert_eq!(facts.owed[0], unknown);
        journal.commit(Fact::Owed(owed(1, "a"))).await.unwrap();
        assert_eq!(Journal::look(&path).unwrap().owed[1], owed(1, "a"));
    }

    #[tokio::test]
    async fn the_next_mount_reads_what_was_committed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.sqlite");
        let (journal, before) = Journal::open(&path).unwrap();
        assert_eq!(before, Facts::default());
        journal.commit(Fact::Owed(owed(1, "a/.f.tmp"))).await.unwrap();
        journal.note(Fact::Owed(owed(2, "b")));
        journal.note(Fact::Owed(owed(1, "a/f")));
        journal.commit(Fact::Settled(ContentId(2))).await.unwrap();
        assert_eq!(Journal::look(&path).unwrap().owed, [owed(1, "a/f")]);
        drop(journal);
        let (_journal, after) = Journal::open(&path).unwrap();
        assert_eq!(after.owed, [owed(1, "a/f")]);
    }

    #[tokio::test]
    async fn facts_come_back_in_the_order_in_which_they_were_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.sqlite");
        let (journal, _) = Journal::open(&path).unwrap();
        // Numbers are made in advance: a smaller one may be of newer bytes.
        for (id, at) in [(9, "f"), (3, "f"), (7, "g"), (9, "h")] {
            journal.note(Fact::Owed(owed(id, at)));
        }
        drop(journal);
        let (_journal, facts) = Journal::open(&path).unwrap();
        assert_eq!(facts.owed, [owed(3, "f"), owed(7, "g"), owed(9, "h")]);
    }

    #[tokio::test]
    async fn bytes_go_after_their_fact() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.sqlite");
        let (journal, _) = Journal::open(&path).unwrap();
        journal.commit(Fact::Owed(owed(1, "a"))).await.unwrap();
        let (tell, told) = channel();
        let look = path.clone();
        journal.note_then(Fact::Settled(ContentId(1)), move || {
            let facts = owed::read(&Connection::open(&look).unwrap()).unwrap();
            tell.send(facts.is_empty()).unwrap();
        });
        assert!(told.recv().unwrap(), "the fact is still there when its bytes may go");
    }

    #[tokio::test]
    async fn every_kind_of_fact_comes_back_and_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.sqlite");
        let at = |text| RemotePath::parse(text).unwrap();
        let entry = |path, what| OwedEntry {
            path: at(path),
            what,
            attributes: owed(1, "x").attributes,
            xattrs: xattrs(),
        };
        let entries = [entry("d", EntryDebt::Folder), entry("d/e", EntryDebt::Attributes)];
        let created = Some(Moment { seconds: 7, nanos: 8 });
        let version = Fingerprint { size: 5, created, changed: None, md5: Some(Md5::of(b"x")), crc32: None };
        let steps = [
            (1, Step::Make(at("m"))),
            (2, Step::Delete { path: at("f"), version }),
            (3, Step::RemoveFolder(at("g"))),
            (4, Step::Move { from: at("a"), to: at("b"), overwrite: false }),
            (5, Step::Move { from: at("b"), to: at("c"), overwrite: true }),
            (6, Step::Copy { from: at("c"), to: at("e"), version }),
        ];
        let place = Place { site: "https://mysite.files.com".into(), folder: at("backups") };
        let (journal, _) = Journal::open(&path).unwrap();
        journal.note(Fact::Mounted(place.clone()));
        journal.note_all(entries.iter().cloned().map(Fact::Entry).collect());
        journal.note_all(steps.iter().cloned().map(|(number, step)| Fact::Planned(number, step)).collect());
        journal.flush().await.unwrap();
        drop(journal);
        let (journal, facts) = Journal::open(&path).unwrap();
        assert_eq!((&facts.entries[..], &facts.steps[..]), (&entries[..], &steps[..]));
        assert_eq!((facts.place.as_ref(), facts.is_empty()), (Some(&place), false));
        journal.note_all(entries.iter().map(|entry| Fact::EntrySettled(entry.path.clone())).collect());
        journal.note_all(steps.iter().map(|(number, _)| Fact::Taken(*number)).collect());
        drop(journal);
        let facts = Journal::open(&path).unwrap().1;
        assert!(facts.is_empty() && facts.place == Some(place));
    }

    #[tokio::test]
    async fn an_upload_that_was_begun_comes_back_until_its_bytes_are_settled() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.sqlite");
        let evidence = |bytes: &[u8], etag| PartEvidence { sent: Md5::of(bytes), etag };
        let begun = Begun {
            reference: "put-7".into(),
            size: 50 << 20,
            part_size: 16 << 20,
            parallel: true,
            written: Moment { seconds: 7, nanos: 8 },
            parts: BTreeMap::new(),
            completing: None,
        };
        let (journal, _) = Journal::open(&path).unwrap();
        for id in [1, 2, 3] {
            journal.note(Fact::Begun(ContentId(id), begun.clone()));
        }
        let parts = [
            (1, evidence(b"1", ETag::Md5(Md5::of(b"1")))),
            (3, evidence(b"3", ETag::compared("5045cf51883b32c692d1b38d57993daf"))),
        ];
        for (number, evidence) in parts.clone() {
            journal.note(Fact::Sent(ContentId(2), number, evidence));
        }
        journal.note(Fact::Abandoned(ContentId(1)));
        journal.note(Fact::Settled(ContentId(3)));
        let to = RemotePath::parse("a/b").unwrap();
        journal.commit(Fact::Completing(ContentId(2), to.clone())).await.unwrap();
        drop(journal);
        let (journal, facts) = Journal::open(&path).unwrap();
        let known = Begun { parts: BTreeMap::from(parts), completing: Some(to), ..begun.clone() };
        assert_eq!(facts.uploads, HashMap::from([(ContentId(2), known)]));
        journal.commit(Fact::Begun(ContentId(2), begun.clone())).await.unwrap();
        drop(journal);
        let (_, facts) = Journal::open(&path).unwrap();
        assert_eq!(facts.uploads, HashMap::from([(ContentId(2), begun)]), "parts of another upload");
    }

    #[test]
    fn a_journal_of_another_version_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.sqlite");
        drop(Journal::open(&path).unwrap());
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
        let before = std::fs::read(&path).unwrap();
        assert!(matches!(Journal::open(&path), Err(OpenError::Version(99))));
        assert!(matches!(Journal::look(&path), Err(OpenError::Version(99))));
        assert!(std::fs::read(&path).unwrap() == before);
    }
}
