//! Taking turns: one journey at a time for each file.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as Queue, OwnedMutexGuard};

use crate::model::ino::Ino;
use crate::remote::{Deadline, Late};

/// A queue for every file that somebody wants to be alone with.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    gates: Mutex<HashMap<Ino, Arc<Gate>>>,
}

#[derive(Debug, Default)]
struct Gate {
    queue: Arc<Queue<()>>,
    /// Of whoever is at it, or was last: those who wait count the time from its last progress.
    holder: Mutex<Option<Deadline>>,
}

impl Gate {
    fn set_holder(&self, holder: Option<Deadline>) {
        *self.holder.lock().unwrap_or_else(PoisonError::into_inner) = holder;
    }

    fn moved(&self) -> Option<tokio::time::Instant> {
        self.holder.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Deadline::moved)
    }
}

/// Held while it is somebody's turn.
#[derive(Debug)]
#[expect(dead_code, reason = "held, not read")]
pub(crate) struct Turn {
    guard: OwnedMutexGuard<()>,
    /// As long as somebody holds it, the map keeps it.
    gate: Arc<Gate>,
}

impl Turns {
    /// Waits until nobody else is at `ino`. Dropped while it waits, it gives its place in the queue up, and that is all.
    ///
    /// # Errors
    /// The call's deadline, while whoever is at it makes no progress.
    pub async fn take(&self, ino: Ino) -> Result<Turn, Late> {
        let gate = {
            let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
            // Gates that nobody holds or waits for are only known to the map.
            if gates.len() > 1024 {
                gates.retain(|_, gate| Arc::strong_count(gate) > 1);
            }
            gates.entry(ino).or_default().clone()
        };
        let guard = Deadline::wait(gate.queue.clone().lock_owned(), || gate.moved()).await?;
        gate.set_holder(Deadline::current());
        Ok(Turn { guard, gate })
    }

    /// The same for several, always in the same order, so that two journeys never wait for each other.
    ///
    /// # Errors
    /// As for [`Self::take`]; then it is nobody's turn.
    pub async fn take_all(&self, inos: impl IntoIterator<Item = Ino>) -> Result<Vec<Turn>, Late> {
        let mut inos: Vec<Ino> = inos.into_iter().collect();
        inos.sort_unstable();
        inos.dedup();
        let mut turns = Vec::with_capacity(inos.len());
        for ino in inos {
            turns.push(self.take(ino).await?);
        }
        Ok(turns)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn the_same_file_waits_and_another_does_not() {
        let turns = Turns::default();
        let first = turns.take(Ino(1)).await.unwrap();
        let _other = turns.take(Ino(2)).await.unwrap();
        let second = turns.take(Ino(1));
        tokio::pin!(second);
        assert!(futures_util::poll!(second.as_mut()).is_pending());
        drop(first);
        drop(second.await.unwrap());
        turns.take_all([Ino(3), Ino(1), Ino(3)]).await.unwrap();
    }

    #[tokio::test]
    async fn a_call_gives_up_its_place_with_its_deadline_and_is_in_nobodys_way() {
        let turns = Turns::default();
        let first = turns.take(Ino(1)).await.unwrap();
        let limit = Duration::from_millis(20);
        assert!(Deadline::of_call(limit).scope(turns.take_all([Ino(1), Ino(2)])).await.is_err());
        drop(first);
        turns.take_all([Ino(1), Ino(2)]).await.unwrap();
    }
}
