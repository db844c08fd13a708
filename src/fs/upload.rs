//! The way of the bytes: read once, hashed on the way, sent in parts side by side. Parts that an earlier
//! attempt sent are read and hashed, and not sent again.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;

use super::buffers::Room;
use super::job::{Job, Trouble};
use super::resume::{Going, Start};
use super::{Filesystem, on_disk};
use crate::local::failpoint;
use crate::model::digest::{ETag, Hasher, Md5, PartHasher};
use crate::model::failure::Failure;
use crate::model::path::RemotePath;
use crate::model::proof::{PartEvidence, Sent};
use crate::model::resume::Known;
use crate::remote::{Client, ErrorKind, Gauge, PartSlot, Sought, UploadRef, carry};

/// How often one part is sent until its ETag fits.
const PART_ATTEMPTS: u32 = 3;

/// Bytes that are read and hashed before the next ones are.
const AT_ONCE: usize = 256 << 10;

/// All parts are with the storage; nothing is visible yet.
#[derive(Debug)]
pub(super) struct Parcel {
    pub reference: UploadRef,
    pub sent: Sent,
}

impl Parcel {
    /// What it is known by, should its completion have been made without anybody hearing of it.
    pub fn sought(&self, job: &Job) -> Sought {
        let digest = &self.sent.digest;
        Sought { size: digest.size, md5: digest.md5, object: self.sent.object(), replaces: job.replaces }
    }
}

/// Parts under way.
pub(super) type Flights = JoinSet<Result<Landed, Trouble>>;

/// One part under way.
pub(super) struct Flight {
    pub client: Client,
    pub path: RemotePath,
    pub reference: UploadRef,
    pub number: u32,
    pub slot: Option<PartSlot>,
    pub bytes: Bytes,
    pub md5: Md5,
    /// Counts the bytes of the file as they leave.
    pub gauge: Gauge,
}

impl Filesystem {
    /// Sends all parts of `job` that the storage does not have yet, and compares each part's ETag with what
    /// left. Dropped, it takes the parts under way with it: those that were accepted are noted, and the others are sent
    /// again.
    pub(super) async fn send(&self, job: &Job) -> Result<Parcel, Trouble> {
        let going = self.go_on(job).await?;
        let is_worth_a_note = self.is_worth_a_note(job, &going.parts);
        let mut sending = std::pin::pin!(self.send_parts(job, going));
        if !is_worth_a_note {
            return sending.await;
        }
        // A disk that is slower than the line is not waited for: all parts are there by then.
        tokio::select! {
            parcel = &mut sending => return parcel,
            () = self.sync_while_sent(job) => {}
        }
        tokio::join!(sending, self.journal_while_sent(job)).0
    }

    /// The bytes of `job`, open for a moment: many jobs wait for their turn, and each descriptor is wanted elsewhere.
    pub(super) fn bytes_of(&self, job: &Job) -> Result<Arc<std::fs::File>, Trouble> {
        self.store.file(job.id).map_err(|error| match self.is_wanted(job) {
            true => Failure::from(error).into(),
            // Nobody wants these bytes any more, and they are gone.
            false => Trouble::Overtaken,
        })
    }

    async fn send_parts(&self, job: &Job, going: Going) -> Result<Parcel, Trouble> {
        let (mut going, mut flights) = (going, JoinSet::new());
        let is_early = matches!(going.start, Start::Ahead(_));
        if let Start::Ahead(head) = &mut going.start {
            flights = std::mem::take(&mut head.flights);
        }
        let outcome = match self.send_missing(job, going, &mut flights).await {
            // Of a part that left before the close: only one that the close itself asks for is its answer.
            Err(Trouble::Refused(failure)) if is_early => Err(Trouble::Again(failure)),
            outcome => outcome,
        };
        if let Err(Trouble::Later(_) | Trouble::Again(_)) = &outcome {
            // The next attempt goes on with what arrives. Each comes to its own end in time.
            let mut rest = BTreeMap::new();
            while let Some(done) = flights.join_next().await {
                let _ = self.landed(job, &mut rest, Some(done));
            }
        }
        outcome
    }

    /// What is under way stays in `flights` when this is dropped or fails.
    async fn send_missing(&self, job: &Job, going: Going, flights: &mut Flights) -> Result<Parcel, Trouble> {
        let Going { reference, parts, parallel, start } = going;
        let (mut done, mut hasher, mut evidence) = (0, Hasher::default(), BTreeMap::new());
        let gauge = self.gauge(job);
        let (mut first, mut before) = (None, None);
        match start {
            Start::Anew(slot) => first = Some(slot),
            Start::Again(begun) => before = Some(begun),
            Start::Ahead(head) => (done, hasher, evidence) = (head.parts, head.hasher, head.evidence),
        }
        for number in done + 1..=parts.count() {
            let range = parts.range(number);
            let room = {
                let mut room = std::pin::pin!(self.buffers.reserve(range.end - range.start));
                loop {
                    // What arrives while there is no room is noted at once.
                    tokio::select! {
                        room = &mut room => break room,
                        Some(done) = flights.join_next() => self.landed(job, &mut evidence, Some(done))?,
                    }
                }
            };
            let read = read_part(self.bytes_of(job)?, range.start, room, hasher).await?;
            hasher = read.hasher;
            if !self.is_wanted(job) {
                return Err(Trouble::Overtaken);
            }
            if let Some(before) = &before
                && before.parts.contains_key(&number)
            {
                match before.part(number, read.md5) {
                    Known::Missing => {}
                    Known::Sent(sent) => {
                        gauge.add(read.bytes.len() as u64);
                        evidence.insert(number, sent);
                        continue;
                    }
                    Known::Differs => {
                        tracing::warn!("{} has other bytes than those that were sent before", job.path);
                        self.abandon_upload(job.id);
                        return Err(Trouble::Overtaken);
                    }
                }
            }
            flights.spawn(carry(
                Flight {
                    client: self.remote.clone(),
                    path: job.path.clone(),
                    reference: reference.clone(),
                    number,
                    slot: first.take(),
                    bytes: read.bytes,
                    md5: read.md5,
                    gauge: gauge.clone(),
                }
                .deliver(),
            ));
            if !parallel {
                self.landed(job, &mut evidence, flights.join_next().await)?;
            }
            while let Some(done) = flights.try_join_next() {
                self.landed(job, &mut evidence, Some(done))?;
            }
        }
        self.let_move(job.ino);
        while let Some(done) = flights.join_next().await {
            self.landed(job, &mut evidence, Some(done))?;
        }
        let parts: Vec<PartEvidence> = evidence.into_values().collect();
        Ok(Parcel { reference, sent: Sent { digest: hasher.finish(), parts } })
    }

