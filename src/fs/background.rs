//! What happens without a caller: temporary names after their hold, failed uploads after a pause,
//! attributes after they were merged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::complaints::About;
use super::core::Errand;
use super::publish::Asked;
use super::{Close, Filesystem};
use crate::local::failpoint;
use crate::model::cause::{Cause, Causes};
use crate::model::failure::Failure;
use crate::model::fair::Urgency;
use crate::model::ino::Ino;
use crate::model::queue::Kinds;
use crate::remote::{Deadline, with_urgency};

/// How often Files.com is looked for while it serves nobody; how often a file is sent while it has no room.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

impl Filesystem {
    /// Carries out what is planned, for as long as the mount lives.
    pub async fn run_errands(self: Arc<Self>) {
        let (mut causes, mut looked) = (self.remote.causes(), None);
        loop {
            let stopped = Stopped::by(&causes.borrow_and_update(), &mut looked);
            let (due, next) = {
                let mut core = self.core();
                // Nobody else takes of it, so there will not be less.
                let room = |kind| stopped.room(kind).min(self.room(kind).available_permits());
                let due = core.queue.take_due(Instant::now(), room);
                for errand in &due {
                    self.room(errand.kind()).forget_permits(1);
                }
                let next =
                    core.queue.next(|kind| stopped.is_free(kind) && self.room(kind).available_permits() > 0);
                (due, next)
            };
            if stopped.looks(&due) {
                looked = Some(Instant::now());
            }
            for errand in due {
                let filesystem = self.clone();
                let deadline = Deadline::of_errand(self.rules.network_timeout);
                tokio::spawn(with_urgency(
                    Urgency::Background,
                    deadline.scope(async move { filesystem.carry_out(errand).await }),
                ));
            }
            let pause = next.map_or(Duration::from_secs(3600), |at| at.duration_since(Instant::now()));
            // Each of them only says that it is time to look again; the next look sees what the others said.
            tokio::select! {
                () = tokio::time::sleep(stopped.until_next().map_or(pause, |next| pause.min(next))) => {}
                () = self.errands.notified() => {}
                _ = causes.changed() => {}
            }
        }
    }

    /// Looks for Files.com when it is doubtful whether it serves anybody, and from time to time while it does not, on
    /// behalf of all; and lets everything go on once it does: a pause after a failure may be long by then.
    pub async fn keep_in_touch(self: Arc<Self>) {
        let mut causes = self.remote.causes();
        let (mut before, mut looked, mut is_doubtful) = (0, None::<Instant>, false);
        loop {
            let (there, is_stopped) = {
                let causes = causes.borrow_and_update();
                (causes.iter().count(), causes.stops_everything().is_some())
            };
            if there < before {
                self.try_again();
            }
            before = there;
            // However many find nobody, there is one look an interval.
            let pause = looked.map_or(Duration::ZERO, |looked| {
                (looked + LOOK_AGAIN).saturating_duration_since(Instant::now())
            });
            // Each of them is an occasion, and loses nothing when another one comes first: a doubt is remembered.
            let is_due = is_stopped || is_doubtful;
            tokio::select! {
                () = self.remote.until_doubtful(), if !is_due => is_doubtful = true,
                () = tokio::time::sleep(pause), if is_due => {
                    is_doubtful = false;
                    // Whatever the answer: what it means is noted on the way.
                    let _ = self.remote.look_for_it(&self.rules.folder).await;
                    looked = Some(Instant::now());
                }
                changed = causes.changed() => if changed.is_err() {
                    return;
                },
            }
        }
    }

    /// What kept Files.com from taking what is owed may be gone: what failed is tried again now.
    pub fn try_again(&self) {
        self.core().queue.hurry_failed(Instant::now());
        self.errands.notify_one();
    }

    /// The room of a kind of errands.
    fn room(&self, kind: usize) -> &Semaphore {
        &self.rooms[kind]
    }

