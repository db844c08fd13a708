//! One deadline for each call of the kernel.
//!
//! The network timeout is time without progress. A call of the kernel gets a [`Deadline`] at the door; whatever is
//! done on its behalf ends with it, however many requests, attempts, queues and polls that takes. It is put off by
//! progress alone: bytes of a file that moved, a page of a listing that came, an entry that the service moved, a
//! change that it acknowledged. An attempt that is made again puts nothing off.
//!
//! Like the urgency it belongs to the task, and is told beside the request: what waits is deep below the door. A task
//! that is spawned on behalf of a call carries it along ([`carry`]). What nobody waits for has none; what others of
//! this mount may wait for says so ([`Deadline::of_errand`]): it has no end, and its progress is known.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::urgency;
use crate::model::failure::Failure;

tokio::task_local! {
    static CALL: Deadline;
}

/// Until when a call may wait. Clones are of the same call.
#[derive(Debug, Clone)]
pub struct Deadline(Arc<Call>);

#[derive(Debug)]
struct Call {
    /// Time without progress.
    limit: Duration,
    /// Does somebody wait, who is told when it is over?
    is_awaited: bool,
    /// The last progress, or the beginning.
    moved: Mutex<Instant>,
}

impl Deadline {
    fn new(limit: Duration, is_awaited: bool) -> Self {
        Self(Arc::new(Call { limit, is_awaited, moved: Mutex::new(Instant::now()) }))
    }

    /// Of a call that somebody waits for: it ends when nothing has moved for `limit`.
    pub fn of_call(limit: Duration) -> Self {
        Self::new(limit, true)
    }

    /// Of something that goes on until it succeeds or fails by itself. Others may have to wait for it.
    pub fn of_errand(limit: Duration) -> Self {
        Self::new(limit, false)
    }

    /// That of the task.
    pub fn current() -> Option<Self> {
        CALL.try_with(Clone::clone).ok()
    }

    /// Does `work` under this deadline.
    pub fn scope<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        CALL.scope(self, work)
    }

    /// When it is over; `None` where nobody waits.
    pub fn end(&self) -> Option<Instant> {
        self.0.is_awaited.then(|| self.moved() + self.0.limit)
    }

    /// When something moved last.
    pub fn moved(&self) -> Instant {
        *self.0.moved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something moved at `now`: the time counts afresh.
    pub fn progressed(&self, now: Instant) {
        let mut moved = self.0.moved.lock().unwrap_or_else(PoisonError::into_inner);
        *moved = now.max(*moved);
    }

    /// Waits for something that others do, until the deadline. `other` is when they moved last: their progress is
    /// as good as one's own for as long as it is waited for. `work` is dropped when the time is over: it must be
    /// something that loses nothing then, such as a turn in a queue.
    ///
    /// # Errors
    /// Nothing moved for too long.
    pub async fn wait<F: Future>(work: F, other: impl Fn() -> Option<Instant>) -> Result<F::Output, Late> {
        let Some((deadline, limit)) = Self::current().map(|deadline| (deadline.clone(), deadline.0.limit))
        else {
            return Ok(work.await);
        };
        if deadline.end().is_none() {
            return Ok(work.await);
        }
        let mut work = std::pin::pin!(work);
        // Nobody was waited for.
        if let Poll::Ready(done) = futures_util::poll!(work.as_mut()) {
            return Ok(done);
        }
        let (mut end, mut theirs) = (Instant::now(), None);
        loop {
            theirs = theirs.max(other());
            let latest = theirs.map_or(deadline.moved(), |moved| moved.max(deadline.moved())) + limit;
            if latest <= end {
                return Err(Late(limit));
            }
            end = latest;
            if let Ok(done) = timeout_at(end, &mut work).await {
                // Their progress was ours.
                theirs.max(other()).into_iter().for_each(|moved| deadline.progressed(moved));
                return Ok(done);
            }
        }
    }
}

/// Something moved on behalf of this task's call.
pub(super) fn progressed() {
    if let Some(deadline) = Deadline::current() {
        deadline.progressed(Instant::now());
    }
}

/// `work` is as urgent in another task as it is here, and under the same deadline.
pub fn carry<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let deadline = Deadline::current();
    urgency::carry_urgency(async move {
        match deadline {
            Some(deadline) => deadline.scope(work).await,
            None => work.await,
        }
    })
}

/// Nothing moved for so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Late(pub Duration);

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nothing moved for {:.1?}", self.0)
    }
}

impl From<Late> for Failure {
    fn from(late: Late) -> Self {
        let why = format!(
            "{late}, while it waited for others of this mount; see `filescomfs status`, and try again"
        );
        Self::new(libc::ETIMEDOUT, why)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    const LIMIT: Duration = Duration::from_millis(40);

    #[tokio::test]
    async fn a_call_waits_until_nothing_has_moved_for_its_limit_and_an_errand_has_no_end() {
        let began = Instant::now();
        let call = Deadline::of_call(LIMIT);
        assert_eq!(call.clone().scope(Deadline::wait(pending::<()>(), || None)).await, Err(Late(LIMIT)));
        assert!(began.elapsed() >= LIMIT);
        assert!(Deadline::of_errand(LIMIT).end().is_none());
        assert_eq!(Deadline::wait(async { 7 }, || None).await, Ok(7), "without any");
        let before = call.end().unwrap();
        call.progressed(began);
        assert_eq!(call.end().unwrap(), before.max(began + LIMIT), "time does not go back");
        let now = Instant::now();
        call.progressed(now);
        assert_eq!(call.end(), Some(now + LIMIT));
    }

    #[tokio::test]
    async fn whoever_waits_for_somebody_who_moves_waits_on() {
        let (began, holder) = (Instant::now(), Deadline::of_errand(LIMIT));
        let busy = holder.clone();
        let moves = tokio::spawn(async move {
            for _ in 0..8 {
                tokio::time::sleep(LIMIT / 4).await;
                busy.progressed(Instant::now());
            }
        });
        let waits = Deadline::wait(pending::<()>(), || Some(holder.moved()));
        assert_eq!(Deadline::of_call(LIMIT).scope(waits).await, Err(Late(LIMIT)));
        assert!(moves.is_finished() && began.elapsed() >= 2 * LIMIT);
    }

    #[tokio::test]
    async fn the_progress_of_those_who_were_waited_for_counts_and_of_others_does_not() {
        let (limit, call) = (Duration::from_secs(60), Deadline::of_call(Duration::from_secs(60)));
        let before = call.end();
        let holder = Deadline::of_errand(limit);
        holder.progressed(Instant::now() + Duration::from_secs(1));
        call.clone().scope(Deadline::wait(async {}, || Some(holder.moved()))).await.unwrap();
        assert_eq!(call.end(), before, "it was there at once");
        call.clone().scope(Deadline::wait(tokio::task::yield_now(), || Some(holder.moved()))).await.unwrap();
        assert_eq!(call.end(), Some(holder.moved() + limit));
    }

    #[tokio::test]
    async fn a_task_that_is_spawned_carries_the_deadline_along_only_where_it_is_told_to() {
        let call = Deadline::of_call(LIMIT);
        let end = call.end();
        let of_task = || async { Deadline::current().and_then(|deadline| deadline.end()) };
        call.scope(async move {
            assert_eq!(tokio::spawn(carry(of_task())).await.unwrap(), end);
            assert_eq!(tokio::spawn(of_task()).await.unwrap(), None);
        })
        .await;
    }
}
