//! The shape of the tree: which paths requests rely on, and which folders are being moved or removed.
//!
//! Whoever names a path to Files.com relies on all folders above it; whoever moves or removes a folder changes the
//! paths of all that is below. Those two wait for each other, and nobody else: a folder that moves for an hour is no
//! matter of the folder beside it. Who came first goes first, so that nobody waits for ever.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Filesystem;
use super::core::Core;
use crate::model::ino::Ino;
use crate::remote::{Deadline, Late};

/// All who rely on a part of the shape or change one, or wait to.
#[derive(Debug, Default)]
pub(super) struct Shape {
    holds: Mutex<Holds>,
    left: Notify,
}

#[derive(Debug, Default)]
struct Holds {
    next: u64,
    /// In the order in which they came.
    list: Vec<Hold>,
}

#[derive(Debug)]
struct Hold {
    number: u64,
    parts: Parts,
    /// Of whoever holds it: those who wait count the time from its last progress.
    holder: Option<Deadline>,
}

/// What a journey relies on, and changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Parts {
    /// Files and folders that are concerned, and all folders above.
    relies_on: BTreeSet<Ino>,
    /// Folders that move or go: some of those.
    changes: BTreeSet<Ino>,
}

impl Parts {
    fn of(core: &Core, concerned: &[Ino], changes: &[Ino]) -> Self {
        let mut relies_on = BTreeSet::new();
        for ino in concerned.iter().chain(changes) {
            let mut at = Some(*ino);
            // Above what is known already, all is known.
            while let Some(ino) = at.filter(|ino| relies_on.insert(*ino)) {
                at = core.tree.node(ino).ok().and_then(|node| node.parent);
            }
        }
        Self { relies_on, changes: changes.iter().copied().collect() }
    }

    fn are_in_the_way_of(&self, other: &Self) -> bool {
        !self.changes.is_disjoint(&other.relies_on) || !other.changes.is_disjoint(&self.relies_on)
    }
}

impl Shape {
    fn holds(&self) -> MutexGuard<'_, Holds> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When one of those who move or remove folders made progress last.
    pub fn changed_last(&self) -> Option<tokio::time::Instant> {
        let holds = self.holds();
        let changing = holds.list.iter().filter(|hold| !hold.parts.changes.is_empty());
        changing.filter_map(|hold| Some(hold.holder.as_ref()?.moved())).max()
    }

    /// Takes a place behind all who came before. It counts at once for those who come later.
    fn enter(&self, parts: Parts) -> Held<'_> {
        let mut holds = self.holds();
        holds.next += 1;
        let number = holds.next;
        holds.list.push(Hold { number, parts, holder: Deadline::current() });
        Held { shape: self, number }
    }
}

/// A part of the shape that stays as it is, or that is ours to change, for as long as this lives.
#[derive(Debug)]
pub(super) struct Held<'a> {
    shape: &'a Shape,
    number: u64,
}

impl Held<'_> {
    /// Is nobody in the way who came before? When they moved last, if somebody is.
    fn look(&self) -> Result<(), Option<tokio::time::Instant>> {
        let holds = self.shape.holds();
        let Some(own) = holds.list.iter().position(|hold| hold.number == self.number) else { return Ok(()) };
        let (before, own) = (&holds.list[..own], &holds.list[own]);
        let mut in_the_way = before.iter().filter(|hold| hold.parts.are_in_the_way_of(&own.parts)).peekable();
        match in_the_way.peek() {
            None => Ok(()),
            Some(_) => Err(in_the_way.filter_map(|hold| Some(hold.holder.as_ref()?.moved())).max()),
        }
    }

    async fn granted(&self) -> Result<(), Late> {
        // When those who are in the way moved last, as of the last look.
        let moved = Mutex::new(None);
        let is_free = || match self.look() {
            Ok(()) => true,
            Err(last) => {
                *moved.lock().unwrap_or_else(PoisonError::into_inner) = last;
                false
            }
        };
        let all_left = async {
            loop {
                let left = self.shape.left.notified();
                tokio::pin!(left);
                // Asked for before the look, so that nobody's leaving is missed.
                left.as_mut().enable();
                if is_free() {
                    return;
                }
                left.await;
            }
        };
        let last = || {
            is_free();
            *moved.lock().unwrap_or_else(PoisonError::into_inner)
        };
        Deadline::wait(all_left, last).await
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.shape.holds().list.retain(|hold| hold.number != self.number);
        self.shape.left.notify_waiters();
    }
}

impl Filesystem {
    /// The paths of these stay as they are. Dropped while it waits, it is in nobody's way any more.
    ///
    /// # Errors
    /// The call's deadline, while a folder above moves or goes and makes no progress.
    pub(super) async fn paths_stay(&self, concerned: &[Ino]) -> Result<Held<'_>, Late> {
        self.hold(concerned, &[]).await
    }

    /// The paths of these stay as they are, but those at and below `changes` are used by nobody else.
    ///
    /// # Errors
    /// As for [`Self::paths_stay`].
    pub(super) async fn paths_change(&self, concerned: &[Ino], changes: &[Ino]) -> Result<Held<'_>, Late> {
        self.hold(concerned, changes).await
    }

    async fn hold(&self, concerned: &[Ino], changes: &[Ino]) -> Result<Held<'_>, Late> {
        loop {
            let (parts, held) = {
                let core = self.core();
                let parts = Parts::of(&core, concerned, changes);
                (parts.clone(), self.shape.enter(parts))
            };
            held.granted().await?;
            // Somebody who was waited for may have moved it elsewhere.
            if Parts::of(&self.core(), concerned, changes) == parts {
                return Ok(held);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;

    fn parts(relies_on: &[u64], changes: &[u64]) -> Parts {
        let set = |inos: &[u64]| inos.iter().copied().map(Ino).collect();
        Parts { relies_on: set(relies_on), changes: set(changes) }
    }

    #[tokio::test]
    async fn a_folder_that_moves_is_in_the_way_of_what_is_below_and_of_nothing_beside() {
        let shape = Shape::default();
        // The root is 1, and has the folders 2 and 3.
        let moves = shape.enter(parts(&[1, 2, 3], &[2]));
        moves.granted().now_or_never().unwrap().unwrap();
        let below = shape.enter(parts(&[1, 2, 20], &[]));
        assert!(below.granted().now_or_never().is_none());
        let beside = shape.enter(parts(&[1, 3, 30], &[]));
        assert!(beside.granted().now_or_never().is_some());
        let another = shape.enter(parts(&[1, 4], &[4]));
        assert!(another.granted().now_or_never().is_some());
        let target = shape.enter(parts(&[1, 3], &[3]));
        assert!(target.granted().now_or_never().is_none(), "something moves into it");
        drop(moves);
        assert!(below.granted().now_or_never().is_some());
        drop(beside);
        assert!(target.granted().now_or_never().is_some());
    }

    #[tokio::test]
    async fn whoever_came_first_goes_first_and_whoever_gives_up_is_in_nobodys_way() {
        let shape = Shape::default();
        let user = shape.enter(parts(&[1, 2], &[]));
        let mover = shape.enter(parts(&[1, 2], &[2]));
        let late = shape.enter(parts(&[1, 2], &[]));
        assert!(late.granted().now_or_never().is_none(), "a mover would wait for ever");
        let limit = Duration::from_millis(20);
        assert!(Deadline::of_call(limit).scope(mover.granted()).await.is_err());
        drop(mover);
        assert!(late.granted().now_or_never().is_some());
        drop(user);
    }
}
