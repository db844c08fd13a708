//! Places for requests: how many are under way, who is next, and when everybody pauses.
//!
//! Each kind of request has its lane with a number of places that finds itself ([`Pace`]); whoever finds
//! none waits in a fair queue ([`Fair`]). A pause that the service asks for holds for all lanes. Files and
//! changes of names that are worked on in the background have places too, as many as keep the lanes of their
//! requests busy: more would only wait, each with its memory.
//!
//! Decisions are made under one short lock; nothing is awaited under it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::urgency;
use crate::model::brake::Brake;
use crate::model::fair::{Fair, Flow};
use crate::model::pace::Pace;

/// What is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Requests to the API.
    Calls,
    /// Transfers to the storage.
    Uploads,
    /// Transfers from the storage.
    Downloads,
    /// Files and attributes that are published with nobody waiting.
    Files,
    /// Changes of names that are made with nobody waiting.
    Steps,
}

/// Lanes whose number finds itself; the first of [`Lane`].
const PACED: usize = 3;
const LANES: usize = 5;

/// At the beginning, as far as the most allows.
const START: usize = 16;
/// More requests to the API than this at a time are not tried unless more uploads are allowed: Files.com publishes
/// no limit, and a mount is not alone there.
const MOST_CALLS: usize = 64;
/// Requests to the API of a small file for each one to the storage, and that one.
const REQUESTS_OF_A_FILE: usize = 3;

/// Bytes that a transfer costs beside those that it carries: what a small one takes.
const COST_OF_A_TRANSFER: f64 = 65_536.0;

/// How one lane does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LaneStatus {
    /// Places, at this moment.
    pub limit: usize,
    /// How many of them are taken.
    pub under_way: usize,
    /// How many wait for one.
    pub waiting: usize,
}

/// How all do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Concurrency {
    /// Requests to the API.
    pub calls: LaneStatus,
    /// Transfers to the storage.
    pub uploads: LaneStatus,
    /// Transfers from the storage.
    pub downloads: LaneStatus,
    /// Files that are published in the background.
    pub files: LaneStatus,
    /// How long the pause still takes that the service asked for.
    pub pause: Option<Duration>,
}

/// All places of one client.
#[derive(Debug, Clone)]
pub(super) struct Slots(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    paces: [Pace; PACED],
    /// Fewer, where a limit of bandwidth leaves too little for each.
    caps: [Option<usize>; PACED],
    under_way: [usize; LANES],
    waiting: [Fair<oneshot::Sender<Slot>>; LANES],
    brake: Brake,
    /// When a request of a lane was served last,
    served: [Option<Instant>; PACED],
    /// and when one was refused as too much.
    refused: [Option<Instant>; PACED],
}

impl State {
    fn limit(&self, lane: Lane) -> usize {
        let paced = |lane: Lane| {
            let (limit, cap) = (self.paces[lane as usize].limit(), self.caps[lane as usize]);
            cap.map_or(limit, |cap| limit.min(cap)).max(1)
        };
        match lane {
            Lane::Calls | Lane::Uploads | Lane::Downloads => paced(lane),
            Lane::Files => {
                let uploads = paced(Lane::Uploads);
                (uploads * REQUESTS_OF_A_FILE).min(uploads + paced(Lane::Calls))
            }
            Lane::Steps => paced(Lane::Calls),
        }
    }

    fn is_paused(&self, lane: Lane, now: Instant) -> bool {
        (lane as usize) < PACED && self.brake.until(now.into_std()).is_some()
    }
}

