//! Steps: changes of names that are facts here, and are made on Files.com in the background, in order.
//!
//! In `close=journaled` a mkdir, a delete or a rename of something published becomes a step. Whoever
//! plans one has the turns of the names concerned, so that no upload is being completed under them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::complaints::About;
use super::copy::Copied;
use super::core::{Core, Errand};
use super::job::{Ending, Trouble};
use super::{Filesystem, told};
use crate::local::failpoint;
use crate::local::journal::Fact;
use crate::model::backlog::{Pending, Standing, Step};
use crate::model::copied::Original;
use crate::model::failure::Failure;
use crate::model::path::RemotePath;
use crate::model::proof::Fingerprint;
use crate::remote::{self, Deadline, Deleted, ErrorKind};

/// How long a move may go on that was asked for by a mount that ended, or whose answer was lost.
const MOVE_GOES_ON: Duration = Duration::from_secs(10);
/// How soon those who wait for a step look again without being told.
const PATIENCE: Duration = Duration::from_secs(1);

/// How a step ended that needs to be taken no more.
enum Made {
    /// Files.com has it as it was asked for.
    AsAsked,
    /// The same of a copy, of which this is known.
    Copied(Copied),
    /// Somebody else was there: Files.com has something else than the tree says.
    Otherwise,
}

impl Filesystem {
    /// Plans a step; true for the next mount once the fact is committed.
    pub(super) fn put_off(&self, core: &mut Core, step: Step) -> Fact {
        let number = core.backlog.push(step.clone());
        if core.backlog.is_ready(number) {
            core.queue.schedule(Errand::Step(number), Instant::now());
            self.errands.notify_one();
        }
        Fact::Planned(number, step)
    }

    /// Plans to delete an empty folder; one that Files.com was not asked to make yet is just not made.
    pub(super) fn put_off_rmdir(&self, core: &mut Core, path: RemotePath) -> Fact {
        match core.backlog.unmade(&path) {
            Some(number) => {
                core.queue.forget(Errand::Step(number));
                self.step_ended(core, number);
                Fact::Taken(number)
            }
            None => self.put_off(core, Step::RemoveFolder(path)),
        }
    }

    /// Takes one step on Files.com.
    pub(super) async fn take_step(&self, number: u64) -> Result<(), Failure> {
        let Some((step, doubtful)) = self.core().backlog.begin(number) else { return Ok(()) };
        failpoint::reach("step.begun");
        // What it is planned with becomes true with it: Files.com must not hear of it before the disk has it.
        let done = match self.journal.flush().await {
            Ok(()) => self.make_true(&step, doubtful).await,
            Err(failure) => Err(failure.into()),
        };
        match done {
            Ok(made) => {
                failpoint::reach("step.there");
                // Durable before anything that waits for it: after a crash, only a step that nothing was
                // built upon is in doubt.
                let noted = self.journal.commit(Fact::Taken(number)).await;
                failpoint::reach("step.noted");
                let mut core = self.core();
                if let Err(failure) = noted {
                    // The next mount takes it again: nothing may be built upon it until the journal knows.
                    core.backlog.failed(number, failure.clone());
                    return Err(failure);
                }
                self.step_ended(&mut core, number);
                if matches!(made, Made::Otherwise) {
                    // Not before it ended: a listing that comes in until then is read as if it will have been made.
                    self.list_again(&mut core, step.path());
                }
                if let (Made::Copied(copied), Step::Copy { to, version, .. }) = (&made, &step) {
                    // In the same breath: from here on, the bytes are asked for at the copy, also those of its copies.
                    let path = core.backlog.destiny(number, to);
                    core.tree
                        .at(&path)
                        .into_iter()
                        .for_each(|ino| self.copy_arrived(&mut core, ino, version, copied));
                    self.copies_follow(&mut core, (number, to), version, copied);
                }
                Ok(())
            }
            Err(trouble) => match trouble.ending() {
                Ending::Refused(failure) => {
                    if self.complaints.is_told(About::Steps, &failure) {
                        tracing::error!("Files.com refused to {step}: {failure}; it is kept here");
                    }
                    self.core().backlog.hold(number, failure);
                    Ok(())
                }
                Ending::Later(failure) => {
                    if self.complaints.is_told(About::Steps, &failure) {
                        tracing::warn!("cannot {step} on Files.com yet: {failure}; it is tried again");
                    }
                    self.core().backlog.failed(number, failure.clone());
                    Err(failure)
                }
            },
        }
    }

