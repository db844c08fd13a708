//! How many requests of one kind may be under way: a number that finds its own place.
//!
//! It grows while growing brings something, and halves when the service says that it is too much. What
//! brings something is found by trying: the rate of a full window is compared with that of the window
//! before the last step, and a step that brought too little is taken back. Rates are of work done per time
//! of a request (Little's law), so that a window needs no idle neighbour to be measured against.
//!
//! Only requests count that ran while most of the places were taken: whoever has little to do learns
//! nothing about the limit. The clock is the caller's.

use std::time::{Duration, Instant};

/// With less than this at a time, one slow request stops everything.
const LEAST: usize = 2;
/// A window of fewer requests says nothing.
const SMALLEST_WINDOW: usize = 8;
/// The share of a proportional gain that a step has to bring.
const WORTHWHILE: f64 = 0.25;
/// How long a number is left alone after a step that brought nothing, or after a cut: at first, and at most.
const FIRST_REST: Duration = Duration::from_secs(2);
const LONGEST_REST: Duration = Duration::from_secs(60);
/// How long a number that was too much is not tried again.
const MEMORY: Duration = Duration::from_secs(60);

/// The number of requests of one kind at the same time.
#[derive(Debug, Clone)]
pub struct Pace {
    least: usize,
    most: usize,
    limit: usize,
    /// What began earlier ran under another limit.
    since: Instant,
    window: Window,
    /// Limit and rate before the last step up.
    before: Option<(usize, f64)>,
    rest: Duration,
    rests_until: Option<Instant>,
    /// The limit that was too much, and when.
    refused: Option<(usize, Instant)>,
    /// Large steps, until the first one that fails.
    hurries: bool,
}

/// What was measured under the present limit.
#[derive(Debug, Clone, Default)]
struct Window {
    requests: usize,
    work: f64,
    time: Duration,
}

impl Pace {
    /// Begins at `start` and stays within 2 and `most`; a `most` of 1 is taken at its word.
    pub fn new(start: usize, most: usize, now: Instant) -> Self {
        let most = most.max(1);
        let least = LEAST.min(most);
        Self {
            least,
            most,
            limit: start.clamp(least, most),
            since: now,
            window: Window::default(),
            before: None,
            rest: FIRST_REST,
            rests_until: None,
            refused: None,
            hurries: true,
        }
    }

    /// How many may be under way.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// A request that began at `began` was answered: so much `work` (in any unit that stays the same) is
    /// done. `under_way` counts it and its neighbours.
    pub fn ended(&mut self, began: Instant, now: Instant, work: f64, under_way: usize) {
        let is_full = under_way * 5 >= self.limit * 4;
        if began < self.since || !is_full || self.limit == self.most && self.before.is_none() {
            return;
        }
        if self.rests_until.is_some_and(|until| now < until) {
            return;
        }
        self.rests_until = None;
        self.window.requests += 1;
        self.window.work += work;
        self.window.time += now.saturating_duration_since(began).max(Duration::from_micros(1));
        if self.window.requests >= self.limit.max(SMALLEST_WINDOW) {
            self.judge(now);
        }
    }

    fn judge(&mut self, now: Instant) {
        let rate = self.limit as f64 * self.window.work / self.window.time.as_secs_f64();
        if let Some((limit, slower)) = self.before.take() {
            let gain = self.limit as f64 / limit as f64 - 1.0;
            if rate < slower * (1.0 + gain * WORTHWHILE) {
                self.hurries = false;
                self.set(limit, now);
                return self.take_rest(now);
            }
            self.rest = FIRST_REST;
        }
        let step = if self.hurries { self.limit / 2 } else { self.limit / 8 };
        let refused = self.refused.filter(|(_, when)| now.saturating_duration_since(*when) < MEMORY);
        let most = refused.map_or(self.most, |(limit, _)| self.most.min(limit.saturating_sub(1)));
        let next = (self.limit + step.max(1)).min(most);
        if next > self.limit {
            self.before = Some((self.limit, rate));
            self.set(next, now);
        } else {
            self.window = Window::default();
            self.take_rest(now);
        }
    }

