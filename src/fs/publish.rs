//! Publication: from a sealed revision to a proof that Files.com holds it.

use std::time::{Duration, Instant};

use super::core::{Core, Errand, Progress};
use super::{Close, Filesystem};
use crate::local::failpoint;
use crate::model::failure::Failure;
use crate::model::fair::Urgency;
use crate::model::ino::Ino;
use crate::model::node::Local;
use crate::remote::no_more_urgent_than;

use super::job::{Ending, Job, Trouble};

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
        self.owe_again(ino).await?;
        let (mut mismatches, mut restarts, mut chases) = (0, 0, 0);
        let ending = loop {
            let Some(job) = self.begin(ino, asked) else { return self.stays_here(ino).await };
            if let Some(failure) = self.dropped(job.id) {
                self.core().uploading.remove(&ino);
                break Ending::Refused(failure);
            }
            let outcome = match self.has_seen_folder(ino).await {
                Ok(()) => no_more_urgent_than(Urgency::Close, self.attempt(&job)).await,
                Err(trouble) => Err(trouble),
            };
            self.core().uploading.remove(&ino);
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
                Err(Trouble::Overtaken) if chases < CHASES => chases += 1,
                Err(Trouble::Overtaken) if asked == Asked::ByNobody => {
                    // Nobody waits, and nothing failed: it is sent when it has come to rest.
                    self.schedule(Errand::Publish(ino), COMES_TO_REST);
                    return Ok(());
                }
                Err(Trouble::Overtaken) => {
                    let why = "it changes faster than it can be sent";
                    break Ending::Later(Failure::new(libc::EBUSY, why));
                }
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
        self.give_up(ino, ending).await
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

    /// Nothing is to be sent. What is owed under a name that is not published got that name while somebody waited for the
    /// old one: it is as durable as any file of such a name.
    async fn stays_here(&self, ino: Ino) -> Result<(), Failure> {
        let is_held_back = {
            let core = self.core();
            let is_attached = core.tree.node(ino).is_ok_and(|node| node.parent.is_some());
            let is_owed = core.tree.file(ino).is_ok_and(|file| file.content.is_owed());
            is_attached && is_owed && !core.may_publish(ino)
        };
        if is_held_back { self.make_durable(ino).await } else { Ok(()) }
    }

    /// Are the bytes of `job` still the newest, and wanted?
    pub(super) fn is_current(&self, job: &Job) -> bool {
        let core = self.core();
        core.may_publish(job.ino)
            && self.dropped(job.id).is_none()
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
        let proof = match self.prove(&path, &parcel.sent, &entry).await {
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