    /// A step was taken or given up: what waited for it goes on.
    pub(super) fn step_ended(&self, core: &mut Core, number: u64) {
        let now = Instant::now();
        for ready in core.backlog.remove(number) {
            core.queue.schedule(Errand::Step(ready), now);
        }
        for errand in core.waiting.take(number) {
            core.queue.schedule(errand, now);
        }
        self.errands.notify_one();
    }

    async fn make_true(&self, step: &Step, doubtful: bool) -> Result<Made, Trouble> {
        match step {
            Step::Copy { from, to, version } => {
                let original = Original::from(*version);
                let copy = self.core().tree.at(to);
                match self.copy_there(from, to, &original, copy, doubtful).await {
                    // The source is gone: somebody else took it away.
                    Err(Trouble::Later(failure)) if failure.errno == libc::ENOENT => {
                        Err(Trouble::Refused(failure))
                    }
                    copied => copied.map(Made::Copied),
                }
            }
            Step::Make(path) => {
                // Under its first path, if it is still there; else it goes without a time.
                let folder = self.core().tree.at(path);
                let time = folder.and_then(|folder| self.time_of(folder));
                match self.remote.create_folder(path, time).await.map_err(of_names)? {
                    Some(_) => Ok(Made::AsAsked),
                    None => self.adopt(path).await.map(|()| Made::AsAsked),
                }
            }
            Step::Delete { path, version } => self.delete_version(path, version).await,
            Step::RemoveFolder(path) => match self.delete_folder(path).await {
                Err(failure) if failure.errno == libc::ENOTEMPTY => {
                    tracing::warn!("{path} stays: somebody else put something in since it was deleted here");
                    Ok(Made::Otherwise)
                }
                other => Ok(other.map(|()| Made::AsAsked)?),
            },
            Step::Move { from, to, overwrite } => self.move_once(from, to, *overwrite, doubtful).await,
        }
    }

    /// Deletes a file, which may have waited for long: what was put there since by somebody else stays.
    async fn delete_version(&self, path: &RemotePath, version: &Fingerprint) -> Result<Made, Trouble> {
        let there = self.remote.stat(path).await?;
        let deleted = match there {
            None => Deleted::Gone,
            Some(there) if !version.may_be(&there.fingerprint()) => Deleted::Replaced,
            Some(_) => self.remote.delete(path, Some(version)).await?,
        };
        if deleted == Deleted::Replaced {
            tracing::warn!("{path} was replaced by somebody else since it was deleted here; it stays");
            return Ok(Made::Otherwise);
        }
        Ok(Made::AsAsked)
    }

    /// Something is in the way of a new folder: somebody else's folder is as good as ours.
    async fn adopt(&self, path: &RemotePath) -> Result<(), Trouble> {
        let there = self.remote.stat(path).await?;
        if there.is_some_and(|entry| entry.kind == crate::model::entry::Kind::Folder) {
            return Ok(());
        }
        Err(Trouble::Refused(Failure::new(
            libc::EEXIST,
            "somebody else has put a file there; rename or delete it there, then retry",
        )))
    }