    /// What counts the bytes of `job`, for those who look how far it is.
    fn gauge(&self, job: &Job) -> Gauge {
        self.core().uploading.get(&job.ino).map(|progress| progress.gauge.clone()).unwrap_or_default()
    }

    fn landed(
        &self,
        job: &Job,
        evidence: &mut BTreeMap<u32, PartEvidence>,
        done: Option<Result<Result<Landed, Trouble>, tokio::task::JoinError>>,
    ) -> Result<(), Trouble> {
        let Some(done) = done else { return Ok(()) };
        let landed = done.map_err(|_| Failure::new(libc::EIO, "a part was cut off"))??;
        self.note_part(job, landed.number, &landed.evidence);
        self.space.progressed();
        evidence.insert(landed.number, landed.evidence);
        Ok(())
    }
}

/// A part that the storage accepted.
#[derive(Debug)]
pub(super) struct Landed {
    pub number: u32,
    pub evidence: PartEvidence,
}

impl Flight {
    /// Sends the part until the storage states the digest that left.
    pub(super) async fn deliver(mut self) -> Result<Landed, Trouble> {
        let (md5, mut last) = (self.md5, None);
        for _ in 0..PART_ATTEMPTS {
            // A URL does not wait for its turn: its life is short.
            let place = self.client.place_for_part(&self.path).await?;
            let slot = match self.slot.take().filter(|slot| !slot.is_expired()) {
                Some(slot) => slot,
                None => self.client.begin_part(&self.path, &self.reference, self.number).await?,
            };
            match self.client.put_part_in(place, &slot, (self.bytes.clone(), md5), self.gauge.clone()).await {
                Ok(ETag::Md5(stored)) if stored != md5 => {
                    let what = format!("part {} arrived with MD5 {stored} and left with {md5}", self.number);
                    tracing::warn!("{}: {what}; it is sent again", self.path);
                    self.gauge.took_back(self.bytes.len() as u64);
                    last = Some(Trouble::Mismatch(Failure::new(libc::EIO, what)));
                }
                Ok(etag) => {
                    failpoint::reach("publish.part");
                    let evidence = PartEvidence { sent: md5, etag };
                    return Ok(Landed { number: self.number, evidence });
                }
                Err(error) if error.kind() == ErrorKind::Damaged => {
                    let what = format!("part {} did not arrive as it left: {error}", self.number);
                    tracing::warn!("{}: {what}; it is sent again", self.path);
                    last = Some(Trouble::Mismatch(Failure::new(libc::EIO, what)));
                }
                Err(error) if error.kind() == ErrorKind::UrlExpired => last = Some(error.into()),
                Err(error) => return Err(error.into()),
            }
        }
        Err(last.unwrap_or(Trouble::Overtaken))
    }
}

/// One part in memory.
pub(super) struct ReadPart {
    /// Has seen its bytes, too.
    pub hasher: Hasher,
    pub bytes: Bytes,
    pub md5: Md5,
}

/// Reads the part at `start` that there is `room` for, and hashes it, for itself and for the whole: while it is in
/// the processor's cache.
pub(super) async fn read_part(
    file: Arc<std::fs::File>,
    start: u64,
    room: Room,
    mut hasher: Hasher,
) -> Result<ReadPart, Trouble> {
    let read = on_disk(move || {
        debug_assert!(start > 0 || hasher.is_new());
        let mut buffer = room.take()?;
        let mut part = PartHasher::default();
        for (chunk, at) in buffer.chunks_mut(AT_ONCE).zip((start..).step_by(AT_ONCE)) {
            match file.read_exact_at(chunk, at) {
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
                other => other?,
            }
            match start {
                // So far, it is the whole.
                0 => hasher.update(chunk),
                _ => hasher.update_with(&mut part, chunk),
            }
        }
        let md5 = if start == 0 { hasher.clone().finish().md5 } else { part.finish() };
        Ok(Some(ReadPart { hasher, bytes: Bytes::from_owner(buffer), md5 }))
    });
    // Shorter than it was: somebody cut it off in the meantime.
    read.await?.ok_or(Trouble::Overtaken)
}
