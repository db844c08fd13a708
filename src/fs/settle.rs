//! How a publication ends: the debt is settled, or kept.

use std::collections::BTreeMap;
use std::time::Instant;

use super::complaints::About;
use super::core::{Core, Errand};
use super::job::{Ending, Job};
use super::{Close, Filesystem, Stale, on_disk};
use crate::local::failpoint;
use crate::local::journal::Fact;
use crate::model::attributes::{Attributes, is_ours};
use crate::model::content::{Revision, State};
use crate::model::entry::Entry;
use crate::model::failure::Failure;
use crate::model::ino::{ContentId, Ino};
use crate::model::node::{Body, Local, Noted};
use crate::model::proof::Verified;
use crate::model::readahead::ReadAhead;
use crate::model::receipt::Receipt;

impl Filesystem {
    /// The file is proven: its bytes may go to the cache, its fact may go from the journal.
    ///
    /// # Errors
    /// The journal cannot be told that an older version is wanted no more, which would come back after a crash.
    pub(super) async fn settle(
        &self,
        job: &Job,
        proof: &Verified,
        entry: Entry,
        sent: Attributes,
    ) -> Result<(), Failure> {
        let (settled, noted, attributes_owed) = {
            let mut core = self.core();
            core.proven(proof.basis());
            // Under today's name, and before anybody can rename it again.
            if let Some(path) = core.tree.path(job.ino) {
                self.receipts.give(Receipt::of(path, proof, &entry, super::now()));
            }
            let Ok(node) = core.tree.node_mut(job.ino) else { return Ok(()) };
            node.touched = Some(Instant::now());
            node.permissions = entry.permissions;
            let Body::File(file) = &mut node.body else { return Ok(()) };
            file.published = Some(entry.fingerprint());
            file.blocks = Default::default();
            let digest = proof.digest();
            file.prove((!proof.basis().is_weak()).then_some((digest.md5, digest.crc32)));
            let settled = file.content.verified(job.revision);
            // Stays until the journal is told: whoever renames or deletes the file meanwhile tells it, too.
            let noted = file.noted;
            if !matches!(file.content.state(), State::Held(_)) {
                file.failure = None;
            }
            if settled {
                file.owed_since = None;
                file.local = Local::Cached(job.id, ReadAhead::whole(job.size));
                core.queue.forget(Errand::Publish(job.ino));
            }
            let attributes_owed = self.learn(&mut core, job.ino, &entry, sent);
            (settled, noted, attributes_owed)
        };
        tracing::debug!("{} is verified by {}", job.path, proof.basis().name());
        let older = if settled {
            self.move_to_cache(job.ino, job.id).await;
            failpoint::reach("publish.cached");
            self.forget_noted(job, noted)
        } else {
            // What was begun is done; what others have written since is another upload.
            self.abandon_upload(job.id);
            self.forget_older(job)
        };
        failpoint::reach("publish.settled");
        older.into_iter().for_each(|older| self.drop_content(older));
        // Whoever closed it is answered next: a crash must bring back neither an older version, which the journal was
        // told to forget just now, nor older attributes. With `close=journaled`, the close was answered before.
        let is_awaited = attributes_owed || self.rules.close == Close::Verified;
        let mut outcome = Ok(());
        if is_awaited && let Err(failure) = self.journal.flush().await {
            // The bytes are safe, and the journal has said what is wrong with it.
            tracing::warn!("what is known here of {} is not durable: {failure}", job.path);
            if older.is_some() {
                let why = format!(
                    "Files.com has it, but after a crash an older version would replace it: {failure}"
                );
                outcome = Err(Failure::new(failure.errno, why));
            }
        }
        if settled {
            self.make_room();
            self.space.progressed();
        }
        outcome
    }

    /// What is proven is kept for readers.
    async fn move_to_cache(&self, ino: Ino, id: ContentId) {
        let (store, taken) = (self.store.clone(), self.store.taken(id));
        let moved = matches!(on_disk(move || store.to_cache(id)).await, Ok(true));
        let mut core = self.core();
        let is_here = core.tree.file(ino).is_ok_and(|file| file.local.id() == Some(id));
        if is_here && moved {
            // Counted once it is there: until then it takes room in the spool.
            core.cached.note(ino, taken);
            return;
        }
        if is_here {
            // Another disk: it is cheaper to fetch it again when somebody wants it.
            core.cached.remove(ino);
            if let Ok(file) = core.tree.file_mut(ino) {
                file.local = Local::Nowhere;
                // What comes next time can only be compared as a whole: the kernel must not have a part of it.
                file.stale_pages = true;
                let _ = self.stale.send(Stale::Inode(ino));
            }
        }
        drop(core);
        // It was emptied or deleted while it moved, and nobody else knows where it is now.
        self.drop_content(id);
    }

