//! Large files travel while they are still being written: whoever follows a file that grows sends the parts
//! that its writer is past. Nothing is visible on Files.com before the close, which sends the rest, completes
//! and proves as ever.
//!
//! What left early counts for the bytes that were read, by their MD5. [`Growth`](crate::model::growth::Growth)
//! knows which parts were changed since; those are sent again, and then all bytes are read again, for the MD5 of
//! the whole. A failure here is nobody's: the close meets it again, and tells it.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;
use tokio::task::{JoinError, JoinHandle, JoinSet};

use super::job::{Job, Trouble};
use super::resume::{Going, Start, last_change};
use super::upload::{Flight, Flights, Landed, read_part};
use super::{Close, Filesystem};
use crate::model::digest::Hasher;
use crate::model::fair::Urgency;
use crate::model::growth::{Growth, News};
use crate::model::ino::{ContentId, Ino};
use crate::model::parts::Parts;
use crate::model::path::RemotePath;
use crate::model::proof::PartEvidence;
use crate::model::resume::Begun;
use crate::remote::{Gauge, Upload, UploadRef, carry, with_urgency};

/// With `close=journaled`, how many times as long as it took to read and hash a part nothing is done until the next.
/// A third of a processor still fills a line of 1 Gbit/s.
const RESTS: u32 = 2;

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

/// The parts of a file that left before it was closed.
#[derive(Debug)]
pub(super) struct Head {
    /// How many, from the first one on; they need not be read again.
    pub parts: u32,
    /// Has seen them.
    pub hasher: Hasher,
    /// Those that are there,
    pub evidence: BTreeMap<u32, PartEvidence>,
    /// and those that are on their way.
    pub flights: Flights,
}

/// An upload that began before its file was closed.
#[derive(Debug)]
struct Early {
    reference: UploadRef,
    head: Head,
    /// Counts the bytes of the file as they leave.
    gauge: Gauge,
    /// A part did not arrive.
    broken: bool,
}

impl Early {
    fn new(reference: UploadRef) -> Self {
        let (hasher, evidence, flights) = (Hasher::default(), BTreeMap::new(), JoinSet::new());
        let head = Head { parts: 0, hasher, evidence, flights };
        Self { reference, head, gauge: Gauge::default(), broken: false }
    }

    /// Takes note of the parts that came to an end.
    fn note_landed(&mut self) {
        while let Some(done) = self.head.flights.try_join_next() {
            self.note(done);
        }
    }

    /// The same, and waits for all of them.
    async fn all_landed(&mut self) {
        while let Some(done) = self.head.flights.join_next().await {
            self.note(done);
        }
    }

    fn note(&mut self, done: Result<Result<Landed, Trouble>, JoinError>) {
        match done {
            Ok(Ok(landed)) => {
                self.head.evidence.insert(landed.number, landed.evidence);
            }
            Ok(Err(_)) | Err(_) => self.broken = true,
        }
    }
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

    /// Sends parts of a file until it is closed, or is no stream any more. Where it is given up, the parts that are
    /// under way are broken off with it; nothing that was promised rests on them.
    async fn follow(self: Arc<Self>, ino: Ino, id: ContentId) -> Option<Early> {
        let begun = tokio::select! {
            begun = self.begin_early(ino, id) => begun,
            () = self.is_over(id) => return None,
        };
        let (path, upload) = match begun {
            Ok((path, upload)) if upload.parallel_parts && !self.core().habits.grants_parts => (path, upload),
            _ => {
                self.end_growth(id);
                return None;
            }
        };
        let mut slot = Some(upload.first);
        let mut early = Early::new(upload.reference);
        while let Some((number, range)) = self.next_part(id).await {
            let room = tokio::select! {
                room = self.buffers.reserve(range.end - range.start) => room,
                // The close finds room for it.
                () = self.is_over(id) => break,
            };
            let began = Instant::now();
            // Open for a moment: a descriptor for each file that grows may be more than there are.
            let read = async |file| read_part(file, range.start, room, early.head.hasher).await;
            let read = match self.store.file(id) {
                Ok(file) => read(file).await.ok(),
                Err(_) => None,
            };
            let Some(read) = read else {
                self.end_growth(id);
                return None;
            };
            let took = began.elapsed();
            (early.head.hasher, early.head.parts) = (read.hasher, number);
            let flight = Flight {
                client: self.remote.clone(),
                path: path.clone(),
                reference: early.reference.clone(),
                number,
                slot: slot.take(),
                bytes: read.bytes,
                md5: read.md5,
                gauge: early.gauge.clone(),
            };
            early.head.flights.spawn(carry(flight.deliver()));
            early.note_landed();
            if early.broken {
                self.end_growth(id);
            }
            if self.rules.close == Close::Journaled {
                // The writer waits for its own disk alone, and has the processors first.
                let _ = tokio::time::timeout(took * RESTS, self.is_over(id)).await;
            }
        }
        Some(early)
    }

