//! Taking turns: one journey at a time for each file.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as Gate, OwnedMutexGuard};

use crate::model::ino::Ino;

/// A queue for every file that somebody wants to be alone with.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    gates: Mutex<HashMap<Ino, Arc<Gate<()>>>>,
}

/// Held while it is somebody's turn.
pub(crate) type Turn = OwnedMutexGuard<()>;

impl Turns {
    /// Waits until nobody else is at `ino`.
    pub async fn take(&self, ino: Ino) -> Turn {
        let gate = {
            let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
            // Gates that nobody holds or waits for are only known to the map.
            if gates.len() > 1024 {
                gates.retain(|_, gate| Arc::strong_count(gate) > 1);
            }
            gates.entry(ino).or_default().clone()
        };
        gate.lock_owned().await
    }

    /// The same for several, always in the same order, so that two journeys never wait for each other.
    pub async fn take_all(&self, inos: impl IntoIterator<Item = Ino>) -> Vec<Turn> {
        let mut inos: Vec<Ino> = inos.into_iter().collect();
        inos.sort_unstable();
        inos.dedup();
        let mut turns = Vec::with_capacity(inos.len());
        for ino in inos {
            turns.push(self.take(ino).await);
        }
        turns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_same_file_waits_and_another_does_not() {
        let turns = Turns::default();
        let first = turns.take(Ino(1)).await;
        let _other = turns.take(Ino(2)).await;
        let second = turns.take(Ino(1));
        tokio::pin!(second);
        assert!(futures_util::poll!(second.as_mut()).is_pending());
        drop(first);
        second.await;
        turns.take_all([Ino(3), Ino(1), Ino(3)]).await;
    }
}
