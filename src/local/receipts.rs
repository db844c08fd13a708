//! Receipts of proofs, newest per path: `receipts.sqlite` in the state folder.
//!
//! Nothing durable rests on them. So their file is written without waiting for the disk, a damaged one
//! is set aside and begun anew, and what cannot be written is told and goes missing: a receipt that is
//! missing costs a line of a manifest, and a wrong one is found out, since a receipt counts for the
//! version that it is of and no other ([`Receipt::is_of`]). One thread writes and reads, all that waits
//! in one transaction. Beyond [`LIMIT`] receipts the oldest go.

mod table;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use tokio::sync::oneshot;

use super::trouble::Trouble;
use crate::model::failure::Failure;
use crate::model::path::RemotePath;
use crate::model::receipt::Receipt;

/// How many receipts are kept; about 150 bytes each.
pub const LIMIT: u32 = 2_000_000;
/// How many are written between two looks at how many there are.
const CHECK_EVERY: u32 = 4096;

/// Version of the table; kept in SQLite's `user_version`.
const VERSION: i64 = 1;

enum Order {
    Given(Box<Receipt>),
    Moved(RemotePath, RemotePath),
    Forgotten(RemotePath),
    AllForgotten,
    Ask(RemotePath, Option<String>, oneshot::Sender<rusqlite::Result<Vec<Receipt>>>),
}

/// The way to the one thread that keeps them.
#[derive(Debug)]
pub struct Receipts {
    orders: Option<Sender<Order>>,
    keeper: Option<JoinHandle<()>>,
}

impl Receipts {
    /// Opens or creates the file. One that cannot be used is set aside, and a new one begun.
    ///
    /// # Errors
    /// Where not even a new one can be made.
    pub fn open(path: &Path) -> rusqlite::Result<Self> {
        Self::open_with(path, LIMIT, CHECK_EVERY)
    }

    fn open_with(path: &Path, limit: u32, check_every: u32) -> rusqlite::Result<Self> {
        let connection = open_or_renew(path)?;
        let mut keeper = Keeper { path: path.to_owned(), connection, limit, check_every, written: 0 };
        let (orders, inbox) = channel();
        let keeper = std::thread::Builder::new()
            .name("receipts".into())
            .spawn(move || keeper.serve(&inbox))
            .map_err(|_| rusqlite::Error::InvalidQuery)?;
        Ok(Self { orders: Some(orders), keeper: Some(keeper) })
    }

    /// Writes a receipt down, over an older one of its path.
    pub fn give(&self, receipt: Receipt) {
        self.order(Order::Given(Box::new(receipt)));
    }

    /// What was at or below `from` is at or below `to` now, over whatever was there.
    pub fn moved(&self, from: RemotePath, to: RemotePath) {
        self.order(Order::Moved(from, to));
    }

    /// There is no file at `path` any more.
    pub fn forget(&self, path: RemotePath) {
        self.order(Order::Forgotten(path));
    }

    /// None of them is of what is mounted now.
    pub fn forget_all(&self) {
        self.order(Order::AllForgotten);
    }

    /// The receipts of the files in `folder`, after all that was told before.
    ///
    /// # Errors
    /// EIO where they cannot be read.
    pub async fn in_folder(&self, folder: &RemotePath) -> Result<Vec<Receipt>, Failure> {
        self.ask(folder.clone(), None).await
    }

    /// The receipt of the file at `path`, after all that was told before.
    ///
    /// # Errors
    /// EIO where it cannot be read.
    pub async fn at(&self, path: &RemotePath) -> Result<Option<Receipt>, Failure> {
        let Some(folder) = path.parent() else { return Ok(None) };
        Ok(self.ask(folder, Some(path.name().to_owned())).await?.pop())
    }

    /// Waits until all that was told before is written.
    pub async fn flush(&self) {
        // A question about nothing is answered behind everything else.
        let _ = self.ask(RemotePath::ROOT, Some(String::new())).await;
    }