    /// Opens an upload of a file whose size nobody knows yet. Dropped, it may leave one that nobody completes, which
    /// Files.com forgets; whoever waits for the folder goes on.
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
    async fn next_part(&self, id: ContentId) -> Option<(u32, Range<u64>)> {
        self.watch(id, Growth::claim).await
    }

    /// Comes back when nobody wants parts of it any more. To be dropped at any time.
    async fn is_over(&self, id: ContentId) {
        self.watch(id, |_| None::<()>).await;
    }

    /// Waits until `find` finds something in a file that grows; `None` when nobody wants parts of it any more.
    async fn watch<T>(&self, id: ContentId, find: impl Fn(&mut Growth) -> Option<T>) -> Option<T> {
        loop {
            let grown = self.streams.grown.notified();
            tokio::pin!(grown);
            grown.as_mut().enable();
            match self.core().growing.get_mut(&id).filter(|growth| !growth.has_ended()) {
                None => return None,
                Some(growth) => {
                    if let Some(found) = find(growth) {
                        return Some(found);
                    }
                }
            }
            grown.await;
        }
    }

    fn end_growth(&self, id: ContentId) {
        if let Some(growth) = self.core().growing.get_mut(&id) {
            growth.end();
        }
    }

    /// Nothing of these bytes is wanted any more: parts that are under way are broken off.
    pub(super) fn forget_stream(&self, id: ContentId) {
        if self.core().growing.remove(&id).is_some() {
            self.streams.look_again();
        }
        if let Some(task) = self.streams.tasks().remove(&id) {
            task.abort();
        }
    }

    /// What left of `job` before its close, to be gone on with.
    pub(super) async fn take_over(&self, job: &Job) -> Result<Option<Going>, Trouble> {
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
        early.note_landed();
        let parts = Parts::of(job.size);
        if early.head.parts == 0 || parts.count() < 2 || self.core().habits.grants_parts {
            return Ok(None);
        }
        let has_to_be_read = early.broken || !growth.touched().is_empty();
        if has_to_be_read {
            // A part that is still on its way must not arrive after the one that takes its place.
            early.all_landed().await;
            let is_good = |number: &u32| !growth.touched().contains(number) && *number <= parts.count();
            early.head.evidence.retain(|number, _| is_good(number));
        }
        let begun = Begun {
            reference: early.reference.to_string(),
            size: job.size,
            part_size: parts.part_size(),
            parallel: true,
            written: last_change(&*self.bytes_of(job)?)?,
            parts: early.head.evidence.clone(),
            completing: None,
        };
        self.note_begun(job.id, &begun);
        tracing::debug!(
            "{}: {} of {} parts left before the close",
            job.path,
            early.head.parts,
            parts.count()
        );
        let start = if has_to_be_read {
            Start::Again(begun)
        } else {
            if let Some(progress) = self.core().uploading.get_mut(&job.ino) {
                progress.gauge = early.gauge;
            }
            Start::Ahead(early.head)
        };
        Ok(Some(Going { reference: early.reference, parts, parallel: true, start }))
    }
}