    async fn move_once(
        &self,
        from: &RemotePath,
        to: &RemotePath,
        overwrite: bool,
        doubtful: bool,
    ) -> Result<Made, Trouble> {
        self.nothing_begins_below(from).await.map_err(Failure::from)?;
        if doubtful && self.remote.stat(from).await?.is_none() {
            return self.moved_already(from, to, MOVE_GOES_ON).await;
        }
        match self.remote.rename(from, to, overwrite).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.moved_already(from, to, Duration::ZERO).await
            }
            other => other.map(|()| Made::AsAsked).map_err(of_names),
        }
    }

    /// The source of a rename is gone: it was carried out, or somebody else took it away. Where it was asked for before,
    /// it may be going on for a while, and then neither name is there.
    async fn moved_already(
        &self,
        from: &RemotePath,
        to: &RemotePath,
        wait: Duration,
    ) -> Result<Made, Trouble> {
        let (deadline, mut pause) = (Instant::now() + wait, Duration::from_millis(20));
        while self.remote.stat(to).await?.is_none() {
            if Instant::now() >= deadline {
                tracing::warn!("{from} was removed by somebody else before it could be renamed to {to}");
                return Ok(Made::Otherwise);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
        Ok(Made::AsAsked)
    }

    /// Files.com has something else than the tree says: its folder is listed again by the next who asks.
    pub(super) fn look_again(&self, path: &RemotePath) {
        self.list_again(&mut self.core(), path);
    }

    fn list_again(&self, core: &mut Core, path: &RemotePath) {
        let Some(folder) = path.parent().and_then(|folder| core.tree.at(&folder)) else { return };
        if let Ok(folder) = core.tree.folder_mut(folder) {
            folder.removed.clear();
            folder.grow_stale(Instant::now(), self.rules.dir_ttl);
        }
    }

    /// May something be sent to `path` now? If not, `errand` is planned for when the steps in its way
    /// are taken.
    pub(super) fn is_clear(&self, core: &mut Core, path: &RemotePath, errand: Errand) -> bool {
        let Some(number) = core.backlog.last_at(path) else { return true };
        core.waiting.put(errand, number);
        false
    }

    /// Waits until no step touches these paths: for whoever answers only when Files.com has done it.
    ///
    /// # Errors
    /// Why a step on the way was refused: it is there until a person decides. Or what is still to be made, and why it
    /// fails, when none of them ends for the network timeout.
    pub(super) async fn until_clear(&self, paths: &[&RemotePath]) -> Result<(), Failure> {
        let patience = self.rules.network_timeout;
        let call = Deadline::current();
        let end_of = |now: Instant| {
            let end = call.as_ref().and_then(Deadline::end);
            end.map_or(now + patience, |end| end.into_std())
        };
        let (mut ahead, mut deadline) = (usize::MAX, Instant::now());
        loop {
            let outcome = self.outcomes.notified();
            tokio::pin!(outcome);
            // Asked for before the look, so that no outcome is missed.
            outcome.as_mut().enable();
            {
                let core = self.core();
                if paths.iter().all(|path| core.backlog.last_at(path).is_none()) {
                    return Ok(());
                }
                if let Some((step, failure)) = paths.iter().find_map(|path| core.backlog.refusal_before(path))
                {
                    let why = format!("an earlier change waits for a decision: {step}: {failure}");
                    return Err(Failure::new(failure.errno, why));
                }
                let now = Instant::now();
                if now >= deadline {
                    let steps: BTreeSet<u64> =
                        paths.iter().flat_map(|path| core.backlog.ahead_of(path)).collect();
                    if steps.len() < ahead {
                        if let Some(call) = call.as_ref().filter(|_| ahead != usize::MAX) {
                            call.progressed(now.into());
                        }
                        (ahead, deadline) = (steps.len(), end_of(now));
                    } else {
                        let pending = || steps.iter().filter_map(|step| core.backlog.get(*step));
                        pending().try_for_each(not_failed)?;
                        // One that is being made may be a large folder that moves; it has a time of its own.
                        let is_being_made = |step: &Pending| matches!(step.standing, Standing::Running);
                        if let Some(step) = pending().next().filter(|_| !pending().any(is_being_made)) {
                            let why = format!("an earlier change is not made yet: {}", step.step);
                            return Err(Failure::new(libc::ETIMEDOUT, why));
                        }
                    }
                }
            }
            let end = if deadline > Instant::now() { deadline } else { Instant::now() + patience };
            let _ = tokio::time::timeout_at(end.into(), outcome).await;
        }
    }

    /// Something that steps bring to `path` was at none of its places, at which Files.com was asked when `ended` steps had
    /// ended. Waits until one of them has, where one is under way or in doubt, which makes another look worthwhile. False
    /// when there is none: then it is gone. Nothing is lost when the wait is given up.
    ///
    /// # Errors
    /// ETIMEDOUT when nobody knows more at `deadline`.
    pub(super) async fn doubt_ends(
        &self,
        path: &RemotePath,
        ended: u64,
        deadline: Instant,
    ) -> Result<bool, Failure> {
        loop {
            let outcome = self.outcomes.notified();
            tokio::pin!(outcome);
            outcome.as_mut().enable();
            {
                let core = self.core();
                if core.backlog.ended() != ended {
                    return Ok(true);
                }
                if core.backlog.under_way() == 0 && !core.backlog.is_in_doubt(path) {
                    return Ok(false);
                }
                if Instant::now() >= deadline && core.backlog.under_way() == 0 {
                    let why = format!("what an earlier change has made of {path} is not known yet");
                    return Err(Failure::new(libc::ETIMEDOUT, why));
                }
            }
            let _ = tokio::time::timeout(PATIENCE, outcome).await;
        }
    }
}

/// For who has waited for this step long enough.
fn not_failed(pending: &Pending) -> Result<(), Failure> {
    let Standing::Failed(failure) = &pending.standing else { return Ok(()) };
    let why = format!("an earlier change is not made yet: cannot {}: {failure}", pending.step);
    Err(Failure::new(failure.errno, why))
}

/// What an answer to a change of names means: a folder that is missing above is not made by waiting.
fn of_names(error: remote::Error) -> Trouble {
    match error.kind() {
        ErrorKind::ParentMissing => Trouble::Refused(told(&error)),
        _ => error.into(),
    }
}
