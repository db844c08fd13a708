//! What happens without a caller: temporary names after their hold, failed uploads after a pause,
//! attributes after they were merged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::core::Errand;
use super::publish::Asked;
use super::{Close, Filesystem};
use crate::local::failpoint;
use crate::model::failure::Failure;
use crate::model::fair::Urgency;
use crate::model::ino::Ino;
use crate::model::queue::Kinds;
use crate::remote::with_urgency;

/// How often Files.com is looked for while it cannot be reached.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

impl Filesystem {
    /// Carries out what is planned, for as long as the mount lives.
    pub async fn run_errands(self: Arc<Self>) {
        loop {
            let (due, next) = {
                let mut core = self.core();
                // Nobody else takes of it, so there will not be less.
                let due = core.queue.take_due(Instant::now(), |kind| self.room(kind).available_permits());
                for errand in &due {
                    self.room(errand.kind()).forget_permits(1);
                }
                (due, core.queue.next(|kind| self.room(kind).available_permits() > 0))
            };
            for errand in due {
                let filesystem = self.clone();
                tokio::spawn(with_urgency(Urgency::Background, async move {
                    filesystem.carry_out(errand).await;
                }));
            }
            let pause = next.map_or(Duration::from_secs(3600), |at| at.duration_since(Instant::now()));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.errands.notified() => {}
            }
        }
    }

    /// Looks for Files.com while it cannot be reached, and lets everything go on once it can: a pause
    /// after a failure may be long by then.
    pub async fn keep_in_touch(self: Arc<Self>) {
        let mut reach = self.reach.clone();
        loop {
            if reach.wait_for(|reached| !reached).await.is_err() {
                return;
            }
            let since = Instant::now();
            tracing::warn!("Files.com cannot be reached; what is owed is kept here, and sent when it can be");
            while !*reach.borrow_and_update() {
                tokio::time::sleep(LOOK_AGAIN).await;
                // Whatever the answer: that there is one is noted on the way.
                let _ = self.remote.probe_list(&self.rules.folder).await;
            }
            let seconds = since.elapsed().as_secs();
            tracing::info!("Files.com can be reached again, after {seconds} s; what waited goes on");
            self.try_again();
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
                if let Some(path) = path {
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

/// Room for one errand, given back when it ends, however it does.
struct Taken<'a>(&'a Semaphore);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}
