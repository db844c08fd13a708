//! Publication: from a sealed revision to a proof that Files.com holds it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::core::{Core, Errand, Progress};
use super::{Close, Filesystem, on_disk, told};
use crate::local::failpoint;
use crate::local::journal::Fact;
use crate::model::attributes::{Attributes, is_ours, on_the_wire};
use crate::model::entry::Entry;
use crate::model::failure::Failure;
use crate::model::ino::Ino;
use crate::model::node::{Body, Local};
use crate::model::path::RemotePath;
use crate::model::proof::{Fingerprint, Verified};
use crate::model::readahead::ReadAhead;
use crate::model::receipt::Receipt;
use crate::remote::{Completion, ErrorKind};

use super::job::{Job, Trouble};
use super::upload::Parcel;

/// How often bytes are sent again that did not arrive as they left.
const MISMATCHES: u32 = 3;
/// How often an upload is begun afresh that the service lost.
const RESTARTS: u32 = 3;
/// How often a close goes after bytes that others keep changing.
const CHASES: u32 = 16;
/// How long bytes are left alone after that, where nobody waits for them.
const COMES_TO_REST: Duration = Duration::from_secs(1);

/// Who wants a file published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// A caller waits for the proof of what it wrote, whoever else is writing.
    ByClose,
    /// It is owed.
    ByNobody,
}

impl Filesystem {
    /// Publishes what is owed of a file and answers with the outcome. A failed file stays owed, is
    /// kept durably here, and is tried again.
    pub(super) async fn publish(&self, ino: Ino, asked: Asked) -> Result<(), Failure> {
        let _turn = self.publishing.take(ino).await;
        let (mut mismatches, mut restarts, mut chases) = (0, 0, 0);
        let failure = loop {
            let Some(job) = self.begin(ino, asked) else { return Ok(()) };
            let dropped = self.core().dropped(ino);
            if let Some(failure) = dropped {
                self.core().uploading.remove(&ino);
                break (failure, true);
            }
            let outcome = match self.has_seen_folder(ino).await {
                Ok(()) => self.attempt(&job).await,
                Err(trouble) => Err(trouble),
            };
            self.core().uploading.remove(&ino);
            if matches!(outcome, Err(Trouble::Lost(_) | Trouble::Mismatch(_))) {
                self.abandon_upload(job.id);
            }
            match outcome {
                Ok(()) => return Ok(()),
                Err(Trouble::Behind) if self.rules.close == Close::Verified => {
                    self.until_clear(&[&job.path]).await?;
                }
                Err(Trouble::Behind) => {
                    let mut core = self.core();
                    if let Some(path) = core.tree.path(ino)
                        && !self.is_clear(&mut core, &path, Errand::Publish(ino))
                    {
                        return Ok(());
                    }
                }
                Err(Trouble::Overtaken) if chases < CHASES => chases += 1,
                Err(Trouble::Overtaken) if asked == Asked::ByNobody => {
                    // Nobody waits, and nothing failed: it is sent when it has come to rest.
                    self.schedule(Errand::Publish(ino), COMES_TO_REST);
                    return Ok(());
                }
                Err(Trouble::Overtaken) => {
                    break (Failure::new(libc::EBUSY, "it changes faster than it can be sent"), false);
                }
                Err(Trouble::Mismatch(failure)) => {
                    mismatches += 1;
                    tracing::warn!(
                        "{} did not arrive as it left (attempt {mismatches}): {failure}",
                        job.path
                    );
                    if mismatches == MISMATCHES {
                        break (failure, true);
                    }
                }
                Err(Trouble::Lost(failure) | Trouble::Again(failure)) => {
                    restarts += 1;
                    tracing::warn!("{} is sent once more (attempt {restarts}): {failure}", job.path);
                    if restarts == RESTARTS {
                        break (failure, false);
                    }
                }
                Err(Trouble::Later(failure)) => break (failure, false),
                Err(Trouble::Refused(failure)) => break (failure, true),
            }
        };
        self.give_up(ino, failure).await
    }

