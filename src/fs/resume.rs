//! Uploads of several parts go on where they were: after an attempt that failed, and in the next mount.
//!
//! How far an upload came is known here, by the number of its bytes, and in the journal. Small files are
//! one part and have nothing to go on from: for them nothing is noted, and no sync is waited for.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::sync::{MutexGuard, PoisonError};

use super::Filesystem;
use super::job::{Job, Trouble};
use super::stream::Head;
use crate::local::failpoint;
use crate::local::journal::Fact;
use crate::model::failure::Failure;
use crate::model::ino::ContentId;
use crate::model::moment::Moment;
use crate::model::parts::Parts;
use crate::model::path::RemotePath;
use crate::model::proof::PartEvidence;
use crate::model::resume::Begun;
use crate::remote::{PartSlot, UploadRef};

type Uploads = HashMap<ContentId, Begun>;

/// An upload that parts are sent to.
#[derive(Debug)]
pub(super) struct Going {
    pub reference: UploadRef,
    pub parts: Parts,
    /// Several parts may travel at once.
    pub parallel: bool,
    pub start: Start,
}

/// Where the sending begins.
#[derive(Debug)]
pub(super) enum Start {
    /// Nothing has left. Where part 1 goes.
    Anew(PartSlot),
    /// It had come so far before, with bytes that are read again and compared.
    Again(Begun),
    /// It came so far while the file was written, and nothing has to be read again.
    Ahead(Head),
}

impl Filesystem {
    fn uploads(&self) -> MutexGuard<'_, Uploads> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an earlier mount began.
    pub(super) fn take_up_uploads(&self, begun: HashMap<ContentId, Begun>) {
        self.uploads().extend(begun);
    }

    /// Goes on with what was begun with these very bytes, or begins.
    pub(super) async fn go_on(&self, job: &Job) -> Result<Going, Trouble> {
        if let Some(going) = self.take_over(job).await? {
            return Ok(going);
        }
        let written = last_change(&*self.bytes_of(job)?)?;
        let known = self.uploads().get(&job.id).cloned();
        if let Some(begun) = known {
            if begun.may_be_of(job.size, written) {
                let count = begun.plan().count();
                tracing::info!("{} goes on: {} of {count} parts are there", job.path, begun.parts.len());
                return Ok(Going {
                    reference: reference(&begun.reference),
                    parts: begun.plan(),
                    parallel: begun.parallel,
                    start: Start::Again(begun),
                });
            }
            self.abandon_upload(job.id);
        }
        let begin = self.may_begin(job.ino, &job.path, || self.is_wanted(job)).await?;
        let upload = self.remote.begin_upload(&job.path, Some(job.size)).await?;
        drop(begin);
        failpoint::reach("publish.begun");
        let parts = match upload.parallel_parts && !self.core().habits.grants_parts {
            true => Parts::of(job.size),
            false => Parts::granted(job.size, upload.recommended_part_size),
        };
        if parts.count() > 1 {
            let begun = Begun {
                reference: upload.reference.to_string(),
                size: job.size,
                part_size: parts.part_size(),
                parallel: upload.parallel_parts,
                written,
                parts: BTreeMap::new(),
                completing: None,
            };
            self.note_begun(job.id, &begun);
        }
        let (reference, parallel) = (upload.reference, upload.parallel_parts);
        Ok(Going { reference, parts, parallel, start: Start::Anew(upload.first) })
    }

    /// An upload of several parts was begun.
    pub(super) fn note_begun(&self, id: ContentId, begun: &Begun) {
        self.uploads().insert(id, begun.clone());
        self.journal.note(Fact::Begun(id, begun.clone()));
    }

    /// The storage accepted a part.
    pub(super) fn note_part(&self, job: &Job, number: u32, evidence: &PartEvidence) {
        if let Some(begun) = self.uploads().get_mut(&job.id) {
            begun.parts.insert(number, evidence.clone());
            self.journal.note(Fact::Sent(job.id, number, evidence.clone()));
        }
    }

    /// The completion of an upload of several parts is a fact before it is asked for.
    pub(super) async fn note_completing(&self, job: &Job, path: &RemotePath) {
        match self.uploads().get_mut(&job.id) {
            None => return,
            Some(begun) => begun.completing = Some(path.clone()),
        }
        // Without the fact, a crash now would cost another upload, and nothing else.
        if let Err(failure) = self.journal.commit(Fact::Completing(job.id, path.clone())).await {
            tracing::warn!("{path} is completed, and the journal was not told: {failure}");
        }
    }

    /// May an earlier completion under `path` have been carried out?
    pub(super) fn may_be_completed(&self, job: &Job, path: &RemotePath) -> bool {
        self.uploads().get(&job.id).is_some_and(|begun| begun.may_be_completed(path))
    }

    /// Nothing of the upload can be used: the next attempt begins afresh.
    pub(super) fn abandon_upload(&self, id: ContentId) {
        if self.uploads().remove(&id).is_some() {
            self.journal.note(Fact::Abandoned(id));
        }
    }

    /// The bytes are owed no more; the journal forgets the upload with them. True where it knew of one.
    pub(super) fn settled(&self, id: ContentId) -> bool {
        self.uploads().remove(&id).is_some()
    }

    /// Is a file worth a note while it travels, so that the next mount can go on with it? A small one is sent
    /// before that would be done.
    pub(super) fn is_worth_a_note(&self, job: &Job, parts: &Parts) -> bool {
        parts.count() > 1
            && self
                .core()
                .tree
                .file(job.ino)
                .is_ok_and(|file| file.noted.is_none_or(|noted| noted.id != job.id))
    }

    /// Its bytes are on the local disk. Dropped, the disk still does it, and nobody is told.
    pub(super) async fn sync_while_sent(&self, job: &Job) {
        let (store, id) = (self.store.clone(), job.id);
        // Told by the journey that notes it: what could not be synced once fails again.
        let _ = super::on_disk(move || store.sync(id)).await;
    }

    /// It is noted. Quick, after the bytes were synced.
    pub(super) async fn journal_while_sent(&self, job: &Job) {
        if let Err(failure) = self.keep_what_is_owed(job.ino).await {
            tracing::warn!("{} is being sent, and could not be journaled: {failure}", job.path);
        }
    }
}

fn reference(text: &str) -> UploadRef {
    match text.parse() {
        Ok(reference) => reference,
        Err(never) => match never {},
    }
}

/// The last change of the bytes, by the clock of the disk.
pub(super) fn last_change(file: &File) -> Result<Moment, Failure> {
    let metadata = file.metadata()?;
    Ok(Moment { seconds: metadata.mtime(), nanos: metadata.mtime_nsec() as u32 })
}
