//! Somebody walks through a tree: which folders will be listed next.
//!
//! `find`, `rsync`, `du` and the like read a folder, then its subfolders one after the other, in the order in
//! which they were told. Each listing is a request, which costs a round trip, and money: so nothing is
//! asked ahead until two neighbours were read one after the other, and then twice as many as before each
//! time, as long as the walker is fast enough to use the answers while they are believed.

use std::time::{Duration, Instant};

use super::ino::Ino;

/// The most listings that are asked for ahead of a walker.
const WIDEST: usize = 16;

/// A walk through the subfolders of one folder.
#[derive(Debug, Clone)]
pub struct Walk {
    /// The subfolders in the order in which a reader was told of them.
    order: Vec<Ino>,
    /// Where the next read is expected.
    next: usize,
    /// Up to where listings were asked for.
    asked: usize,
    window: usize,
    last: Instant,
}

impl Walk {
    /// A walk that has not begun, through these subfolders.
    pub fn new(order: Vec<Ino>, now: Instant) -> Self {
        Self { order, next: 0, asked: 0, window: 1, last: now }
    }

    /// Is `folder` the next, or one of those that soon follow?
    pub fn expects(&self, folder: Ino) -> bool {
        self.order.iter().skip(self.next).take(WIDEST).any(|ino| *ino == folder)
    }

    /// A reader opened `folder`, or looked for a name in it: which of its neighbours to list now. `ttl` is how long a listing is
    /// believed.
    pub fn read(&mut self, folder: Ino, now: Instant, ttl: Duration) -> Vec<Ino> {
        let Some(at) = self.order[self.next.min(self.order.len())..].iter().position(|ino| *ino == folder)
        else {
            if self.next > 0 && self.order.get(self.next - 1) == Some(&folder) {
                // It is where it was.
                return Vec::new();
            }
            // Again, or out of order: this is no walk, or a new one.
            if let Some(at) = self.order.iter().position(|ino| *ino == folder) {
                (self.next, self.asked, self.window, self.last) = (at + 1, at + 1, 1, now);
            }
            return Vec::new();
        };
        let pace = now.duration_since(self.last);
        let in_order = at == 0 && self.next > 0;
        // Half of the time that a listing lasts, so that the last one asked for is still good.
        let affordable = (ttl.as_secs_f64() / 2.0 / pace.as_secs_f64().max(1e-6)) as usize;
        self.window = if in_order { (self.window * 2).min(WIDEST).min(affordable) } else { 1 };
        self.next += at + 1;
        self.last = now;
        self.asked = self.asked.max(self.next);
        if self.window < 2 {
            self.window = 1;
            return Vec::new();
        }
        let end = (self.next + self.window).min(self.order.len());
        let ahead = self.order[self.asked.min(end)..end].to_vec();
        self.asked = self.asked.max(end);
        ahead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(60);

    fn walk(count: u64) -> (Walk, Instant) {
        let now = Instant::now();
        (Walk::new((0..count).map(Ino).collect(), now), now)
    }

    #[test]
    fn a_walk_is_led_by_ever_more_and_nothing_is_asked_twice() {
        let (mut walk, now) = walk(100);
        let asked: Vec<Vec<u64>> =
            (0..100).map(|n| walk.read(Ino(n), now, TTL).into_iter().map(|ino| ino.0).collect()).collect();
        assert!(asked[0].is_empty());
        assert_eq!(asked[1], [2, 3]);
        assert_eq!(asked[2], [4, 5, 6]);
        assert_eq!(asked[3].len(), 5);
        assert!(asked.iter().all(|ahead| ahead.len() <= WIDEST));
        let all: Vec<u64> = asked.concat();
        assert_eq!(all, (2..100).collect::<Vec<_>>());
    }

    #[test]
    fn who_looks_for_many_names_in_each_folder_goes_on_all_the_same() {
        let (mut walk, now) = walk(100);
        let mut all = Vec::new();
        for n in 0..100 {
            assert!(walk.expects(Ino(n)));
            for _ in 0..3 {
                all.extend(walk.read(Ino(n), now, TTL).into_iter().map(|ino| ino.0));
                assert!(!walk.expects(Ino(n)));
            }
        }
        assert_eq!(all, (2..100).collect::<Vec<_>>());
    }

    #[test]
    fn looking_here_and_there_costs_nothing() {
        let (mut walk, now) = walk(100);
        for folder in [50, 3, 50, 99, 7, 0, 80] {
            assert_eq!(walk.read(Ino(folder), now, TTL), []);
        }
    }

    #[test]
    fn a_slow_walker_is_led_no_further_than_listings_last() {
        let (mut walk, now) = walk(100);
        let mut at = now;
        let mut most = 0;
        for n in 0..50 {
            at += Duration::from_secs(10);
            most = most.max(walk.read(Ino(n), at, TTL).len());
        }
        assert!(most <= 3, "{most} listings ahead would expire unused");
        for n in 50..100 {
            at += Duration::from_secs(40);
            assert_eq!(walk.read(Ino(n), at, TTL), []);
        }
    }
}
