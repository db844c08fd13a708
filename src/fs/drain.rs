//! The end, and `sync`: what is owed is sent now, and waited for.
//!
//! A look at all that is owed makes it due, and tells what is to be hoped for. From then on only that list is
//! gone through, from its end, and no further than to the first thing that is still to come: with a hundred
//! thousand files, an outcome costs a step or two. What is new since is found by the next look, which comes when
//! nothing of the list is left, or after a while.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use super::Filesystem;
use super::core::{Core, Errand};
use super::leftovers::{Leftover, Why};
use super::scope::{Scope, Within};
use super::status::Remainder;
use crate::model::backlog::Standing;
use crate::model::failure::Failure;
use crate::model::ino::Ino;
use crate::model::node::OnSite;

/// The longest time between two looks of a drain at all that is owed, unless they take long.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The least, for as many outcomes as come in the meantime.
const PAUSE: Duration = Duration::from_millis(20);
/// Looks at all that is owed take no more than one part in so many of the time.
const LOOKS_SHARE: u32 = 20;

/// What a drain hopes for.
#[derive(Debug)]
struct Hopes {
    errands: Vec<Errand>,
    /// When all that is owed was looked at last,
    looked: Instant,
    /// and how long that took.
    took: Duration,
}

impl Hopes {
    /// Is there nothing left to wait for of what was seen?
    fn are_over(&mut self, core: &Core) -> bool {
        while self.errands.last().is_some_and(|errand| !is_hoped_for(core, *errand)) {
            self.errands.pop();
        }
        self.errands.is_empty()
    }

    /// When to look at everything again.
    fn end(&self) -> Instant {
        self.looked + LOOK_AGAIN.max(self.took * LOOKS_SHARE)
    }
}

/// Is it still to be done, and not by a person?
fn is_hoped_for(core: &Core, errand: Errand) -> bool {
    let is_held = |step: u64| {
        core.backlog.get(step).is_none_or(|pending| matches!(pending.standing, Standing::Held(_)))
    };
    if core.waiting.step(errand).is_some_and(is_held) {
        return false;
    }
    match errand {
        Errand::Publish(ino) => {
            let is_made = core.tree.folder(ino).is_ok_and(|folder| folder.published);
            !is_made && core.is_sendable(ino)
        }
        Errand::Attributes(ino) => core.tree.node(ino).is_ok_and(|node| node.attributes_owed),
        Errand::Step(number) => !is_held(number),
        Errand::TakeUp => core.leftovers.have_hope(),
    }
}

impl Filesystem {
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
        let deadline = Instant::now() + limit;
        let mut hopes = None::<Hopes>;
        loop {
            // Asked for before the look, so that no outcome is missed.
            let outcome = self.outcomes.notified();
            tokio::pin!(outcome);
            outcome.as_mut().enable();
            let within = look(&self.core())?;
            let now = Instant::now();
            let is_known =
                hopes.as_mut().is_some_and(|hopes| now < hopes.end() && !hopes.are_over(&self.core()));
            let end = match &hopes {
                Some(hopes) if is_known => hopes.end(),
                _ => {
                    // Outcomes come in crowds, and the last few are all there is to hope for.
                    let pause = hopes.as_ref().map_or(Duration::ZERO, |hopes| {
                        (hopes.looked + PAUSE).saturating_duration_since(now)
                    });
                    tokio::time::sleep(pause).await;
                    let hopes = hopes.insert(self.hurry(&within));
                    if hopes.errands.is_empty() {
                        return Ok(self.remainder_within(&within));
                    }
                    hopes.end()
                }
            };
            let _ = tokio::time::timeout_at(end.min(deadline).into(), outcome).await;
            if Instant::now() >= deadline {
                return Ok(self.remainder_within(&within));
            }
        }
    }

    /// Makes everything due that may still succeed, and tells what that is.
    fn hurry(&self, within: &Within) -> Hopes {
        let looked = Instant::now();
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
            Ok(node) if node.on_site() == OnSite::Yes => Errand::Attributes(ino),
            _ => Errand::Publish(ino),
        });
        // A file that is owed takes its attributes along.
        let travels = |ino: Ino| core.tree.file(ino).is_ok_and(|file| file.content.is_owed());
        let others = others.filter(|errand| covers(*errand)).filter(|errand| match errand {
            Errand::Attributes(ino) | Errand::Publish(ino) => !travels(*ino),
            Errand::Step(_) | Errand::TakeUp => true,
        });
        let steps = core.backlog.ready().into_iter().map(Errand::Step).filter(|errand| covers(*errand));
        let is_due = |fact: &Leftover, why: &Why| why.has_hope() && within.concerns(fact.path());
        let is_left = core.leftovers.iter().any(|(_, fact, why)| is_due(fact, why));
        let take_up = is_left.then_some(Errand::TakeUp);
        let errands: Vec<Errand> = steps.chain(take_up).chain(others).chain(files).collect();
        let (waiting, mut hoped): (Vec<_>, Vec<_>) =
            errands.into_iter().partition(|errand| core.waiting.step(*errand).is_some());
        let now = Instant::now();
        hoped.iter().for_each(|errand| core.queue.hurry(*errand, now));
        // What waits for a step that was refused waits for a person.
        let stuck = core.stuck();
        let is_hopeful =
            |errand: &Errand| core.waiting.step(*errand).is_some_and(|step| !stuck.contains(&step));
        hoped.extend(waiting.into_iter().filter(is_hopeful));
        hoped.extend(core.backlog.running().filter(|number| concerned.contains(number)).map(Errand::Step));
        drop(core);
        self.errands.notify_one();
        Hopes { errands: hoped, looked, took: looked.elapsed() }
    }
}
