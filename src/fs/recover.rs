//! What an earlier mount left behind: owed again, or set aside. Nothing is deleted but empty files that were
//! made in advance.

use std::time::Instant;

use super::Filesystem;
use super::core::Errand;
use super::leftovers::Leftover;
use crate::local::failpoint;
use crate::local::journal::{Fact, Place};
use crate::local::recovery::Recovery;
use crate::model::failure::Failure;
use crate::model::path::RemotePath;

impl Filesystem {
    /// Carries a recovery out: what is owed is published in the background, what is not understood is
    /// set aside and named in the log. `place` is what is mounted.
    pub async fn recover(&self, plan: Recovery, place: Place) -> Result<(), Failure> {
        failpoint::reach("recover.planned");
        for id in plan.unknown {
            let aside = self.store.set_aside(id)?;
            failpoint::reach("recover.aside");
            tracing::warn!(
                "the journal does not know this file (an earlier mount ended before it was complete, or the journal \
                 was damaged); it is kept at {}",
                aside.display()
            );
        }
        // Not before: to a journal that tells this, an empty file that it does not know is nobody's.
        self.journal.note(Fact::Mounted(place));
        plan.unused.into_iter().for_each(|id| self.store.remove(id));
        for fact in plan.broken {
            tracing::error!(
                "the journal says that {} ({} bytes) is owed, but its bytes are not in the spool",
                fact.path,
                fact.size
            );
            self.journal.note(Fact::Settled(fact.id));
        }
        plan.proven.into_iter().for_each(|id| self.journal.note(Fact::Settled(id)));
        // A crash in between must find both, or no fact: a fact without its bytes is a loss.
        self.journal.flush().await?;
        for id in plan.cached {
            self.store.remove_cached(id)?;
            failpoint::reach("recover.uncached");
        }
        let count = plan.steps.len() + plan.entries.len() + plan.owed.len();
        {
            let mut core = self.core();
            for (number, step) in plan.steps {
                core.backlog.restore(number, step);
            }
        }
        self.take_up_uploads(plan.uploads);
        plan.abandoned.into_iter().for_each(|id| self.journal.note(Fact::Abandoned(id)));
        let paths =
            plan.entries.iter().map(|entry| &entry.path).chain(plan.owed.iter().map(|owed| &owed.path));
        let folders = paths.filter_map(RemotePath::parent).collect();
        let entries = plan.entries.into_iter().map(Leftover::Entry);
        self.core().leftovers.put(entries.chain(plan.owed.into_iter().map(Leftover::Bytes)));
        {
            // Before anything is taken up: what a step has made of a path that nobody has noted is known once it is taken.
            let mut core = self.core();
            for number in core.backlog.ready() {
                core.queue.schedule(Errand::Step(number), Instant::now());
            }
        }
        self.errands.notify_one();
        self.look_ahead_of(folders).await;
        self.take_up_all().await;
        if count > 0 {
            tracing::info!("{count} changes of an earlier mount are owed and are being published");
        }
        Ok(())
    }
}