impl Slots {
    /// `longest_pause` is less than any caller's patience.
    pub fn new(max_uploads: usize, max_downloads: usize, longest_pause: Duration) -> Self {
        let now = Instant::now().into_std();
        let pace = |most| Pace::new(START, most, now);
        Self(Arc::new(Mutex::new(State {
            paces: [pace(MOST_CALLS.max(max_uploads)), pace(max_uploads), pace(max_downloads)],
            caps: [None; PACED],
            under_way: [0; LANES],
            waiting: Default::default(),
            brake: Brake::new(longest_pause),
            served: [None; PACED],
            refused: [None; PACED],
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place in `lane` for a request of `flow`, as urgent as the task says. One that `returns` had one
    /// before, and was turned away. Dropped, it gives back the place that it may just have got.
    pub async fn take(&self, lane: Lane, flow: Flow, returns: bool) -> Slot {
        let turn = {
            let mut state = self.state();
            let at = lane as usize;
            if state.waiting[at].is_empty()
                && state.under_way[at] < state.limit(lane)
                && !state.is_paused(lane, Instant::now())
            {
                return self.seat(&mut state, lane);
            }
            let (sender, turn) = oneshot::channel();
            state.waiting[at].push(urgency::current(), flow, returns, sender);
            turn
        };
        // The other end lives in the queue as long as these places do.
        self.next();
        match turn.await {
            Ok(slot) => slot,
            Err(_) => self.seat(&mut self.state(), lane),
        }
    }

    fn seat(&self, state: &mut State, lane: Lane) -> Slot {
        state.under_way[lane as usize] += 1;
        Slot { slots: self.clone(), lane, began: Instant::now() }
    }

    /// Gives away what is free.
    fn next(&self) {
        let mut given = Vec::new();
        {
            let mut state = self.state();
            let now = Instant::now();
            for lane in [Lane::Calls, Lane::Uploads, Lane::Downloads, Lane::Files, Lane::Steps] {
                let at = lane as usize;
                while state.under_way[at] < state.limit(lane) && !state.is_paused(lane, now) {
                    let Some(turn) = state.waiting[at].pop() else { break };
                    // Whoever gave up waiting takes no place.
                    if !turn.is_closed() {
                        given.push((turn, self.seat(&mut state, lane)));
                    }
                }
            }
        }
        // Outside of the lock: a place that nobody takes any more comes back at once.
        for (turn, slot) in given {
            let _ = turn.send(slot);
        }
    }

    /// No more than this in `lane`, whatever it has found.
    pub fn cap(&self, lane: Lane, most: Option<usize>) {
        self.state().caps[lane as usize] = most;
    }

    /// When the queue of a lane moved last, since a request was served.
    pub fn moved(&self, lane: Lane) -> Option<Instant> {
        self.state().served.get(lane as usize).copied().flatten()
    }

    /// Is a refusal the last that is known of a lane?
    pub fn is_refused(&self, lane: Lane) -> bool {
        let state = self.state();
        let at = |of: &[Option<Instant>; PACED]| of.get(lane as usize).copied().flatten();
        at(&state.refused).is_some_and(|refused| at(&state.served).is_none_or(|served| served < refused))
    }

    /// Until when nothing may be asked, if the service wants a pause.
    pub fn paused_until(&self) -> Option<Instant> {
        self.state().brake.until(Instant::now().into_std()).map(Instant::from_std)
    }

    pub fn status(&self) -> Concurrency {
        let state = self.state();
        let of = |lane: Lane| LaneStatus {
            limit: state.limit(lane),
            under_way: state.under_way[lane as usize],
            waiting: state.waiting[lane as usize].len(),
        };
        let now = Instant::now().into_std();
        Concurrency {
            calls: of(Lane::Calls),
            uploads: of(Lane::Uploads),
            downloads: of(Lane::Downloads),
            files: of(Lane::Files),
            pause: state.brake.until(now).map(|until| until - now),
        }
    }
}

/// A place among the requests that are under way, for as long as it lives.
pub struct Slot {
    slots: Slots,
    lane: Lane,
    /// When the request of now began.
    began: Instant,
}

impl Slot {
    /// A request begins: not the moment when the place was given.
    pub(super) fn begins(&mut self) {
        self.began = Instant::now();
    }

    /// The request was answered. `bytes` are those that a transfer carried; requests to the API are all alike.
    pub(super) fn answered(&mut self, bytes: u64) {
        let work = match self.lane {
            Lane::Uploads | Lane::Downloads => COST_OF_A_TRANSFER + bytes as f64,
            _ => 1.0,
        };
        let (began, now) = (self.began.into_std(), Instant::now().into_std());
        let at = self.lane as usize;
        {
            let mut state = self.slots.state();
            state.brake.eased(began);
            let under_way = state.under_way[at];
            if at >= PACED {
                return;
            }
            state.served[at] = Some(Instant::now());
            let pace = &mut state.paces[at];
            let before = pace.limit();
            pace.ended(began, now, work, under_way);
            if pace.limit() == before {
                return;
            }
            tracing::debug!(lane = ?self.lane, limit = pace.limit(), "places");
        }
        self.slots.next();
    }

    /// The service said that it is too much; `told` is the pause that it asks for. Reads and writes of the
    /// storage slow down together.
    pub(super) fn refused(&mut self, told: Option<Duration>, pauses: bool) {
        let (began, now) = (self.began.into_std(), Instant::now().into_std());
        let mut state = self.slots.state();
        let lanes = match self.lane {
            Lane::Uploads | Lane::Downloads => &[Lane::Uploads, Lane::Downloads][..],
            _ => &[Lane::Calls],
        };
        for lane in lanes {
            state.refused[*lane as usize] = Some(Instant::now());
            let pace = &mut state.paces[*lane as usize];
            if pace.refused(began, now) {
                tracing::debug!(?lane, limit = pace.limit(), "places, after a refusal");
            }
        }
        if !pauses && told.is_none() {
            return;
        }
        let before = state.brake.until(now);
        state.brake.pressed(began, now, told);
        let until = state.brake.until(now).filter(|until| before.is_none_or(|before| before < *until));
        drop(state);
        if let Some(until) = until {
            tracing::info!("Files.com asks for a pause of {:.1?}", until - now);
            let slots = self.slots.clone();
            tokio::spawn(async move {
                sleep_until(Instant::from_std(until)).await;
                slots.next();
            });
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.state().under_way[self.lane as usize] -= 1;
        self.slots.next();
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("lane", &self.lane).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fair::Urgency;
    use futures_util::FutureExt;

    const PAUSE: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn a_place_that_is_given_back_or_given_up_is_the_next_ones() {
        let slots = Slots::new(1, 1, PAUSE);
        let first = slots.take(Lane::Uploads, 1, false).await;
        let gives_up = slots.take(Lane::Uploads, 2, false);
        let mut gives_up = Box::pin(gives_up);
        assert!(gives_up.as_mut().now_or_never().is_none());
        let mut last = Box::pin(slots.take(Lane::Uploads, 3, false));
        assert!(last.as_mut().now_or_never().is_none());
        drop(gives_up);
        drop(first);
        assert_eq!(slots.status().uploads, LaneStatus { limit: 1, under_way: 1, waiting: 0 });
        drop(last.await);
        assert_eq!(slots.status().uploads.under_way, 0);
    }

    #[tokio::test]
    async fn a_place_that_was_given_to_somebody_who_left_comes_back() {
        let slots = Slots::new(1, 1, PAUSE);
        let first = slots.take(Lane::Uploads, 1, false).await;
        let mut leaves = Box::pin(slots.take(Lane::Uploads, 2, false));
        assert!(leaves.as_mut().now_or_never().is_none());
        drop(first);
        assert_eq!(slots.status().uploads.under_way, 1);
        drop(leaves);
        assert_eq!(slots.status().uploads.under_way, 0);
    }

    #[tokio::test]
    async fn a_reader_goes_before_the_background() {
        let slots = Slots::new(1, 1, PAUSE);
        let first = slots.take(Lane::Downloads, 1, false).await;
        let mut behind =
            Box::pin(urgency::with_urgency(Urgency::Background, slots.take(Lane::Downloads, 2, false)));
        assert!(behind.as_mut().now_or_never().is_none());
        let mut reader = Box::pin(slots.take(Lane::Downloads, 3, false));
        assert!(reader.as_mut().now_or_never().is_none());
        drop(first);
        assert!(behind.as_mut().now_or_never().is_none());
        drop(reader.now_or_never().unwrap());
        assert!(behind.now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_pause_that_one_was_told_of_is_everybodys() {
        let slots = Slots::new(8, 8, PAUSE);
        let mut refused = slots.take(Lane::Calls, 1, false).await;
        refused.refused(Some(Duration::from_millis(60)), true);
        drop(refused);
        assert_eq!(slots.status().calls.limit, START / 2);
        let began = Instant::now();
        let upload = slots.take(Lane::Uploads, 2, false).await;
        assert!(began.elapsed() >= Duration::from_millis(50));
        drop(upload);
        assert_eq!((slots.paused_until(), slots.status().uploads.limit), (None, 8));
    }
}