    /// Where the mount began without Files.com, it looks before it sends: the name may be another's there.
    async fn has_seen_folder(&self, ino: Ino) -> Result<(), Trouble> {
        let unseen = |core: &Core| {
            let folder = core.tree.node(ino).ok()?.parent?;
            core.tree.folder(folder).ok()?.unseen.then_some(folder)
        };
        let folder = unseen(&self.core());
        let Some(folder) = folder else { return Ok(()) };
        self.list_anew(folder).await?;
        match unseen(&self.core()) {
            None => Err(Trouble::Overtaken),
            Some(_) => Err(Trouble::Later(Failure::new(libc::ETIMEDOUT, "Files.com cannot be reached"))),
        }
    }

    /// The newest bytes, sealed; `None` when nothing is owed or nothing may be published.
    fn begin(&self, ino: Ino, asked: Asked) -> Option<Job> {
        let mut core = self.core();
        if !core.may_publish(ino) {
            return None;
        }
        let path = core.tree.path(ino)?;
        let file = core.tree.file_mut(ino).ok()?;
        if asked == Asked::ByNobody && file.is_being_written() {
            // Half a file would be published over a whole one: its last close publishes, or plans.
            return None;
        }
        file.content.seal();
        let revision = file.content.owed()?;
        file.owed_since.get_or_insert_with(Instant::now);
        let Local::Spooled(id) = file.local else { return None };
        let job = Job { ino, revision, id, path, size: file.size, replaces: file.published };
        core.uploading.insert(ino, Progress { sent: 0, size: job.size });
        Some(job)
    }

    /// Are the bytes of `job` still the newest, and wanted?
    pub(super) fn is_current(&self, job: &Job) -> bool {
        let core = self.core();
        core.may_publish(job.ino)
            && core.dropped(job.ino).is_none()
            && core
                .tree
                .file(job.ino)
                .is_ok_and(|file| file.content.is_current(job.revision) && file.local.id() == Some(job.id))
    }

    async fn attempt(&self, job: &Job) -> Result<(), Trouble> {
        if self.core().backlog.last_at(&job.path).is_some() {
            return Err(Trouble::Behind);
        }
        let parcel = self.send(job).await?;
        failpoint::reach("publish.sent");
        let (entry, path, attributes) = self.complete(job, &parcel).await?;
        failpoint::reach("publish.completed");
        if entry.name != path.name() {
            return Err(Trouble::Refused(Failure::new(
                libc::EIO,
                format!(
                    "Files.com stored {path} under another name, {:?}: a setting of the folder renames uploads; turn it off",
                    entry.name
                ),
            )));
        }
        let proof = self.prove(&path, &parcel.sent, &entry).await?;
        failpoint::reach("publish.proven");
        self.settle(job, &proof, entry, attributes).await;
        Ok(())
    }

