//! What is published in the background, and when: temporary names after their hold, failed uploads
//! after a pause that doubles.
//!
//! A hundred thousand may be due at once, and a few of them are under way: the others stay in the queue until
//! there is room.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Keys of several kinds, each of which has its own room: none waits behind another kind.
pub trait Kinds {
    /// How many kinds there are.
    const COUNT: usize;
    /// Which kind it is, from 0.
    fn kind(&self) -> usize;
}

/// Due times by key. The clock is the caller's.
#[derive(Debug)]
pub struct Queue<K> {
    due: HashMap<K, Due>,
    /// The same by kind, in the order of time, less what is taken: what is due is found without a look at the
    /// rest.
    orders: Vec<BTreeSet<(Instant, K)>>,
}

#[derive(Debug, Clone, Copy)]
struct Due {
    at: Instant,
    failures: u32,
    /// Somebody has taken it and has not told the outcome yet.
    taken: bool,
}

impl<K: Kinds> Default for Queue<K> {
    fn default() -> Self {
        Self { due: HashMap::new(), orders: (0..K::COUNT).map(|_| BTreeSet::new()).collect() }
    }
}

impl<K: Copy + Hash + Ord + Kinds> Queue<K> {
    fn put(&mut self, key: K, due: Due) {
        let order = &mut self.orders[key.kind()];
        if let Some(old) = self.due.insert(key, due) {
            order.remove(&(old.at, key));
        }
        if !due.taken {
            order.insert((due.at, key));
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

    /// Somebody waits for `key`: due now, unless it is being worked on, or failed a moment ago and comes soon
    /// anyway.
    pub fn hurry(&mut self, key: K, now: Instant) {
        let due = self.due.get(&key).copied().unwrap_or(Due { at: now, failures: 0, taken: false });
        let is_far = due.failures == 0 || due.at > now + FIRST_PAUSE;
        let at = if !due.taken && is_far { due.at.min(now) } else { due.at };
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
            self.orders[key.kind()].remove(&(due.at, key));
        }
    }

    /// What is due by `now`, of each kind as many as there is room for. Its failures are remembered, and until
    /// its outcome is told nobody picks it up again, however long it takes: whoever did would only wait for the
    /// first one.
    pub fn take_due(&mut self, now: Instant, room: impl Fn(usize) -> usize) -> Vec<K> {
        let due = |(kind, order): (usize, &BTreeSet<(Instant, K)>)| -> Vec<K> {
            order.iter().take(room(kind)).take_while(|(at, _)| *at <= now).map(|(_, key)| *key).collect()
        };
        let ready: Vec<K> = self.orders.iter().enumerate().flat_map(due).collect();
        for key in &ready {
            if let Some(due) = self.due.get(key).copied() {
                self.put(*key, Due { taken: true, ..due });
            }
        }
        ready
    }

    /// When to look again for the kinds that have room. What is being carried out is not waited for.
    pub fn next(&self, has_room: impl Fn(usize) -> bool) -> Option<Instant> {
        let orders = self.orders.iter().enumerate().filter(|(kind, _)| has_room(*kind));
        orders.filter_map(|(_, order)| order.first()).map(|(at, _)| *at).min()
    }

    /// When the next comes that is not due yet.
    pub fn next_after(&self, now: Instant) -> Option<Instant> {
        let later = |order: &BTreeSet<(Instant, K)>| order.iter().map(|(at, _)| *at).find(|at| *at > now);
        self.orders.iter().filter_map(later).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Kinds for &str {
        const COUNT: usize = 2;

        fn kind(&self) -> usize {
            usize::from(self.starts_with("other"))
        }
    }

    fn all(_: usize) -> usize {
        usize::MAX
    }

    #[test]
    fn each_kind_is_taken_as_far_as_it_has_room_and_the_rest_stays_due() {
        let now = Instant::now();
        let mut queue = Queue::default();
        for (n, key) in ["a", "b", "c", "other a", "other b"].into_iter().enumerate() {
            queue.schedule(key, now + Duration::from_secs(n as u64));
        }
        let late = now + Duration::from_secs(3);
        assert_eq!(queue.take_due(late, |kind| [2, 5][kind]), ["a", "b", "other a"]);
        assert_eq!(queue.next(|_| true), Some(now + Duration::from_secs(2)));
        assert_eq!(queue.next(|kind| kind == 1), Some(now + Duration::from_secs(4)));
        assert_eq!(queue.next_after(late), Some(now + Duration::from_secs(4)));
        assert_eq!(queue.take_due(late, all), ["c"]);
    }

    #[test]
    fn what_failed_is_due_once_its_reason_is_gone_and_what_is_held_back_is_not() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.schedule("held back", now + Duration::from_secs(60));
        queue.failed("failed", now);
        queue.hurry_failed(now);
        assert_eq!(queue.take_due(now, all), ["failed"]);
    }

    #[test]
    fn who_waits_hurries_what_is_far_away_and_nothing_else() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.schedule("held back", now + Duration::from_secs(60));
        queue.failed("failed just now", now);
        queue.schedule("under way", now);
        assert_eq!(queue.take_due(now, all), ["under way"]);
        for key in ["held back", "failed just now", "under way", "new"] {
            queue.hurry(key, now);
        }
        let mut due = queue.take_due(now, all);
        due.sort_unstable();
        assert_eq!(due, ["held back", "new"]);
    }

    #[test]
    fn what_takes_longer_than_the_longest_pause_is_not_picked_up_twice() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.schedule("large", now);
        assert_eq!(queue.take_due(now, all), ["large"]);
        assert_eq!(queue.next(|_| true), None, "what is under way is told as if it were tried again");
        queue.hurry("large", now);
        let much_later = now + 10 * LONGEST_PAUSE;
        assert!(queue.take_due(much_later, all).is_empty(), "picked up twice");
        queue.undone("large", much_later);
        assert_eq!(queue.take_due(much_later + FIRST_PAUSE, all), ["large"]);
    }

    #[test]
    fn a_plan_that_is_made_while_the_old_one_is_carried_out_stays() {
        let now = Instant::now();
        let mut queue = Queue::default();
        for key in ["again", "once"] {
            queue.schedule(key, now);
        }
        queue.take_due(now, all);
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
        queue.take_due(now, all);
        assert!(!queue.is_planned("published"));
        queue.undone("published", now);
        assert!(queue.is_planned("published"), "it failed, and nobody would try again");
        queue.schedule("published", now);
        queue.undone("published", now);
        assert_eq!(queue.take_due(now, all), ["published"], "a newer plan was put off");
    }

    #[test]
    fn pauses_double_up_to_five_minutes_and_start_anew_with_a_new_plan() {
        let start = Instant::now();
        let mut queue = Queue::default();
        queue.schedule("1", start);
        assert_eq!(queue.take_due(start, all), ["1"]);
        assert!(queue.take_due(start, all).is_empty(), "picked up twice");
        let mut pauses = Vec::new();
        for _ in 0..8 {
            queue.failed("1", start);
            pauses.push((queue.next(|_| true).unwrap() - start).as_secs());
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300]);
        queue.schedule("1", start);
        queue.failed("1", start);
        assert_eq!((queue.next(|_| true).unwrap() - start).as_secs(), 5);
        queue.forget("1");
        assert_eq!(queue.next(|_| true), None);
    }
}
