//! Tests of a journal that the disk did not keep as it was: cut at every byte, and with flipped bits. It
//! opens with a state that was once true, or it is refused and stays as it is. It never invents anything.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::*;
use crate::model::attributes::Attributes;
use crate::model::backlog::Step;
use crate::model::ino::ContentId;
use crate::model::moment::Moment;
use crate::model::path::RemotePath;
use crate::model::proof::Fingerprint;

/// Every so many bytes a bit is flipped, all eight in turn: enough to meet every kind of field.
const STRIDE: usize = 11;

fn at(path: &str) -> RemotePath {
    RemotePath::parse(path).unwrap()
}

fn owed(id: u64) -> Fact {
    let mtime = Moment { seconds: 1_700_000_000 + id as i64, nanos: 7 };
    let attributes = Attributes { mode: 0o640, uid: 1000, gid: 100, mtime, ctime: mtime };
    let path = at(&format!("backups/folder/file {id}"));
    let (xattrs, is_link) = (Default::default(), id.is_multiple_of(5));
    let version = Fingerprint { size: id, created: Some(mtime), changed: None, md5: None, crc32: None };
    let there = if id.is_multiple_of(3) { There::Version(version) } else { There::Nothing };
    Fact::Owed(Owed { id: ContentId(id), path, size: 100 + id, attributes, xattrs, is_link, there })
}

/// What happens in a journal, transaction by transaction.
fn story() -> Vec<Vec<Fact>> {
    let (from, to) = (at("backups/a"), at("backups/b"));
    let mut story = vec![vec![Fact::Planned(1, Step::Make(at("backups/folder")))]];
    story.extend((1..=12).map(|id| vec![owed(id)]));
    story.push(vec![Fact::Settled(ContentId(3)), Fact::Planned(2, Step::Move { from, to, overwrite: true })]);
    story.push((4..=6).map(|id| Fact::Settled(ContentId(id))).collect());
    story.push(vec![owed(13), Fact::Taken(1)]);
    story.push(vec![owed(14), owed(15)]);
    story
}

/// A journal with small pages, so that every byte can be tried.
struct Subject {
    dir: tempfile::TempDir,
    /// What was true after each transaction.
    states: Vec<Facts>,
}

/// The file, and its log of what is not in the file yet.
#[derive(Clone, PartialEq, Eq)]
struct Files {
    main: Vec<u8>,
    log: Vec<u8>,
}

fn log_of(path: &Path) -> PathBuf {
    path.with_extension("sqlite-wal")
}

impl Files {
    fn read(path: &Path) -> Self {
        let read = |path: &Path| std::fs::read(path).unwrap_or_default();
        Self { main: read(path), log: read(&log_of(path)) }
    }

    fn write(&self, path: &Path) {
        for leftover in [log_of(path), path.with_extension("sqlite-shm")] {
            let _ = std::fs::remove_file(leftover);
        }
        std::fs::write(path, &self.main).unwrap();
        if !self.log.is_empty() {
            std::fs::write(log_of(path), &self.log).unwrap();
        }
    }
}

impl Subject {
    /// Tells the story. The second value is the journal as a crash at the end would leave it; the third as
    /// an orderly end leaves it.
    async fn new() -> (Self, Files, Files) {
        // In memory where that can be had: thousands of openings, and nothing that depends on a disk.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let mut subject = Self { dir, states: vec![Facts::default()] };
        let path = subject.dir.path().join("told.sqlite");
        let small = Connection::open(&path).unwrap();
        small.execute_batch("PRAGMA page_size = 512; VACUUM;").unwrap();
        drop(small);
        let (journal, _) = Journal::open(&path).unwrap();
        for facts in story() {
            journal.note_all(facts);
            journal.flush().await.unwrap();
            let facts = subject.opens(&Files::read(&path)).expect("it is whole");
            subject.states.push(facts);
        }
        let crashed = Files::read(&path);
        drop(journal);
        (subject, crashed, Files::read(&path))
    }

    fn opens(&self, files: &Files) -> Option<Facts> {
        let path = self.dir.path().join("journal.sqlite");
        files.write(&path);
        match open::open(&path) {
            Ok((_, facts)) => Some(facts),
            Err(_) => {
                assert!(Files::read(&path) == *files, "what was refused was changed");
                None
            }
        }
    }

    /// Opens damaged files. True when it was refused.
    fn never_invents(&self, files: &Files, what: &str) -> bool {
        match self.opens(files) {
            Some(facts) => {
                assert!(self.states.contains(&facts), "{what}: it says what was never true: {facts:#?}");
                false
            }
            None => true,
        }
    }
}

#[tokio::test]
async fn a_journal_that_ends_at_any_byte_of_its_last_transactions_says_what_was_true_before() {
    let (subject, crashed, _) = Subject::new().await;
    let last = subject.states.len() - 1;
    assert_eq!(subject.opens(&crashed).as_ref(), Some(&subject.states[last]));
    let mut seen = std::collections::BTreeSet::new();
    for end in (crashed.log.len().saturating_sub(4096)..crashed.log.len()).rev() {
        let cut = Files { log: crashed.log[..end].to_vec(), ..crashed.clone() };
        let facts = subject.opens(&cut).unwrap_or_else(|| panic!("refused when cut at {end}"));
        let state = subject.states.iter().rposition(|state| *state == facts);
        seen.insert(state.unwrap_or_else(|| panic!("cut at {end}, it says what was never true: {facts:#?}")));
    }
    assert!(seen.len() > 1 && !seen.contains(&last), "several states were cut to: {seen:?}");
}

#[tokio::test]
async fn a_journal_with_a_flipped_bit_says_what_was_true_or_is_refused_and_kept() {
    let (subject, crashed, ended) = Subject::new().await;
    let mut refused = 0;
    for (files, name) in [(&crashed, "after a crash"), (&ended, "after an orderly end")] {
        for (is_log, len) in [(false, files.main.len()), (true, files.log.len())] {
            for place in (0..len).step_by(STRIDE) {
                let mut damaged = files.clone();
                let bytes = if is_log { &mut damaged.log } else { &mut damaged.main };
                bytes[place] ^= 1 << (place / STRIDE % 8);
                refused +=
                    u32::from(subject.never_invents(&damaged, &format!("{name}, {is_log}, byte {place}")));
            }
        }
    }
    assert!(refused > 100, "damage is noticed: {refused}");
}

#[test]
fn a_damaged_journal_is_kept_with_its_log_beside_a_fresh_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.sqlite");
    let mut kept = Vec::new();
    for n in 1..=2 {
        std::fs::write(&path, format!("no journal {n}")).unwrap();
        std::fs::write(log_of(&path), "its log").unwrap();
        assert!(matches!(Journal::open(&path), Err(OpenError::Damaged(_))));
        kept.push(set_aside(&path).unwrap());
        assert_eq!(kept_aside(&path), kept);
        assert_eq!(std::fs::read(&kept[n - 1]).unwrap(), format!("no journal {n}").into_bytes());
        let log = dir.path().join(format!("journal.sqlite.damaged.{n}-wal"));
        assert_eq!(std::fs::read(log).unwrap(), b"its log");
        assert!(Journal::open(&path).is_ok());
        std::fs::remove_file(&path).unwrap();
    }
}