    /// Makes the parts a file, under the name that it has at this moment.
    async fn complete(&self, job: &Job, parcel: &Parcel) -> Result<(Entry, RemotePath, Attributes), Trouble> {
        let _naming = self.naming.take(job.ino).await;
        let _shape = self.shape.read().await;
        if !self.is_current(job) {
            return Err(Trouble::Overtaken);
        }
        let (path, attributes, completion) = {
            let core = self.core();
            let node = core.tree.node(job.ino).map_err(|_| Trouble::Overtaken)?;
            let path = core.tree.path(job.ino).ok_or(Trouble::Overtaken)?;
            if core.backlog.last_at(&path).is_some() {
                return Err(Trouble::Behind);
            }
            let etags = (1..).zip(parcel.sent.parts.iter().map(|part| part.etag.clone())).collect();
            let completion = Completion {
                reference: parcel.reference.clone(),
                etags,
                size: job.size,
                mtime: Some(on_the_wire(node.attributes.mtime)),
                metadata: self.metadata(&core, node),
            };
            (path, node.attributes, completion)
        };
        let doubtful = self.may_be_completed(job, &path);
        if doubtful {
            // Asked for by an earlier attempt, whose answer nobody heard.
            if let Some(entry) = self.find_parcel(parcel, &path).await? {
                tracing::info!("{path} was completed before; nothing is sent again");
                self.note_completion(job.ino, &entry);
                let shown = as_shown(attributes, &entry);
                return Ok((entry, path, shown));
            }
        }
        self.note_completing(job, &path).await;
        let mut answer = self.remote.complete_upload(&path, &completion).await;
        if let Err(error) = &answer
            && matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::Permission)
            && !completion.metadata.is_empty()
        {
            // Remote server mounts take no metadata, and some keys may not write any: the bytes count.
            let bare = Completion { metadata: BTreeMap::new(), ..completion };
            let why = told(error);
            answer = self.remote.complete_upload(&path, &bare).await;
            if answer.is_ok() {
                self.metadata_refused(&why);
            }
        }
        let entry = match answer {
            Ok(entry) => entry,
            Err(error) if error.kind() == ErrorKind::OutcomeUnknown => {
                self.note_doubt(job, parcel);
                match self.look_for(job, parcel, &path).await? {
                    Some(entry) => entry,
                    // It was carried out, and is not there any more.
                    None if doubtful => return Err(Trouble::Lost(told(&error))),
                    None => return Err(error.into()),
                }
            }
            Err(error) => return Err(error.into()),
        };
        if entry.name == path.name() {
            self.note_completion(job.ino, &entry);
        }
        Ok((entry, path, attributes))
    }

    /// Files.com has something under this path from now on, proven or not: whoever renames or deletes the
    /// file before the proof does so there, too.
    fn note_completion(&self, ino: Ino, entry: &Entry) {
        if let Ok(node) = self.core().tree.node_mut(ino) {
            node.touched = Some(Instant::now());
            if let Body::File(file) = &mut node.body {
                file.published = Some(entry.fingerprint());
                file.perhaps = None;
            }
        }
    }

    /// Files.com may have these bytes: whoever deletes or renames the file sees to it that they go.
    fn note_doubt(&self, job: &Job, parcel: &Parcel) {
        if let Ok(file) = self.core().tree.file_mut(job.ino) {
            let md5 = Some(parcel.sent.digest.md5);
            let sent = Fingerprint { size: job.size, created: None, changed: None, md5, crc32: None };
            file.perhaps = Some(Box::new(sent));
        }
    }

    /// The file is proven: its bytes may go to the cache, its fact may go from the journal.
    async fn settle(&self, job: &Job, proof: &Verified, entry: Entry, sent: Attributes) {
        let (settled, older) = {
            let mut core = self.core();
            core.counts.verified += 1;
            core.meter.note(Instant::now(), 0, 1);
            if proof.basis().is_weak() {
                core.counts.weak += 1;
            }
            self.learn(&mut core, job.ino, &entry, sent);
            // Under today's name, and before anybody can rename it again.
            if let Some(path) = core.tree.path(job.ino) {
                self.receipts.give(Receipt::of(path, proof, &entry, super::now()));
            }
            let Ok(node) = core.tree.node_mut(job.ino) else { return };
            node.touched = Some(Instant::now());
            node.permissions = entry.permissions;
            let Body::File(file) = &mut node.body else { return };
            file.published = Some(entry.fingerprint());
            file.proven = (!proof.basis().is_weak()).then_some(proof.digest().md5);
            let settled = file.content.verified(job.revision);
            let mut older = None;
            if settled {
                older = file.noted.take().filter(|older| *older != job.id);
                file.failure = None;
                file.owed_since = None;
                file.local = Local::Cached(job.id, ReadAhead::whole(job.size));
                core.queue.forget(Errand::Publish(job.ino));
            }
            (settled, older)
        };
        tracing::debug!("{} is verified by {}", job.path, proof.basis().name());
        if !settled {
            return;
        }
        let (store, id, taken) = (self.store.clone(), job.id, self.store.taken(job.id));
        if matches!(on_disk(move || store.to_cache(id)).await, Ok(true)) {
            // Counted once it is there: until then it takes room in the spool.
            let mut core = self.core();
            if core.tree.file(job.ino).is_ok_and(|file| file.local.id() == Some(job.id)) {
                core.cached.note(job.ino, taken);
            }
        } else {
            // Another disk: it is cheaper to fetch it again when somebody wants it.
            let mut core = self.core();
            core.cached.remove(job.ino);
            if let Ok(file) = core.tree.file_mut(job.ino)
                && file.local.id() == Some(job.id)
            {
                file.local = Local::Nowhere;
                drop(core);
                self.drop_content(job.id);
            }
        }
        failpoint::reach("publish.cached");
        self.journal.note(Fact::Settled(job.id));
        failpoint::reach("publish.settled");
        self.settled(job.id);
        older.into_iter().for_each(|older| self.drop_content(older));
        self.make_room();
        self.space.progressed();
    }

    /// What the completed entity shows of the site's habits, and which attributes must still be sent.
    fn learn(&self, core: &mut Core, ino: Ino, entry: &Entry, sent: Attributes) {
        if entry.provided.is_none() && core.habits.keeps_mtime {
            core.habits.keeps_mtime = false;
            tracing::warn!(
                "this site does not keep modification times by itself, they go into the metadata; other clients \
                 see them only with 'use provided modified at' turned on in the site's settings"
            );
        }
        let wanted = match core.tree.node(ino) {
            Ok(node) => self.metadata(core, node),
            Err(_) => return,
        };
        let ours = |metadata: &BTreeMap<String, String>| {
            metadata
                .clone()
                .into_iter()
                .filter(|(key, value)| is_ours(key, value))
                .collect::<BTreeMap<_, _>>()
        };
        let metadata_arrived = ours(&wanted) == ours(&entry.metadata);
        if !metadata_arrived && entry.metadata.is_empty() && core.habits.takes_metadata_at_completion {
            core.habits.takes_metadata_at_completion = false;
            tracing::info!("this site does not take metadata with an upload; each file costs one more call");
        }
        let Ok(node) = core.tree.node(ino) else { return };
        if metadata_arrived && node.attributes == sent {
            self.attributes_arrived(core, ino);
            return;
        }
        if let Ok(node) = core.tree.node_mut(ino) {
            node.attributes_owed = true;
        }
        self.journal.note_all(self.entry_fact(core, ino).map(Fact::Entry).into_iter().collect());
        core.queue.schedule(Errand::Attributes(ino), Instant::now());
        self.errands.notify_one();
    }

    /// Publication failed: the debt is kept durably, told at the next close, and tried again unless it
    /// was refused for good.
    async fn give_up(&self, ino: Ino, (failure, refused): (Failure, bool)) -> Result<(), Failure> {
        let path = {
            let mut core = self.core();
            let path = core.tree.path(ino);
            if let Ok(file) = core.tree.file_mut(ino) {
                file.failure = Some(failure.clone());
                if let (true, Some(revision)) = (refused, file.content.owed()) {
                    file.content.refused(revision);
                }
            }
            match refused {
                true => core.queue.forget(Errand::Publish(ino)),
                false => core.queue.failed(Errand::Publish(ino), Instant::now()),
            }
            path
        };
        self.errands.notify_one();
        self.space.changed();
        let next = match refused {
            true => "it is kept here until it is written, closed or deleted again",
            false => "it is kept here and tried again",
        };
        if let Some(path) = path {
            tracing::error!("{path} is not on Files.com: {failure}; {next}");
        }
        self.make_durable(ino).await?;
        Err(failure)
    }
}

/// Attributes as an entry shows that they were sent: others are still owed.
fn as_shown(ours: Attributes, entry: &Entry) -> Attributes {
    match entry.provided {
        Some(provided) if provided != on_the_wire(ours.mtime) => Attributes { mtime: provided, ..ours },
        _ => ours,
    }
}
