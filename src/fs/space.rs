//! The limit of the local disk: clean bytes are let go first, owed ones never, and writers wait until
//! uploads make room.
//!
//! A writer waits only for what others have closed and Files.com does not have yet. Bytes that are still
//! being written cannot be sent: waiting for those would be waiting for oneself, or for somebody who
//! waits. So when nothing that could be sent is left, files that are being written go beyond the limit.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::core::{Core, Errand};
use super::write::still_there;
use super::{Filesystem, on_disk};
use crate::local::store::Promise;
use crate::model::content::State;
use crate::model::failure::Failure;
use crate::model::ino::Ino;
use crate::model::node::Local;
use crate::model::room::Answer;

/// Cached bytes that are let go at a time: the next writes find room at once. Also how far a file may go
/// beyond the limit before it is looked again whether there is something to wait for.
const STEP: u64 = 64 << 20;
/// The longest time until a writer looks again.
const LOOK: Duration = Duration::from_secs(1);

/// How long the log does not repeat that writers wait, or that the disk is full.
const SILENCE: Duration = Duration::from_secs(600);

/// When something was last said that is said once in a while: with a large backup, it is true all the time.
#[derive(Debug, Default)]
struct Said(Mutex<Option<Instant>>);

impl Said {
    fn is_news(&self) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = said.is_none_or(|said| said.elapsed() >= SILENCE);
        if is_news {
            *said = Some(Instant::now());
        }
        is_news
    }
}

/// What those who wait for room go by.
#[derive(Debug, Default)]
pub(super) struct Space {
    changed: Notify,
    /// Parts that were accepted and files that were settled.
    progress: AtomicU64,
    /// Calls that are about to send something, or to plan it.
    answering: AtomicUsize,
    waiting: AtomicUsize,
    /// The log says that writers wait.
    waits: Said,
    /// The log says that the local disk is full.
    full: Said,
    ended: AtomicBool,
}

impl Space {
    /// A part was accepted, or a file settled.
    pub fn progressed(&self) {
        self.progress.fetch_add(1, Ordering::Relaxed);
        self.changed();
    }

    /// Bytes went, or will not go.
    pub fn changed(&self) {
        self.changed.notify_waiters();
    }

    /// Counts a call that sends something or plans it, for as long as it takes.
    pub fn answering(&self) -> Count<'_> {
        Count::of(&self.answering)
    }
}

/// Counts as long as it lives.
pub(super) struct Count<'a>(&'a AtomicUsize);

impl<'a> Count<'a> {
    fn of(number: &'a AtomicUsize) -> Self {
        number.fetch_add(1, Ordering::Relaxed);
        Self(number)
    }
}

impl Drop for Count<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Filesystem {
    /// The mount ends: nobody waits for room any more.
    pub fn end_waits(&self) {
        self.space.ended.store(true, Ordering::Relaxed);
        self.space.changed();
    }

    /// Writers that wait for room.
    pub(super) fn writers_waiting(&self) -> usize {
        self.space.waiting.load(Ordering::Relaxed)
    }

    /// Bytes that `ino` takes on the disk once all of it is here: gaps take none, as far as they are known.
    pub(super) fn taken_here(&self, core: &Core, ino: Ino) -> Result<u64, Failure> {
        let file = core.tree.file(ino)?;
        Ok(match &file.local {
            Local::Spooled(id) => self.store.taken(*id),
            Local::Cached(_, here) if here.is_whole() => core.cached.of(ino).min(file.size),
            _ => file.size,
        })
    }