    /// What came into the spool to be written to, and was not, goes back to the cache: there it is counted, and may be
    /// let go. For whoever has the `publishing` turn of the file.
    pub(super) async fn put_back(&self, ino: Ino) {
        let id = {
            let mut core = self.core();
            let Ok(file) = core.tree.file_mut(ino) else { return };
            let is_idle = *file.content.state() == State::Clean && file.writers == 0;
            let Local::Spooled(id) = file.local else { return };
            if !is_idle {
                return;
            }
            file.local = Local::Cached(id, ReadAhead::whole(file.size));
            id
        };
        self.move_to_cache(ino, id).await;
        self.make_room();
    }

    /// The journal forgets what it was told of a file that is proven; of most small files that a close waited for, that
    /// is nothing. Answers with older bytes that it knew instead.
    fn forget_noted(&self, job: &Job, noted: Option<Noted>) -> Option<ContentId> {
        let was_begun = self.settled(job.id);
        let mut core = self.core();
        let told = match core.tree.file_mut(job.ino) {
            // Newer bytes are noted by now, which settled these.
            Ok(file) if file.noted != noted => None,
            Ok(file) => file.noted.take(),
            Err(_) => noted,
        };
        let told = told.map(|noted| noted.id);
        if was_begun || told == Some(job.id) {
            self.journal.note(Fact::Settled(job.id));
        }
        told.filter(|older| *older != job.id)
    }

    /// The same where others have written meanwhile: what was noted is owed no more where it is no newer than what is
    /// proven. What others write into the same bytes is noted with them, and stays.
    fn forget_older(&self, job: &Job) -> Option<ContentId> {
        let mut core = self.core();
        let file = core.tree.file_mut(job.ino).ok()?;
        let here = file.local.id();
        file.noted
            .take_if(|noted| noted.revision <= job.revision && here != Some(noted.id))
            .map(|noted| noted.id)
    }

    /// What the completed entity shows of the site's habits. True where attributes must still be sent: whoever closed
    /// the file is answered once that is durable.
    fn learn(&self, core: &mut Core, ino: Ino, entry: &Entry, sent: Attributes) -> bool {
        if entry.provided.is_none() && core.habits.keeps_mtime {
            core.habits.keeps_mtime = false;
            tracing::warn!(
                "this site does not keep modification times by itself, they go into the metadata; other clients \
                 see them only with 'use provided modified at' turned on in the site's settings"
            );
        }
        let wanted = match core.tree.node(ino) {
            Ok(node) => self.metadata(core, node),
            Err(_) => return false,
        };
        let ours = |metadata: &BTreeMap<String, String>| {
            metadata
                .clone()
                .into_iter()
                .filter(|(key, value)| is_ours(key, value))
                .collect::<BTreeMap<_, _>>()
        };
        let metadata_arrived = ours(&wanted) == ours(&entry.metadata);
        let is_as_sent = core.tree.node(ino).is_ok_and(|node| node.attributes == sent);
        let is_told_nothing = !metadata_arrived && is_as_sent && entry.metadata.is_empty();
        if is_told_nothing && core.habits.takes_metadata_at_completion {
            core.habits.takes_metadata_at_completion = false;
            tracing::info!("this site does not take metadata with an upload; each file costs one more call");
        }
        if metadata_arrived && is_as_sent {
            self.attributes_arrived(core, ino);
            return false;
        }
        if let Ok(node) = core.tree.node_mut(ino) {
            node.attributes_owed = true;
        }
        let fact = self.entry_fact(core, ino).map(Fact::Entry);
        core.queue.schedule(Errand::Attributes(ino), Instant::now());
        self.errands.notify_one();
        let attributes_owed = fact.is_some();
        self.journal.note_all(fact.into_iter().collect());
        attributes_owed
    }

    /// Publication failed: the debt is kept durably, told at the next close, and tried again unless it
    /// was refused for good. `tried` is the revision that was: bytes that were closed since are neither held nor failed.
    pub(super) async fn give_up(
        &self,
        ino: Ino,
        ending: Ending,
        tried: Option<Revision>,
    ) -> Result<(), Failure> {
        let failure = ending.why().clone();
        let path = {
            let mut core = self.core();
            let path = core.tree.path(ino);
            let Ok(file) = core.tree.file_mut(ino) else { return Err(failure) };
            let is_overtaken = file.content.owed() != tried;
            match &ending {
                Ending::Refused(_) if is_overtaken => {}
                Ending::Refused(_) => {
                    tried.into_iter().for_each(|revision| file.content.refused(revision));
                    file.failure = Some(failure.clone());
                    core.queue.forget(Errand::Publish(ino));
                }
                Ending::Later(_) if file.content.is_owed() => {
                    file.failure = Some(failure.clone());
                    core.queue.failed(Errand::Publish(ino), Instant::now());
                }
                Ending::Later(_) => {}
            }
            path
        };
        self.errands.notify_one();
        self.space.changed();
        let next = match ending {
            Ending::Refused(_) => "it is kept here until it is written, closed or deleted again",
            Ending::Later(_) => "it is kept here and tried again",
        };
        if let Some(path) = path.filter(|_| self.complaints.is_told(About::Files, &failure)) {
            tracing::error!("{path} is not on Files.com: {failure}; {next}");
        }
        self.keep_what_is_owed(ino).await?;
        Err(failure)
    }
}