    /// The service said to a request that began at `began` that it is too much. One crowd of refusals counts
    /// once. True when it counted.
    pub fn refused(&mut self, began: Instant, now: Instant) -> bool {
        if began < self.since {
            return false;
        }
        self.refused = Some((self.limit, now));
        self.before = None;
        self.hurries = false;
        self.set((self.limit / 2).max(self.least), now);
        self.take_rest(now);
        true
    }

    fn set(&mut self, limit: usize, now: Instant) {
        self.limit = limit;
        self.since = now;
        self.window = Window::default();
    }

    fn take_rest(&mut self, now: Instant) {
        self.rests_until = Some(now + self.rest);
        self.rest = (self.rest * 2).min(LONGEST_REST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A service that does so much at a time, as a function of how many ask: the time of one request.
    fn run(pace: &mut Pace, mut now: Instant, rounds: usize, time: impl Fn(usize) -> Duration) -> Instant {
        for _ in 0..rounds {
            let under_way = pace.limit();
            let ended = now + time(under_way);
            for _ in 0..under_way {
                pace.ended(now, ended, 1.0, under_way);
            }
            now = ended;
        }
        now
    }

    const ROUND: Duration = Duration::from_millis(40);

    #[test]
    fn it_grows_to_the_most_where_each_more_brings_more() {
        let start = Instant::now();
        let mut pace = Pace::new(16, 64, start);
        run(&mut pace, start, 6, |_| ROUND);
        assert_eq!(pace.limit(), 64);
    }

    #[test]
    fn it_stays_near_the_number_beyond_which_requests_only_wait_for_each_other() {
        let start = Instant::now();
        let mut pace = Pace::new(16, 256, start);
        // Forty at a time are served; the others stand in line.
        let time = |n: usize| ROUND.mul_f64((n as f64 / 40.0).max(1.0));
        let mut now = start;
        for _ in 0..2000 {
            now = run(&mut pace, now, 1, time);
            assert!(pace.limit() <= 72, "{}", pace.limit());
        }
        assert!(pace.limit() >= 30, "{}", pace.limit());
    }

    #[test]
    fn a_crowd_of_refusals_halves_it_once_and_the_next_crowd_again() {
        let start = Instant::now();
        let later = |millis| start + Duration::from_millis(millis);
        let mut pace = Pace::new(16, 64, start);
        assert!(pace.refused(start, later(40)));
        for _ in 0..15 {
            assert!(!pace.refused(start, later(41)), "of the same crowd");
        }
        assert_eq!(pace.limit(), 8);
        for round in 1..9 {
            pace.refused(later(100 * round), later(100 * round + 40));
        }
        assert_eq!(pace.limit(), LEAST);
    }

    #[test]
    fn what_was_too_much_is_not_tried_again_for_a_while() {
        let start = Instant::now();
        let mut pace = Pace::new(16, 64, start);
        pace.refused(start, start);
        let now = run(&mut pace, start, 1000, |_| ROUND);
        assert!(now.duration_since(start) < MEMORY);
        assert_eq!(pace.limit(), 15);
        run(&mut pace, now, 4000, |_| ROUND);
        assert_eq!(pace.limit(), 64);
    }

    #[test]
    fn who_has_little_to_do_learns_nothing() {
        let start = Instant::now();
        let mut pace = Pace::new(16, 64, start);
        for round in 0..1000 {
            let began = start + ROUND * round;
            pace.ended(began, began + ROUND, 1.0, 3);
        }
        assert_eq!(pace.limit(), 16);
    }

    proptest! {
        #[test]
        fn whatever_happens_it_stays_within_its_bounds(
            most in 1_usize..300,
            start in 0_usize..300,
            events in prop::collection::vec((any::<bool>(), 0_u64..3000, 0_u64..5000, 0_usize..400), 0..600),
        ) {
            let mut now = Instant::now();
            let mut pace = Pace::new(start, most, now);
            for (refused, pass, age, under_way) in events {
                now += Duration::from_millis(pass);
                let began = now.checked_sub(Duration::from_millis(age)).unwrap_or(now);
                let before = pace.limit();
                if refused {
                    let counted = pace.refused(began, now);
                    prop_assert!(!counted || pace.limit() <= before);
                } else {
                    pace.ended(began, now, 1.0, under_way);
                }
                prop_assert!(pace.limit() <= most && pace.limit() >= LEAST.min(most));
            }
        }
    }
}