    /// Waits until the spool may take `bytes` more of `ino`. ENOSPC when nothing has moved for the
    /// network timeout.
    pub(super) async fn room_for(&self, ino: Ino, bytes: u64) -> Result<Promise<'_>, Failure> {
        self.evict(bytes, false).await;
        if let Some(promise) = self.room_now(ino, bytes)? {
            return Ok(promise);
        }
        let counted = Count::of(&self.space.waiting);
        if self.space.waits.is_news() {
            tracing::warn!(
                "writers wait: {} bytes that Files.com does not have yet fill the cache size of {} bytes",
                self.store.spooled(),
                self.rules.cache_size
            );
        }
        let outcome = self.wait_for_room(ino, bytes).await;
        drop(counted);
        if let Err(failure) = &outcome
            && let Some(path) = self.core().tree.path(ino)
        {
            tracing::error!("{path} cannot be written: {failure}");
        }
        outcome
    }

    /// A writer was told that the disk has no room: whoever looks for the reason finds which one.
    pub(super) fn tell_full(&self, ino: Ino, failure: &Failure) {
        let path = self.core().tree.path(ino);
        if let Some(path) = path.filter(|_| self.space.full.is_news()) {
            tracing::error!(
                "{path} cannot be written: {failure} (the local disk that holds the state folder); free some space there"
            );
        }
    }

    /// Dropped, it has promised nothing; what was let go meanwhile can be fetched again.
    async fn wait_for_room(&self, ino: Ino, bytes: u64) -> Result<Promise<'_>, Failure> {
        let patience = self.rules.network_timeout;
        let mut seen = self.space.progress.load(Ordering::Relaxed);
        let (mut since, mut hurried) = (Instant::now(), Instant::now());
        loop {
            let changed = self.space.changed.notified();
            tokio::pin!(changed);
            // Asked for before the look, so that no change is missed.
            changed.as_mut().enable();
            self.evict(bytes, false).await;
            if let Some(promise) = self.room_now(ino, bytes)? {
                return Ok(promise);
            }
            let now = Instant::now();
            let progress = self.space.progress.load(Ordering::Relaxed);
            if progress != seen {
                (seen, since, hurried) = (progress, now, now);
            }
            if now >= since + patience {
                return Err(self.no_room(format!("nothing of it was sent for {} s", patience.as_secs())));
            }
            if now >= hurried + patience / 4 {
                hurried = now;
                self.hurry_owed(ino);
            }
            let look = LOOK.min(since + patience - now);
            let _ = tokio::time::timeout(look, changed).await;
        }
    }

    fn no_room(&self, why: String) -> Failure {
        Failure::new(
            libc::ENOSPC,
            format!(
                "{} bytes that Files.com does not have yet fill the cache size of {} bytes, and {why}; see \
                 `filescomfs status`, or raise --cache-size",
                self.store.spooled(),
                self.rules.cache_size
            ),
        )
    }

    /// Room, if the writer need not wait for it, or could only wait in vain.
    fn room_now(&self, ino: Ino, bytes: u64) -> Result<Option<Promise<'_>>, Failure> {
        let core = self.core();
        let node = core.tree.node(ino)?;
        let file = core.tree.file(ino)?;
        still_there(file)?;
        let id = file.local.id();
        let is_unlinked = node.parent.is_none();
        match self.store.ask(id, bytes, core.cached.used()) {
            Ok(promise) => return Ok(Some(promise)),
            // What is cached is open, or has just been let go: then it stays beside what is owed.
            Err(Answer::Evict) => return Ok(Some(self.store.exceed(bytes))),
            Err(_) => {}
        }
        // Nothing of it will ever be sent, and its bytes go with its last descriptor.
        let goes_beyond =
            is_unlinked || (!self.is_something_sent(&core, ino) && self.held(&core) < self.rules.cache_size);
        if goes_beyond {
            if let Some(id) = id
                && self.store.allow(id, bytes.saturating_add(self.step()))
                && let Some(path) = core.tree.path(ino)
            {
                tracing::warn!(
                    "{path} takes the local disk beyond the cache size of {} bytes: nothing else is left to be sent \
                     before it is closed",
                    self.rules.cache_size
                );
            }
            return Ok(Some(self.store.exceed(bytes)));
        }
        if self.space.ended.load(Ordering::Relaxed) {
            return Err(self.no_room("the mount is being ended".to_owned()));
        }
        Ok(None)
    }

    /// Is there anything, `ino` aside, that is being sent or will be without further calls?
    fn is_something_sent(&self, core: &Core, ino: Ino) -> bool {
        let other = |errand: &Errand| match errand {
            Errand::Publish(other) => *other != ino && core.is_sendable(*other),
            _ => false,
        };
        let stuck = core.stuck();
        self.space.answering.load(Ordering::Relaxed) > 0
            || core.uploading.keys().any(|other| *other != ino)
            || core.queue.keys().any(other)
            || core.waiting.iter().any(|(errand, step)| !stuck.contains(&step) && other(&errand))
            || core.leftovers.have_hope()
    }

    /// Bytes that wait for a person: Files.com refused them, or a change of names before them.
    fn held(&self, core: &Core) -> u64 {
        let stuck = core.stuck();
        let waits =
            |ino: Ino| core.waiting.step(Errand::Publish(ino)).is_some_and(|step| stuck.contains(&step));
        let held =
            core.owed().filter(|(ino, file)| matches!(file.content.state(), State::Held(_)) || waits(*ino));
        held.filter_map(|(_, file)| file.local.id()).map(|id| self.store.taken(id)).sum()
    }

    /// Somebody waits for room: attempts that were put off after a failure are made now, and where there is
    /// nothing else to send, temporary names do not wait for their rename.
    fn hurry_owed(&self, ino: Ino) {
        let mut core = self.core();
        let owed: Vec<Ino> = core
            .queue
            .keys()
            .filter_map(|errand| match errand {
                Errand::Publish(other) if *other != ino && core.is_sendable(*other) => Some(*other),
                _ => None,
            })
            .collect();
        let is_temporary = |core: &Core, ino: Ino| core.tree.file(ino).is_ok_and(|file| file.temporary);
        let only_temporary = owed.iter().all(|ino| is_temporary(&core, *ino)) && core.uploading.is_empty();
        let now = std::time::Instant::now();
        for other in owed {
            if only_temporary || !is_temporary(&core, other) {
                core.queue.hurry(Errand::Publish(other), now);
            }
        }
        drop(core);
        self.errands.notify_one();
    }

    /// How many cached bytes are let go at a time.
    fn step(&self) -> u64 {
        STEP.min(self.rules.cache_size / 8)
    }

    /// Lets cached bytes go, those that were used longest ago first, until spool and cache are within
    /// their limit.
    pub(super) fn make_room(&self) {
        while let Some(id) = {
            let mut core = self.core();
            if self.store.excess(core.cached.used()) == 0 { None } else { core.evict() }
        } {
            self.store.remove(id);
        }
    }

    /// The disk itself is full: lets cached bytes go. False when there are none.
    pub(super) async fn evict_for_disk(&self, bytes: u64) -> bool {
        self.evict(bytes, true).await
    }

    /// Lets cached bytes go until there is room for `bytes` and some more, or where the disk is full
    /// as many as that in any case.
    async fn evict(&self, bytes: u64, disk_is_full: bool) -> bool {
        let victims = {
            let mut core = self.core();
            let before = core.cached.used();
            let wanted = bytes.saturating_add(self.step());
            let mut victims = Vec::new();
            let is_enough = |core: &Core| match disk_is_full {
                true => before - core.cached.used() >= wanted,
                false => self.store.excess(core.cached.used().saturating_add(wanted)) == 0,
            };
            if disk_is_full || self.store.excess(before.saturating_add(bytes)) > 0 {
                while !is_enough(&core) {
                    let Some(victim) = core.evict() else { break };
                    victims.push(victim);
                }
            }
            victims
        };
        if victims.is_empty() {
            return false;
        }
        let store = self.store.clone();
        let removed = on_disk(move || {
            victims.into_iter().for_each(|id| store.remove(id));
            Ok(())
        });
        removed.await.is_ok()
    }
}
