//! Large files travel while they are still being written: whoever follows a file that grows sends the parts
//! that its writer is past. Nothing is visible on Files.com before the close, which sends the rest, completes
//! and proves as ever.
//!
//! What left early counts for the bytes that were read, by their MD5. [`Growth`](crate::model::growth::Growth)
//! knows which parts were changed since; those are sent again, and then all bytes are read again, for the MD5 of
//! the whole. A failure here is nobody's: the close meets it again, and tells it.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

use super::Filesystem;
use super::core::Core;
use super::job::{Job, Trouble};
use super::resume::{Going, last_change};
use super::upload::{Flight, Flights, read_part};
use crate::model::digest::Hasher;
use crate::model::fair::Urgency;
use crate::model::growth::{Claim, News};
use crate::model::ino::{ContentId, Ino};
use crate::model::parts::Parts;
use crate::model::path::RemotePath;
use crate::model::proof::PartEvidence;
use crate::model::resume::Begun;
use crate::remote::{Upload, UploadRef, carry_urgency, with_urgency};

/// Those who follow files that grow.
#[derive(Debug, Default)]
pub(super) struct Streams {
    tasks: Mutex<HashMap<ContentId, JoinHandle<Option<Early>>>>,
    wanted: Mutex<Vec<(Ino, ContentId)>>,
    /// Somebody is wanted.
    news: Notify,
    /// A file has another part, or none any more.
    grown: Notify,
}

impl Streams {
    fn tasks(&self) -> MutexGuard<'_, HashMap<ContentId, JoinHandle<Option<Early>>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wanted(&self) -> MutexGuard<'_, Vec<(Ino, ContentId)>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A write made something possible.
    pub(super) fn tell(&self, ino: Ino, id: ContentId, news: News) {
        match news {
            News::Nothing => {}
            News::Part => self.grown.notify_waiters(),
            News::Stream => {
                self.wanted().push((ino, id));
                self.news.notify_one();
            }
        }
    }

    /// Whoever follows a file looks whether it is still wanted.
    pub(super) fn look_again(&self) {
        self.grown.notify_waiters();
    }
}

/// What left of a file before it was closed.
#[derive(Debug)]
struct Early {
    reference: UploadRef,
    /// The first parts of the file, all read.
    parts: u32,
    /// Has seen those parts.
    hasher: Hasher,
    evidence: BTreeMap<u32, PartEvidence>,
    flights: Flights,
    /// All of them are on their way, or there.
    whole: bool,
}

impl Early {
    /// Takes note of the parts that came to an end.
    fn note_landed(&mut self, mut core: MutexGuard<'_, Core>) {
        while let Some(done) = self.flights.try_join_next() {
            match done.map_err(|_| Trouble::Overtaken).flatten() {
                Ok(landed) => {
                    core.meter.note(Instant::now(), landed.bytes, 0);
                    self.evidence.insert(landed.number, landed.evidence);
                }
                Err(_) => self.whole = false,
            }
        }
    }
}

/// Where the sending of a file goes on that began before its close.
#[derive(Debug)]
pub(super) struct Head {
    /// The parts that need not be read again.
    pub parts: u32,
    pub hasher: Hasher,
    pub evidence: BTreeMap<u32, PartEvidence>,
    pub flights: Flights,
}

impl Filesystem {
    /// Follows files that grow, for as long as the mount lives.
    pub async fn follow_streams(self: Arc<Self>) {
        loop {
            self.streams.news.notified().await;
            let wanted = std::mem::take(&mut *self.streams.wanted());
            let mut tasks = self.streams.tasks();
            let mut core = self.core();
            tasks.retain(|id, _| core.growing.contains_key(id));
            for (ino, id) in wanted {
                if core.growing.get_mut(&id).is_some_and(|growth| growth.follow()) {
                    // Nobody waits for it yet.
                    let follow = with_urgency(Urgency::Background, self.clone().follow(ino, id));
                    tasks.insert(id, tokio::spawn(follow));
                }
            }
        }
    }

    /// Sends parts of a file until it is closed, or is no stream any more.
    async fn follow(self: Arc<Self>, ino: Ino, id: ContentId) -> Option<Early> {
        let file = self.store.file(id).ok()?;
        let begun = tokio::select! {
            begun = self.begin_early(ino, id) => begun,
            () = self.is_over(id) => return None,
        };
        let (path, upload) = match begun {
            Ok((path, upload)) if upload.parallel_parts => (path, upload),
            _ => {
                self.end_growth(id);
                return None;
            }
        };
        let mut slot = Some(upload.first);
        let mut early = Early {
            reference: upload.reference,
            parts: 0,
            hasher: Hasher::default(),
            evidence: BTreeMap::new(),
            flights: JoinSet::new(),
            whole: true,
        };
        while let Some((number, range)) = self.next_part(id).await {
            let memory = tokio::select! {
                memory = self.reserve(range.end - range.start) => memory,
                // The close finds room for it.
                () = self.is_over(id) => break,
            };
            let Ok(read) = read_part(file.clone(), range, early.hasher).await else {
                self.end_growth(id);
                return None;
            };
            (early.hasher, early.parts) = (read.hasher, number);
            let flight = Flight {
                client: self.remote.clone(),
                path: path.clone(),
                reference: early.reference.clone(),
                number,
                slot: slot.take(),
                bytes: read.bytes,
                known: None,
                _memory: memory,
            };
            early.flights.spawn(carry_urgency(flight.deliver()));
            early.note_landed(self.core());
            if !early.whole {
                self.end_growth(id);
            }
        }
        Some(early)
    }