    async fn ask(&self, folder: RemotePath, name: Option<String>) -> Result<Vec<Receipt>, Failure> {
        let failed = |why: String| Failure::new(libc::EIO, format!("the receipts cannot be read: {why}"));
        let (answer, receipts) = oneshot::channel();
        self.order(Order::Ask(folder, name, answer));
        match receipts.await {
            Ok(receipts) => receipts.map_err(|error| failed(error.to_string())),
            Err(_) => Err(failed("their file is closed".to_owned())),
        }
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            let _ = orders.send(order);
        }
    }
}

impl Drop for Receipts {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

fn open_or_renew(path: &Path) -> rusqlite::Result<Connection> {
    match open(path) {
        Ok(connection) => Ok(connection),
        Err(error) if Trouble::of_sqlite(&error) == Trouble::Broken => {
            set_aside(path, &error);
            open(path)
        }
        // For want of a descriptor, of memory or of room: nothing is wrong with the file.
        Err(error) => Err(error),
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::default() | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A power cut may cost the last ones, and nothing else.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    match connection.query_row("PRAGMA user_version", [], |row| row.get(0)).optional()? {
        Some(VERSION) => {}
        Some(0) | None => {
            connection.execute_batch(&format!(
                "BEGIN; {} PRAGMA user_version = {VERSION}; COMMIT;",
                table::TABLE
            ))?;
        }
        Some(_) => return Err(rusqlite::Error::InvalidQuery),
    }
    connection.query_row("SELECT seq FROM receipts LIMIT 1", [], |_| Ok(())).optional()?;
    Ok(connection)
}

/// Moves the file out of the way, with what SQLite keeps beside it.
fn set_aside(path: &Path, why: &rusqlite::Error) {
    let shown = path.display();
    match super::journal::set_aside(path) {
        Ok(aside) => tracing::warn!(
            "{shown} cannot be used ({why}); it is set aside as {}, and the receipts of earlier uploads with it",
            aside.display()
        ),
        Err(error) => tracing::warn!("{shown} cannot be used ({why}), nor set aside: {error}"),
    }
}

struct Keeper {
    path: PathBuf,
    connection: Connection,
    limit: u32,
    check_every: u32,
    written: u32,
}

impl Keeper {
    /// Until the last sender is gone: everything that waits becomes one transaction.
    fn serve(&mut self, inbox: &Receiver<Order>) {
        while let Ok(first) = inbox.recv() {
            let orders: Vec<Order> = std::iter::once(first).chain(inbox.try_iter()).collect();
            if let Err(error) = self.write(&orders) {
                tracing::warn!(
                    "receipts of files that are on Files.com cannot be written: {error}; manifests will \
                     lack these files"
                );
                self.renew_after(&error);
            }
            for order in orders {
                if let Order::Ask(folder, name, answer) = order {
                    let _ = answer.send(self.read(&folder, name.as_deref()));
                }
            }
        }
    }

    fn write(&mut self, orders: &[Order]) -> rusqlite::Result<()> {
        if orders.iter().all(|order| matches!(order, Order::Ask(..))) {
            return Ok(());
        }
        let transaction = self.connection.transaction()?;
        for order in orders {
            match order {
                Order::Given(receipt) => table::give(&transaction, receipt)?,
                Order::Moved(from, to) => table::rename(&transaction, from, to)?,
                Order::Forgotten(path) => table::forget(&transaction, path)?,
                Order::AllForgotten => table::empty(&transaction)?,
                Order::Ask(..) => {}
            }
        }
        self.written += orders.len() as u32;
        if self.written >= self.check_every {
            self.written = 0;
            table::trim(&transaction, self.limit)?;
        }
        transaction.commit()
    }

    fn read(&mut self, folder: &RemotePath, name: Option<&str>) -> rusqlite::Result<Vec<Receipt>> {
        let receipts = table::read(&self.connection, folder, name);
        if let Err(error) = &receipts {
            self.renew_after(error);
        }
        receipts
    }

    /// After an error that only a new file ends.
    fn renew_after(&mut self, error: &rusqlite::Error) {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        let misread = matches!(error, rusqlite::Error::FromSqlConversionFailure(..));
        if !misread && !matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase)) {
            return;
        }
        set_aside(&self.path, error);
        match open(&self.path) {
            Ok(connection) => self.connection = connection,
            Err(error) => tracing::warn!("no new file of receipts can be begun: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::digest::Md5;
    use crate::model::moment::Moment;
    use crate::model::proof::Basis;

    fn at(path: &str) -> RemotePath {
        RemotePath::parse(path).unwrap()
    }

    fn made(path: &str, bytes: &[u8]) -> Receipt {
        Receipt {
            path: at(path),
            size: bytes.len() as u64,
            md5: Md5::of(bytes),
            there: Some(Md5::of(bytes)),
            basis: Basis::PartMd5,
            created: Some(Moment { seconds: 10, nanos: 5 }),
            changed: None,
            uploaded: Moment { seconds: -1, nanos: 7 },
        }
    }

    async fn names(receipts: &Receipts, folder: &str) -> Vec<String> {
        let found = receipts.in_folder(&at(folder)).await.unwrap();
        let mut names: Vec<String> = found.iter().map(|receipt| receipt.path.name().to_owned()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn the_newest_receipt_of_a_path_survives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("receipts.sqlite");
        let receipts = Receipts::open(&path).unwrap();
        receipts.give(made("a/f", b"old"));
        receipts.give(made("a/f", b"new"));
        receipts.give(Receipt { there: None, basis: Basis::Size, ..made("top", b"x") });
        drop(receipts);
        let receipts = Receipts::open(&path).unwrap();
        assert_eq!(receipts.in_folder(&at("a")).await.unwrap(), [made("a/f", b"new")]);
        assert_eq!(receipts.at(&at("top")).await.unwrap().unwrap().basis, Basis::Size);
        receipts.forget(at("a/f"));
        assert_eq!(receipts.at(&at("a/f")).await.unwrap(), None);
        receipts.forget_all();
        assert_eq!(receipts.at(&at("top")).await.unwrap(), None);
    }

    #[tokio::test]
    async fn receipts_follow_their_files_and_folders() {
        let dir = tempfile::tempdir().unwrap();
        let receipts = Receipts::open(&dir.path().join("receipts.sqlite")).unwrap();
        for path in ["d/f", "d/sub/g", "d-e/h", "d0/i", "t"] {
            receipts.give(made(path, path.as_bytes()));
        }
        receipts.moved(at("d"), at("x/é"));
        assert_eq!(receipts.in_folder(&at("x/é")).await.unwrap()[0].md5, Md5::of(b"d/f"));
        assert_eq!(names(&receipts, "x/é/sub").await, ["g"]);
        assert_eq!(
            (names(&receipts, "d-e").await, names(&receipts, "d0").await.len()),
            (vec!["h".into()], 1)
        );
        assert!(names(&receipts, "d").await.is_empty());
        receipts.moved(at("x/é/f"), at("t"));
        assert_eq!(receipts.at(&at("t")).await.unwrap().unwrap().md5, Md5::of(b"d/f"));
        receipts.moved(at("never proven"), at("t"));
        assert_eq!(receipts.at(&at("t")).await.unwrap(), None, "what was there is gone");
    }

    #[tokio::test]
    async fn beyond_the_limit_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let receipts = Receipts::open_with(&dir.path().join("receipts.sqlite"), 3, 1).unwrap();
        for name in ["a", "b", "c", "a", "d"] {
            receipts.give(made(&format!("f/{name}"), b""));
            names(&receipts, "f").await;
        }
        assert_eq!(names(&receipts, "f").await, ["a", "c", "d"]);
    }

    #[tokio::test]
    async fn a_damaged_file_is_set_aside_and_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("receipts.sqlite");
        std::fs::write(&path, b"this is no database, and longer than its header would be".repeat(40))
            .unwrap();
        let receipts = Receipts::open(&path).unwrap();
        receipts.give(made("f", b"x"));
        assert_eq!(receipts.at(&at("f")).await.unwrap(), Some(made("f", b"x")));
        assert!(dir.path().join("receipts.sqlite.damaged.1").exists());
        drop(receipts);
        Connection::open(&path).unwrap().execute("UPDATE receipts SET md5 = 'zz'", []).unwrap();
        let receipts = Receipts::open(&path).unwrap();
        assert!(receipts.at(&at("f")).await.is_err());
        assert_eq!(receipts.at(&at("f")).await.unwrap(), None);
        assert!(dir.path().join("receipts.sqlite.damaged.2").exists());
    }
}
