//! Which steps ended of late: for whoever asked Files.com about a path and wants to know whether the answer is still good.

use std::collections::VecDeque;

use super::place::Place;

/// As many are remembered. Whoever asked before that many ended is told that the answer is old.
const REMEMBERED: usize = 4096;

/// The steps that ended.
#[derive(Debug, Default)]
pub(super) struct Ended {
    count: u64,
    last: VecDeque<Vec<Place>>,
}

impl Ended {
    /// How many there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// One more ended, which concerned these places.
    pub fn push(&mut self, places: Vec<Place>) {
        self.count += 1;
        self.last.push_back(places);
        if self.last.len() > REMEMBERED {
            self.last.pop_front();
        }
    }

    /// Has one ended since there were `count`, of which a look at `place`, or a listing of it, shows something?
    pub fn shows_in(&self, place: &Place, count: u64) -> bool {
        let since = usize::try_from(self.count.saturating_sub(count)).unwrap_or(usize::MAX);
        since > self.last.len()
            || self.last.iter().rev().take(since).flatten().any(|other| other.shows_in(place))
    }
}