    /// Opens an upload of a file whose size nobody knows yet.
    async fn begin_early(&self, ino: Ino, id: ContentId) -> Result<(RemotePath, Upload), Trouble> {
        let path = self.path(ino)?;
        self.until_clear(&[&path]).await?;
        let begin = self.may_begin(ino, &path, || self.may_travel_early(ino, id)).await?;
        let upload = self.remote.begin_upload(&path, None).await?;
        drop(begin);
        Ok((path, upload))
    }

    /// Its folder is on Files.com, as far as that is known without asking.
    fn may_travel_early(&self, ino: Ino, id: ContentId) -> bool {
        let core = self.core();
        let Ok(node) = core.tree.node(ino) else { return false };
        let Some(folder) = node.parent else { return false };
        let is_seen = core.tree.folder(folder).is_ok_and(|folder| !folder.unseen);
        let is_here = node.file().is_some_and(|file| file.local.id() == Some(id));
        is_here && is_seen && core.tree.is_rooted(ino)
    }

    /// The next part whose bytes are there; `None` when no further one leaves before the close.
    async fn next_part(&self, id: ContentId) -> Option<(u32, std::ops::Range<u64>)> {
        loop {
            let grown = self.streams.grown.notified();
            tokio::pin!(grown);
            grown.as_mut().enable();
            let claim = self.core().growing.get_mut(&id).map(|growth| growth.claim());
            match claim {
                Some(Claim::Part(number, range)) => return Some((number, range)),
                Some(Claim::Wait) => grown.await,
                Some(Claim::Over) | None => return None,
            }
        }
    }

    /// Comes back when nobody wants parts of it any more.
    async fn is_over(&self, id: ContentId) {
        loop {
            let grown = self.streams.grown.notified();
            tokio::pin!(grown);
            grown.as_mut().enable();
            if self.core().growing.get(&id).is_none_or(|growth| growth.has_ended()) {
                return;
            }
            grown.await;
        }
    }

    fn end_growth(&self, id: ContentId) {
        if let Some(growth) = self.core().growing.get_mut(&id) {
            growth.end();
        }
    }

    /// Nothing of these bytes is wanted any more.
    pub(super) fn forget_stream(&self, id: ContentId) {
        if self.core().growing.remove(&id).is_some() {
            self.streams.look_again();
        }
    }

    /// What left of `job` before its close, to be gone on with.
    pub(super) async fn take_over(&self, job: &Job, file: &File) -> Result<Option<Going>, Trouble> {
        self.end_growth(job.id);
        self.streams.look_again();
        let task = self.streams.tasks().remove(&job.id);
        let early = match task {
            Some(task) => task.await.ok().flatten(),
            None => None,
        };
        // Bytes that change from now on are of another revision than the job's.
        let growth = self.core().growing.remove(&job.id);
        let (Some(mut early), Some(growth)) = (early, growth) else { return Ok(None) };
        early.note_landed(self.core());
        let parts = Parts::of(job.size);
        if early.parts == 0 || parts.count() < 2 {
            return Ok(None);
        }
        let is_whole = early.whole && growth.touched().is_empty();
        if !is_whole {
            // A part that is still on its way must not arrive after the one that takes its place.
            while let Some(done) = early.flights.join_next().await {
                if let Ok(Ok(landed)) = done {
                    early.evidence.insert(landed.number, landed.evidence);
                }
            }
            early.evidence.retain(|number, _| !growth.touched().contains(number) && *number <= parts.count());
        }
        let begun = Begun {
            reference: early.reference.to_string(),
            size: job.size,
            part_size: parts.part_size(),
            parallel: true,
            written: last_change(file)?,
            parts: early.evidence.clone(),
            completing: None,
        };
        self.note_begun(job.id, &begun);
        let bytes = |number: &u32| parts.range(*number).end - parts.range(*number).start;
        if is_whole {
            self.arrived(job, begun.parts.keys().map(bytes).sum());
        }
        tracing::debug!("{}: {} of {} parts left before the close", job.path, early.parts, parts.count());
        let going = Going {
            reference: early.reference,
            parts,
            parallel: true,
            first: None,
            before: (!is_whole).then_some(begun),
            head: is_whole.then_some(Head {
                parts: early.parts,
                hasher: early.hasher,
                evidence: early.evidence,
                flights: early.flights,
            }),
        };
        Ok(Some(going))
    }
}
