//! What happens without a caller: temporary names after their hold, failed uploads after a pause,
//! attributes after they were merged; and the end, when everything is due at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Filesystem;
use super::core::Errand;
use super::status::Remainder;
use crate::local::failpoint;
use crate::model::content::State;
use crate::model::ino::Ino;

/// The least time between two looks of a drain at what is owed.
const DRAIN_PAUSE: Duration = Duration::from_millis(20);

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
                tokio::spawn(async move { filesystem.carry_out(errand).await });
            }
            let pause = next.map_or(Duration::from_secs(3600), |at| at.duration_since(Instant::now()));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.errands.notified() => {}
            }
        }
    }

    async fn carry_out(&self, errand: Errand) {
        let _room = self.background.acquire().await;
        failpoint::reach("errand.begun");
        let outcome = match errand {
            Errand::Publish(ino) => self.publish_now(ino).await,
            Errand::Attributes(ino) => self.push_attributes(ino).await,
        };
        failpoint::reach("errand.done");
        let mut core = self.core();
        match (outcome, errand) {
            (Ok(()), _) => core.queue.done(errand),
            // Publication of a file plans its own next attempt, or none when it was refused.
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
    async fn publish_now(&self, ino: Ino) -> Result<(), crate::model::failure::Failure> {
        let is_folder = {
            let mut core = self.core();
            let is_open = core.has_writer(ino);
            let Ok(node) = core.tree.node_mut(ino) else { return Ok(()) };
            if node.parent.is_none() {
                return Ok(());
            }
            if let Some(file) = node.file_mut() {
                if file.is_being_written() || (file.temporary && is_open) {
                    // Half a file would be published over a whole one: its last close publishes, or plans.
                    return Ok(());
                }
                file.temporary = false;
            }
            node.is_folder()
        };
        if is_folder {
            return self.publish_folder(ino).await;
        }
        // Folders above that are only here come first.
        let above: Vec<Ino> = {
            let core = self.core();
            let parents =
                std::iter::successors(core.tree.node(ino).ok().and_then(|node| node.parent), |at| {
                    core.tree.node(*at).ok().and_then(|node| node.parent)
                });
            parents.filter(|at| core.tree.node(*at).is_ok_and(|node| !node.is_published())).collect()
        };
        if let Some(topmost) = above.last() {
            return self.publish_folder(*topmost).await;
        }
        self.publish(ino).await
    }

    /// Sends everything that is owed, temporary names too, and waits for it; at most for `limit`.
    /// What is still owed then is told with its reason; it goes on in the background, and stays in
    /// the journal. What Files.com refused is not tried again: a person decides.
    pub async fn drain(&self, limit: Duration) -> Remainder {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            // Asked for before the look, so that no outcome is missed.
            let outcome = self.outcomes.notified();
            tokio::pin!(outcome);
            outcome.as_mut().enable();
            if self.hurry() == 0 || tokio::time::timeout_at(deadline, outcome).await.is_err() {
                return self.remainder();
            }
            // Outcomes come in crowds, and each look costs a walk over all that is known.
            tokio::time::sleep(DRAIN_PAUSE).await;
        }
    }

    /// Makes everything due that may still succeed, and tells how much that is.
    fn hurry(&self) -> usize {
        let mut core = self.core();
        let files = core
            .owed()
            .filter(|(_, file)| match file.content.state() {
                State::Held(_) => false,
                _ => !file.is_being_written(),
            })
            .map(|(ino, _)| Errand::Publish(ino));
        let others = core.owed_otherwise().map(|ino| match core.tree.node(ino) {
            Ok(node) if node.is_published() => Errand::Attributes(ino),
            _ => Errand::Publish(ino),
        });
        // A file that is owed takes its attributes along.
        let travels = |ino: Ino| core.tree.file(ino).is_ok_and(|file| file.content.is_owed());
        let others = others.filter(|errand| match errand {
            Errand::Attributes(ino) | Errand::Publish(ino) => !travels(*ino),
        });
        let errands: Vec<Errand> = others.chain(files).collect();
        let now = Instant::now();
        errands.iter().for_each(|errand| core.queue.hurry(*errand, now));
        drop(core);
        self.errands.notify_one();
        errands.len()
    }
}