    /// One errand, for which room was taken.
    async fn carry_out(&self, errand: Errand) {
        let room = Taken(self.room(errand.kind()));
        let place = match errand {
            // Others wait for steps: those get places of their own.
            Errand::Step(number) => self.remote.place_for_step(number).await,
            Errand::Publish(ino) | Errand::Attributes(ino) => self.remote.place_for_file(ino.0).await,
            Errand::TakeUp => self.remote.place_for_file(0).await,
        };
        failpoint::reach("errand.begun");
        let outcome = match errand {
            Errand::Publish(ino) => self.publish_now(ino).await,
            Errand::Attributes(ino) => self.push_attributes(ino).await,
            Errand::Step(number) => self.take_step(number).await,
            Errand::TakeUp => self.take_up_rest().await,
        };
        failpoint::reach("errand.done");
        let mut core = self.core();
        match (outcome, errand) {
            (Ok(()), _) => core.queue.done(errand),
            // Publication of a file plans its own next attempt, or none when it was refused.
            (Err(_), Errand::Step(_) | Errand::TakeUp) => core.queue.failed(errand, Instant::now()),
            (Err(_), Errand::Publish(_)) => core.queue.undone(errand, Instant::now()),
            (Err(failure), Errand::Attributes(ino)) => {
                let path = core.tree.path(ino);
                core.queue.failed(errand, Instant::now());
                if let Some(path) = path.filter(|_| self.complaints.is_told(About::Attributes, &failure)) {
                    tracing::warn!("attributes of {path} are sent later: {failure}");
                }
            }
        }
        drop(core);
        drop((place, room));
        self.errands.notify_one();
        self.outcomes.notify_waiters();
    }

    /// Publishes under whatever name it has: a hold has ended, or the mount does.
    pub(super) async fn publish_now(&self, ino: Ino) -> Result<(), Failure> {
        let is_folder = {
            let mut core = self.core();
            if core.is_in_use(ino) {
                return Ok(());
            }
            let Ok(node) = core.tree.node_mut(ino) else { return Ok(()) };
            if node.parent.is_none() {
                return Ok(());
            }
            if let Some(file) = node.file_mut() {
                file.temporary = false;
            }
            node.is_folder()
        };
        self.look_for_folders_of(ino).await?;
        if self.rules.close == Close::Journaled {
            self.plan_folders_of(ino).await?;
        }
        if is_folder {
            return match self.rules.close {
                Close::Verified => self.publish_folder(ino).await,
                Close::Journaled => Ok(()),
            };
        }
        // Folders above that are only here come first.
        let topmost = self.core().tree.topmost_unpublished(ino);
        match topmost.filter(|topmost| *topmost != ino) {
            Some(topmost) => self.publish_folder(topmost).await,
            None => self.publish(ino, Asked::ByNobody).await,
        }
    }
}

/// What does not begin at the moment, since it would be in vain.
struct Stopped {
    everything: bool,
    /// Without room on Files.com: when the next file finds out whether there is some.
    sends: Option<Instant>,
}

impl Stopped {
    /// `looked`: when a file was let through last to find out whether there is room.
    fn by(causes: &Causes, looked: &mut Option<Instant>) -> Self {
        let everything = causes.stops_everything().is_some();
        let full = causes.get(Cause::Quota);
        if full.is_none() {
            *looked = None;
        }
        Self { everything, sends: full.map(|full| looked.unwrap_or(full.since) + LOOK_AGAIN) }
    }

    /// How many of a kind may begin.
    fn room(&self, kind: usize) -> usize {
        match self.sends {
            _ if self.everything => 0,
            Some(next) if kind == Errand::SENDS => usize::from(next <= Instant::now()),
            _ => usize::MAX,
        }
    }

    /// May any of a kind begin, as soon as it is due?
    fn is_free(&self, kind: usize) -> bool {
        self.room(kind) > 0
    }

    /// Is one of these let through to find out?
    fn looks(&self, due: &[Errand]) -> bool {
        self.sends.is_some() && due.iter().any(|errand| errand.kind() == Errand::SENDS)
    }

    fn until_next(&self) -> Option<Duration> {
        let next = self.sends.filter(|_| !self.everything)?;
        Some(next.saturating_duration_since(Instant::now())).filter(|until| !until.is_zero())
    }
}

/// Room for one errand, given back when it ends, however it does.
struct Taken<'a>(&'a Semaphore);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}
