//! Publication: from a sealed revision to a proof that Files.com holds it.

use std::time::{Duration, Instant};

use super::core::{Core, Errand, Progress};
use super::still::Still;
use super::{Close, Filesystem};
use crate::local::failpoint;
use crate::model::content::Revision;
use crate::model::failure::Failure;
use crate::model::fair::Urgency;
use crate::model::ino::Ino;
use crate::model::node::Local;
use crate::remote::no_more_urgent_than;

use super::job::{Ending, Job, Trouble, Wanted};

/// How often bytes are sent again that did not arrive as they left.
const MISMATCHES: u32 = 3;
/// How often an upload is begun afresh that the service lost.
const RESTARTS: u32 = 3;
/// How often bytes are gone after that others keep changing.
const CHASES: u32 = 16;
/// How long bytes are left alone after that, where nobody waits for them.
const COMES_TO_REST: Duration = Duration::from_secs(1);

/// Who wants a file published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// A caller waits for the proof of what it wrote, whoever else is writing: of this revision, or a newer one.
    ByClose(Revision),
    /// It is owed.
    ByNobody,
}

impl Filesystem {
    /// Publishes what is owed of a file and answers with the outcome. A failed file stays owed, is
    /// kept durably here, and is tried again.
    pub(super) async fn publish(&self, ino: Ino, asked: Asked) -> Result<(), Failure> {
        let _turn = match self.publishing.take(ino).await {
            Ok(turn) => turn,
            // Whoever is at it may have told why it does not go on.
            Err(late) => {
                if let Asked::ByClose(revision) = asked
                    && self.has_proven(ino, revision)
                {
                    return Ok(());
                }
                let known = self.core().tree.file(ino).ok().and_then(|file| file.failure.clone());
                return self.give_up(ino, Ending::Later(known.unwrap_or_else(|| late.into())), None).await;
            }
        };
        self.owe_again(ino).await?;
        let (mut mismatches, mut restarts, mut chases) = (0, 0, 0);
        let mut tried;
        let ending = loop {
            let still = match asked {
                // The upload that was waited for had these bytes, or newer ones.
                Asked::ByClose(revision) if self.has_proven(ino, revision) => return Ok(()),
                Asked::ByClose(_) => Some(self.keep_still(ino).await),
                Asked::ByNobody => None,
            };
            let is_last = chases >= CHASES;
            let Some(job) = self.begin(ino, asked, is_last) else { return self.stays_here(ino).await };
            tried = job.revision;
            if let Some(failure) = self.dropped(job.id) {
                self.core().uploading.remove(&ino);
                break Ending::Refused(failure);
            }
            let outcome = match self.has_seen_folder(ino).await {
                Ok(()) => no_more_urgent_than(Urgency::Close, self.attempt(&job)).await,
                Err(trouble) => Err(trouble),
            };
            self.is_sent_no_more(&job);
            drop(still);
            if matches!(outcome, Err(Trouble::Lost(_) | Trouble::PartSize(_) | Trouble::Mismatch(_))) {
                self.abandon_upload(job.id);
            }
            match outcome {
                Ok(()) => return Ok(()),
                // Files.com has it. What must not come back over it after a crash is another matter.
                Err(Trouble::Unnoted(failure)) => return Err(failure),
                Err(Trouble::Behind) if self.rules.close == Close::Verified => {
                    if let Err(failure) = self.until_clear(&[&job.path]).await {
                        break Ending::Later(failure);
                    }
                }
                Err(Trouble::Behind) => {
                    let mut core = self.core();
                    if let Some(path) = core.tree.path(ino)
                        && !self.is_clear(&mut core, &path, Errand::Publish(ino))
                    {
                        return Ok(());
                    }
                }
                Err(Trouble::Overtaken) if asked == Asked::ByNobody && is_last => {
                    // Nobody waits, and nothing failed: it is sent when it has come to rest.
                    self.schedule(Errand::Publish(ino), COMES_TO_REST);
                    return Ok(());
                }
                // A close keeps the bytes still that it sends; what overtakes it is another name, or another file.
                Err(Trouble::Overtaken) => chases += 1,
                Err(Trouble::Mismatch(failure)) => {
                    mismatches += 1;
                    tracing::warn!(
                        "{} did not arrive as it left (attempt {mismatches}): {failure}",
                        job.path
                    );
                    if mismatches == MISMATCHES {
                        break Ending::Refused(failure);
                    }
                }
                Err(Trouble::Lost(failure) | Trouble::Again(failure)) => {
                    restarts += 1;
                    tracing::warn!("{} is sent once more (attempt {restarts}): {failure}", job.path);
                    if restarts == RESTARTS {
                        break Ending::Later(failure);
                    }
                }
                Err(Trouble::PartSize(failure)) => {
                    restarts += 1;
                    if restarts == RESTARTS {
                        break Ending::Refused(failure);
                    }
                    // For the rest of the mount: the next file would meet the same.
                    self.core().habits.grants_parts = true;
                    tracing::warn!(
                        "{} is sent in smaller parts, and so is what follows: {failure}",
                        job.path
                    );
                }
                Err(Trouble::Later(failure)) => break Ending::Later(failure),
                Err(Trouble::Refused(failure)) => break Ending::Refused(failure),
            }
        };
        self.give_up(ino, ending, Some(tried)).await
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

    /// An attempt has ended: bytes that stayed for it alone go.
    fn is_sent_no_more(&self, job: &Job) {
        let is_replaced = {
            let mut core = self.core();
            core.uploading.remove(&job.ino);
            core.tree.file(job.ino).is_ok_and(|file| {
                let is_noted = file.noted.is_some_and(|noted| noted.id == job.id);
                file.local.id() != Some(job.id) && !is_noted
            })
        };
        if is_replaced {
            self.drop_content(job.id);
        }
    }

    fn has_proven(&self, ino: Ino, revision: Revision) -> bool {
        self.core().tree.file(ino).is_ok_and(|file| file.content.is_proven(revision))
    }

    /// The newest bytes, sealed; `None` when nothing is owed or nothing may be published. `is_last`: they are sent
    /// though newer ones should come to be whole meanwhile.
    fn begin(&self, ino: Ino, asked: Asked, is_last: bool) -> Option<Job> {
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
        let wanted = match asked {
            Asked::ByNobody => Wanted::WhileNewest,
            Asked::ByClose(_) if is_last => Wanted::AnyCase,
            Asked::ByClose(_) => Wanted::UntilNewerIsWhole,
        };
        let job = Job { ino, revision, id, path, size: file.size, replaces: file.published, wanted };
        if let Some(still) = core.still.get_mut(&ino) {
            *still = Still::Below(job.size);
            self.writes.notify_waiters();
        }
        let awaited = (asked != Asked::ByNobody).then_some(id);
        core.uploading.insert(ino, Progress { size: job.size, awaited, ..Progress::default() });
        Some(job)
    }

    /// Nothing is to be sent. What is owed under a name that is not published got that name while somebody waited for the
    /// old one: it is as durable as any file of such a name.
    async fn stays_here(&self, ino: Ino) -> Result<(), Failure> {
        let is_held_back = {
            let core = self.core();
            let is_attached = core.tree.node(ino).is_ok_and(|node| node.parent.is_some());
            let is_owed = core.tree.file(ino).is_ok_and(|file| file.content.is_owed());
            is_attached && is_owed && !core.may_publish(ino)
        };
        self.put_back(ino).await;
        if is_held_back { self.make_durable(ino).await } else { Ok(()) }
    }

    /// Are the bytes of `job` still to be sent, completed and called the file?
    pub(super) fn is_wanted(&self, job: &Job) -> bool {
        let core = self.core();
        let Ok(file) = core.tree.file(job.ino) else { return false };
        if !core.may_publish(job.ino) || self.dropped(job.id).is_some() {
            return false;
        }
        let is_here = file.local.id() == Some(job.id);
        match job.wanted {
            Wanted::WhileNewest => is_here && file.content.is_current(job.revision),
            // They were kept still while they were read, and others appended, or began another file.
            Wanted::UntilNewerIsWhole => is_here || !file.content.is_whole(),
            Wanted::AnyCase => true,
        }
    }

    /// Comes back when nobody wants `job` any more.
    async fn until_unwanted(&self, job: &Job) {
        self.until(job, || !self.is_wanted(job)).await;
    }

    /// Comes back when the file of `job` has no name any more.
    async fn until_removed(&self, job: &Job) {
        self.until(job, || self.core().tree.node(job.ino).is_ok_and(|node| node.parent.is_none())).await;
    }

    async fn until(&self, job: &Job, is_so: impl Fn() -> bool) {
        let Some(news) = self.core().uploading.get(&job.ino).map(|progress| progress.news.clone()) else {
            return;
        };
        loop {
            let told = news.notified();
            tokio::pin!(told);
            told.as_mut().enable();
            if is_so() {
                return;
            }
            told.await;
        }
    }

    async fn attempt(&self, job: &Job) -> Result<(), Trouble> {
        if self.core().backlog.last_at(&job.path).is_some() {
            return Err(Trouble::Behind);
        }
        let parcel = tokio::select! {
            biased;
            parcel = self.send(job) => parcel?,
            // Parts that are under way are broken off: what they take of line, disk and memory is free.
            () = self.until_unwanted(job) => return Err(Trouble::Overtaken),
        };
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
        let proven = tokio::select! {
            biased;
            proven = self.prove(&path, &parcel.sent, &entry) => proven,
            () = self.until_removed(job) => return Err(Trouble::Overtaken),
        };
        let proof = match proven {
            // Renamed or replaced here while its proof was awaited: nobody else took it away.
            Err(Trouble::Lost(_)) if self.core().tree.path(job.ino).as_ref() != Some(&path) => {
                return Err(Trouble::Overtaken);
            }
            proven => proven?,
        };
        failpoint::reach("publish.proven");
        self.settle(job, &proof, entry, attributes).await.map_err(Trouble::Unnoted)
    }
}
