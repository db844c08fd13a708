//! The one thread that writes: everything that waits becomes one transaction.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction};
use tokio::sync::oneshot;

use super::fact::Fact;
use super::latch::Latch;
use super::{entries, open, owed, place, steps, uploads};
use crate::local::failpoint;
use crate::local::reserve::Reserve;
use crate::local::trouble::Trouble;
use crate::model::failure::Failure;

/// What the thread is told.
pub(super) struct Order {
    /// Become true together, or not at all. None at all only asks to be told when what came before is
    /// written.
    pub facts: Vec<Fact>,
    pub answer: Option<Answer>,
    pub then: Option<Then>,
}

pub(super) type Answer = oneshot::Sender<Result<(), Failure>>;

/// What may be done once a fact is on the disk. Never done when it could not be written.
pub(super) struct Then(pub Box<dyn FnOnce() + Send>);

/// How long facts wait for company that nobody waits for: each transaction costs a sync of the disk.
const LINGER: Duration = Duration::from_millis(20);

/// After so many facts the log is brought into the tables.
const TIDY_AFTER: usize = 500;

/// Until the last sender is gone.
pub(super) fn write(
    mut connection: Connection,
    inbox: &Receiver<Order>,
    reserve: &Reserve,
    latch: &Latch,
    written: &AtomicU64,
) {
    // What a full disk did not take goes first into the next transaction: facts are in order.
    let (mut facts, mut then, mut orders, mut in_log) = (Vec::new(), Vec::new(), 0, 0);
    while let Ok(first) = inbox.recv() {
        let mut answers = Vec::new();
        let mut take = |order: Order| {
            orders += u64::from(!order.facts.is_empty());
            facts.extend(order.facts);
            then.extend(order.then);
            answers.extend(order.answer);
            !answers.is_empty()
        };
        let deadline = Instant::now() + LINGER;
        let mut is_urgent = take(first);
        while !is_urgent
            && let Ok(order) = inbox.recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            is_urgent = take(order);
        }
        inbox.try_iter().for_each(|order| {
            take(order);
        });
        let outcome = match latch.failure() {
            Some(failure) => Err(failure.clone()),
            None => commit(&mut connection, &facts, reserve).map_err(|error| told(&error, latch)),
        };
        if outcome.is_ok() {
            then.drain(..).for_each(|Then(then)| then());
            in_log += facts.len();
            facts.clear();
            written.fetch_add(std::mem::take(&mut orders), Ordering::SeqCst);
        } else if latch.failure().is_some() {
            (facts, then) = (Vec::new(), Vec::new());
        }
        for answer in answers {
            let _ = answer.send(outcome.clone());
        }
        if in_log >= TIDY_AFTER {
            in_log = 0;
            tidy(&connection, latch);
        }
    }
    if latch.failure().is_none() && !facts.is_empty() && commit(&mut connection, &facts, reserve).is_ok() {
        then.into_iter().for_each(|Then(then)| then());
    }
}

/// What whoever waits is told. Once the disk failed, nothing is believed any more.
fn told(error: &rusqlite::Error, latch: &Latch) -> Failure {
    match Trouble::of_sqlite(error) {
        Trouble::Full => {
            tracing::error!("the journal cannot be written: {error}; free some space on its disk");
            let why = "the disk of the journal is full; free some space and try again";
            Failure::new(libc::ENOSPC, why)
        }
        Trouble::Short => {
            tracing::error!("the journal cannot be written just now: {error}");
            let why = format!("the journal cannot be written just now ({error}); try again");
            Failure::new(libc::ENOMEM, why)
        }
        Trouble::Broken => latch.set(format!("the journal cannot be written: {error}")),
    }
}

/// With the room that was kept back, where there is no other. After a sync that failed it is not tried again: the disk
/// would answer for what it has dropped.
fn commit(connection: &mut Connection, facts: &[Fact], reserve: &Reserve) -> rusqlite::Result<()> {
    match apply(connection, facts) {
        Err(error) if Trouble::of_sqlite(&error) == Trouble::Full && reserve.give_up() => {
            tracing::warn!(
                "the disk is full; the journal takes the room that was kept back for it, and no data is accepted \
                 until there is more"
            );
            apply(connection, facts)
        }
        other => other,
    }
}

/// Brings what the log says into the tables, and syncs them. SQLite would do so by itself, and keep to itself that a
/// sync failed.
fn tidy(connection: &Connection, latch: &Latch) {
    if let Err(error) = open::checkpoint(connection, "PASSIVE")
        && Trouble::of_sqlite(&error) == Trouble::Broken
    {
        latch.set(format!("the journal cannot be tidied: {error}"));
    }
}

fn apply(connection: &mut Connection, facts: &[Fact]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    failpoint::broken("journal.before")
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    failpoint::reach("journal.before");
    for fact in facts {
        write_down(&transaction, fact)?;
    }
    failpoint::reach("journal.written");
    transaction.commit()?;
    failpoint::reach("journal.after");
    Ok(())
}

fn write_down(to: &Transaction<'_>, fact: &Fact) -> rusqlite::Result<()> {
    match fact {
        Fact::Owed(owed) => owed::insert(to, owed),
        Fact::Settled(id) => {
            uploads::remove(to, *id)?;
            owed::remove(to, *id)
        }
        Fact::Entry(entry) => entries::insert(to, entry),
        Fact::EntrySettled(path) => entries::remove(to, path),
        Fact::Planned(number, step) => steps::insert(to, *number, step),
        Fact::Taken(number) => steps::remove(to, *number),
        Fact::Mounted(place) => place::set(to, place),
        Fact::Begun(id, begun) => uploads::insert(to, *id, begun),
        Fact::Sent(id, number, evidence) => uploads::insert_part(to, *id, *number, evidence),
        Fact::Completing(id, path) => uploads::completing(to, *id, path),
        Fact::Abandoned(id) => uploads::remove(to, *id),
    }
}
