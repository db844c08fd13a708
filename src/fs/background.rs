//! What happens without a caller: temporary names after their hold, failed uploads after a pause,
//! attributes after they were merged; and the end, when everything is due at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;

use super::Filesystem;
use super::core::Errand;
use super::status::Remainder;
use crate::model::content::State;
use crate::model::node::Ino;

/// Errands that are carried out side by side when a mount ends.
const SIDE_BY_SIDE: usize = 16;
/// How long a drain waits before it tries again what failed.
const DRAIN_PAUSE: Duration = Duration::from_secs(2);

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
        let outcome = match errand {
            Errand::Publish(ino) => self.publish_now(ino).await,
            Errand::Attributes(ino) => self.push_attributes(ino).await,
        };
        let mut core = self.core();
        match (outcome, errand) {
            (Ok(()), _) => core.queue.forget(errand),
            // Publication plans its own next attempt.
            (Err(_), Errand::Publish(_)) => {}
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
    }

    /// Publishes under whatever name it has: a hold has ended, or the mount does.
    async fn publish_now(&self, ino: Ino) -> Result<(), crate::model::failure::Failure> {
        let is_folder = {
            let mut core = self.core();
            let Ok(node) = core.tree.node_mut(ino) else { return Ok(()) };
            if node.parent.is_none() {
                return Ok(());
            }
            if let Some(file) = node.file_mut() {
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
    /// What is still owed then is told with its reason; it stays in the journal.
    pub async fn drain(&self, limit: Duration) -> Remainder {
        let deadline = tokio::time::Instant::now() + limit;
        let mut first = true;
        loop {
            let errands = self.everything_owed(first);
            if errands.is_empty() || tokio::time::Instant::now() >= deadline {
                return self.remainder();
            }
            first = false;
            let work = futures_util::stream::iter(errands)
                .for_each_concurrent(SIDE_BY_SIDE, |errand| self.carry_out(errand));
            if tokio::time::timeout_at(deadline, work).await.is_err()
                || self.everything_owed(false).is_empty()
            {
                return self.remainder();
            }
            let wake = (tokio::time::Instant::now() + DRAIN_PAUSE).min(deadline);
            tokio::time::sleep_until(wake).await;
        }
    }

    /// Errands for all that Files.com does not have; what it refused is tried once more, not for ever.
    fn everything_owed(&self, with_refused: bool) -> Vec<Errand> {
        let core = self.core();
        let files = core
            .owed()
            .filter(|(_, file)| with_refused || !matches!(file.content.state(), State::Held(_)))
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
        others.chain(files).collect()
    }
}
