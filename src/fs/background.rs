//! What happens without a caller: temporary names after their hold, failed uploads after a pause,
//! attributes after they were merged; and the end, when everything is due at once.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::core::{Core, Errand};
use super::publish::Asked;
use super::recover::Untaken;
use super::scope::{Scope, Within};
use super::status::Remainder;
use super::{Close, Filesystem};
use crate::local::failpoint;
use crate::model::failure::Failure;
use crate::model::fair::Urgency;
use crate::model::ino::Ino;
use crate::remote::with_urgency;

/// The least time between two looks of a drain at what is owed.
const DRAIN_PAUSE: Duration = Duration::from_millis(20);
/// How often Files.com is looked for while it cannot be reached.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

impl Filesystem {
    /// Carries out what is planned, for as long as the mount lives.
    pub async fn run_errands(self: Arc<Self>) {
        loop {
            let (due, next) = {
                let mut core = self.core();
                let due = core.queue.take_due(Instant::now());
                (due, core.queue.next())
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

    async fn carry_out(&self, errand: Errand) {
        let _place = match errand {
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

    /// Folders from `ino` up that are only here are planned on Files.com.
    async fn plan_folders_of(&self, ino: Ino) -> Result<(), Failure> {
        {
            let mut core = self.core();
            let Some(topmost) = core.tree.topmost_unpublished(ino) else { return Ok(()) };
            if !core.tree.node(topmost)?.is_folder() {
                return Ok(());
            }
            let facts = self.plan_folder(&mut core, topmost);
            self.journal.note_all(facts);
        }
        self.journal.flush().await
    }

    /// Sends everything that is owed, temporary names too, and waits for it; at most for `limit`.
    /// What is still owed then is told with its reason; it goes on in the background, and stays in
    /// the journal. What Files.com refused is not tried again: a person decides.
    pub async fn drain(&self, limit: Duration) -> Remainder {
        let Ok(remainder) = self.send_off(limit, |_| Ok::<_, Infallible>(Within::all())).await;
        remainder
    }

    /// The same for what is at and below one path.
    ///
    /// # Errors
    /// ENOENT when there is no such path, or none any more.
    pub async fn sync(&self, scope: &Scope, limit: Duration) -> Result<Remainder, Failure> {
        self.find_way(scope).await?;
        self.send_off(limit, |core| scope.look(core)).await
    }

    async fn send_off<E>(
        &self,
        limit: Duration,
        look: impl Fn(&Core) -> Result<Within, E>,
    ) -> Result<Remainder, E> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            // Asked for before the look, so that no outcome is missed.
            let outcome = self.outcomes.notified();
            tokio::pin!(outcome);
            outcome.as_mut().enable();
            let within = look(&self.core())?;
            if self.hurry(&within) == 0 || tokio::time::timeout_at(deadline, outcome).await.is_err() {
                return Ok(self.remainder_within(&within));
            }
            // Outcomes come in crowds, and each look costs a walk over all that is known.
            tokio::time::sleep(DRAIN_PAUSE).await;
        }
    }

    /// Makes everything due that may still succeed, and tells how much that is.
    fn hurry(&self, within: &Within) -> usize {
        let mut core = self.core();
        let concerned = within.steps(&core);
        let covers = |errand: Errand| match errand {
            Errand::Publish(ino) | Errand::Attributes(ino) => within.covers(&core, ino),
            Errand::Step(number) => concerned.contains(&number),
            Errand::TakeUp => true,
        };
        let files = core
            .owed()
            .filter(|(ino, _)| core.is_sendable(*ino))
            .map(|(ino, _)| Errand::Publish(ino))
            .filter(|errand| covers(*errand));
        let others = core.owed_otherwise().map(|ino| match core.tree.node(ino) {
            Ok(node) if node.is_published() => Errand::Attributes(ino),
            _ => Errand::Publish(ino),
        });
        // A file that is owed takes its attributes along.
        let travels = |ino: Ino| core.tree.file(ino).is_ok_and(|file| file.content.is_owed());
        let others = others.filter(|errand| covers(*errand)).filter(|errand| match errand {
            Errand::Attributes(ino) | Errand::Publish(ino) => !travels(*ino),
            Errand::Step(_) | Errand::TakeUp => true,
        });
        let steps = core.backlog.ready().into_iter().map(Errand::Step).filter(|errand| covers(*errand));
        let is_untaken =
            |(fact, failure): &(Untaken, Failure)| within.concerns(fact.path()) && !is_hopeless(failure);
        let untaken = core.untaken.iter().any(is_untaken).then_some(Errand::TakeUp);
        let errands: Vec<Errand> = steps.chain(untaken).chain(others).chain(files).collect();
        let under_way = core.backlog.under_way_among(&concerned);
        let (waiting, due): (Vec<_>, Vec<_>) =
            errands.into_iter().partition(|errand| core.waiting.step(*errand).is_some());
        let now = Instant::now();
        due.iter().for_each(|errand| core.queue.hurry(*errand, now));
        // What waits for a step that was refused waits for a person.
        let stuck = core.stuck();
        let is_hopeful =
            |errand: &&Errand| core.waiting.step(**errand).is_some_and(|step| !stuck.contains(&step));
        let hopeful = waiting.iter().filter(is_hopeful).count();
        drop(core);
        self.errands.notify_one();
        due.len() + hopeful + under_way
    }
}

/// A fact of an earlier mount that no further attempt will put back.
pub(super) fn is_hopeless(failure: &Failure) -> bool {
    matches!(failure.errno, libc::EINVAL | libc::ENOTDIR)
}
