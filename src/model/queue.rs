//! What is published in the background, and when: temporary names after their hold, failed uploads
//! after a pause that doubles.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Due times by key. The clock is the caller's.
#[derive(Debug)]
pub struct Queue<K> {
    due: HashMap<K, Due>,
    /// The same in the order of time, less what is taken: what is due is found without a look at the rest.
    order: BTreeSet<(Instant, K)>,
}

#[derive(Debug, Clone, Copy)]
struct Due {
    at: Instant,
    failures: u32,
    /// Somebody has taken it and has not told the outcome yet.
    taken: bool,
}

impl<K> Default for Queue<K> {
    fn default() -> Self {
        Self { due: HashMap::new(), order: BTreeSet::new() }
    }
}

impl<K: Copy + Hash + Ord> Queue<K> {
    fn put(&mut self, key: K, due: Due) {
        if let Some(old) = self.due.insert(key, due) {
            self.order.remove(&(old.at, key));
        }
        if !due.taken {
            self.order.insert((due.at, key));
        }
    }

    /// Makes `key` due at `at`, whatever was planned before.
    pub fn schedule(&mut self, key: K, at: Instant) {
        self.put(key, Due { at, failures: 0, taken: false });
    }

    /// `key` failed: due again after a pause that doubles with every failure, five minutes at most.
    pub fn failed(&mut self, key: K, now: Instant) {
        let failures = self.due.get(&key).map_or(0, |due| due.failures);
        let pause = (FIRST_PAUSE * 2u32.saturating_pow(failures.min(10))).min(LONGEST_PAUSE);
        self.put(key, Due { at: now + pause, failures: failures + 1, taken: false });
    }

    /// Somebody waits for `key`: due now, unless it is being worked on or comes soon anyway.
    pub fn hurry(&mut self, key: K, now: Instant) {
        let due = self.due.get(&key).copied().unwrap_or(Due { at: now, failures: 0, taken: false });
        let at = if !due.taken && due.at > now + FIRST_PAUSE { now } else { due.at };
        self.put(key, Due { at, ..due });
    }

    /// Everything that failed is due now: what kept it from succeeding is gone.
    pub fn hurry_failed(&mut self, now: Instant) {
        let failed = |(key, due): (&K, &Due)| (!due.taken && due.failures > 0).then_some(*key);
        let failed: Vec<K> = self.due.iter().filter_map(failed).collect();
        for key in failed {
            self.schedule(key, now);
        }
    }

    /// Whoever took `key` is done with it. A plan that was made in the meantime stays.
    pub fn done(&mut self, key: K) {
        if self.due.get(&key).is_some_and(|due| due.taken) {
            self.forget(key);
        }
    }

    /// Whoever took `key` failed, and planned no next attempt: due again after a pause.
    pub fn undone(&mut self, key: K, now: Instant) {
        if self.due.get(&key).is_some_and(|due| due.taken) {
            self.failed(key, now);
        }
    }

    /// Will `key` be picked up? What was picked up already may not see what is new.
    pub fn is_planned(&self, key: K) -> bool {
        self.due.get(&key).is_some_and(|due| !due.taken)
    }

    /// Everything that is planned or being carried out.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.due.keys()
    }

    /// `key` is gone.
    pub fn forget(&mut self, key: K) {
        if let Some(due) = self.due.remove(&key) {
            self.order.remove(&(due.at, key));
        }
    }

    /// What is due by `now`. Its failures are remembered, and until its outcome is told nobody picks it up
    /// again, however long it takes: whoever did would only wait for the first one.
    pub fn take_due(&mut self, now: Instant) -> Vec<K> {
        let ready: Vec<K> = self.order.iter().take_while(|(at, _)| *at <= now).map(|(_, key)| *key).collect();
        for key in &ready {
            if let Some(due) = self.due.get(key).copied() {
                self.put(*key, Due { taken: true, ..due });
            }
        }
        ready
    }

    /// When to look again. What is being carried out is not waited for.
    pub fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_due_once_its_reason_is_gone_and_what_is_held_back_is_not() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.schedule("held back", now + Duration::from_secs(60));
        queue.failed("failed", now);
        queue.hurry_failed(now);
        assert_eq!(queue.take_due(now), ["failed"]);
    }

    #[test]
    fn who_waits_hurries_what_is_far_away_and_nothing_else() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.schedule("held back", now + Duration::from_secs(60));
        queue.failed("failed just now", now);
        queue.schedule("under way", now);
        assert_eq!(queue.take_due(now), ["under way"]);
        for key in ["held back", "failed just now", "under way", "new"] {
            queue.hurry(key, now);
        }
        let mut due = queue.take_due(now);
        due.sort_unstable();
        assert_eq!(due, ["held back", "new"]);
    }

    #[test]
    fn what_takes_longer_than_the_longest_pause_is_not_picked_up_twice() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.schedule("large", now);
        assert_eq!(queue.take_due(now), ["large"]);
        assert_eq!(queue.next(), None, "what is under way is told as if it were tried again");
        queue.hurry("large", now);
        let much_later = now + 10 * LONGEST_PAUSE;
        assert!(queue.take_due(much_later).is_empty(), "picked up twice");
        queue.undone("large", much_later);
        assert_eq!(queue.take_due(much_later + FIRST_PAUSE), ["large"]);
    }

    #[test]
    fn a_plan_that_is_made_while_the_old_one_is_carried_out_stays() {
        let now = Instant::now();
        let mut queue = Queue::default();
        for key in ["again", "once"] {
            queue.schedule(key, now);
        }
        queue.take_due(now);
        queue.schedule("again", now);
        queue.done("again");
        queue.done("once");
        assert_eq!((queue.is_planned("again"), queue.is_planned("once")), (true, false));
    }

    #[test]
    fn a_plan_that_is_being_carried_out_does_not_stand_for_what_comes_after() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.schedule("published", now);
        assert!(queue.is_planned("published"));
        queue.take_due(now);
        assert!(!queue.is_planned("published"));
        queue.undone("published", now);
        assert!(queue.is_planned("published"), "it failed, and nobody would try again");
        queue.schedule("published", now);
        queue.undone("published", now);
        assert_eq!(queue.take_due(now), ["published"], "a newer plan was put off");
    }

    #[test]
    fn pauses_double_up_to_five_minutes_and_start_anew_with_a_new_plan() {
        let start = Instant::now();
        let mut queue = Queue::default();
        queue.schedule(1, start);
        assert_eq!(queue.take_due(start), [1]);
        assert!(queue.take_due(start).is_empty(), "picked up twice");
        let mut pauses = Vec::new();
        for _ in 0..8 {
            queue.failed(1, start);
            pauses.push((queue.next().unwrap() - start).as_secs());
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300]);
        queue.schedule(1, start);
        queue.failed(1, start);
        assert_eq!((queue.next().unwrap() - start).as_secs(), 5);
        queue.forget(1);
        assert_eq!(queue.next(), None);
    }
}
