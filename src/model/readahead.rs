//! What to fetch of a remote file for a read, and how far ahead.
//!
//! A reader who goes on where the last read ended gets a window that grows fourfold each time, so that a file of
//! some MiB is under way as a whole once its first bytes are here: a round trip often costs more than they do. One who
//! jumps gets little more than was asked for. Bytes under way are never asked for twice. What is asked for begins and
//! ends where blocks do ([`super::blocks`]): bytes count as here by whole blocks.

use std::ops::Range;

use super::blocks::BLOCK;
use super::ranges::Ranges;

const SMALLEST: u64 = 128 << 10;
const GROWTH: u64 = 4;
/// The first window of whoever begins at the beginning and reads little at once, as those do who look at the kind of
/// a file.
const FIRST: u64 = GROWTH * SMALLEST;
/// Who asks for so much at the beginning, the most that the kernel asks for by default, is going to read the rest.
const MUCH: u64 = 128 << 10;
/// A long range is cut after so many bytes. Requests side by side bring the later bytes as soon as the earlier ones.
const PIECE: u64 = 16 << 20;
/// The most that one request brings: a rest that is not worth its own goes with the last piece.
const LARGEST: u64 = PIECE + PIECE / 2;
/// Files up to this size are fetched whole: one request is all they cost.
const WHOLE_UP_TO: u64 = 1 << 20;
/// How far ahead of a sequential reader bytes may be under way.
const AHEAD: u64 = 3 * PIECE;

/// Which bytes of a remote file are here, which are under way, and where its reader is going.
#[derive(Debug, Clone)]
pub struct ReadAhead {
    size: u64,
    here: Ranges,
    under_way: Ranges,
    next: u64,
    window: u64,
}

/// What a read has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadPlan {
    /// All bytes of the read are here.
    pub ready: bool,
    /// Ranges to fetch now; they count as under way.
    pub fetch: Vec<Range<u64>>,
}

impl ReadAhead {
    /// A file of `size` bytes of which nothing is here.
    pub fn new(size: u64) -> Self {
        Self { size, here: Ranges::default(), under_way: Ranges::default(), next: 0, window: FIRST }
    }

    /// A file that is here whole.
    pub fn whole(size: u64) -> Self {
        let mut whole = Self::new(size);
        whole.here.insert(0..size);
        whole
    }

    /// A read of `range`, which lies within the file.
    pub fn read(&mut self, range: Range<u64>) -> ReadPlan {
        // The kernel's own read-ahead asks out of order, a little before or after the last end.
        let sequential =
            range.start <= self.next + self.window && self.next <= range.end.saturating_add(SMALLEST);
        if !sequential {
            self.window = SMALLEST;
        } else if range.start == 0 && range.end >= MUCH {
            self.window = self.window.max(LARGEST);
        }
        self.next = if sequential { self.next.max(range.end) } else { range.end };
        let wanted = if self.size <= WHOLE_UP_TO {
            0..self.size
        } else if sequential {
            range.start..range.end.saturating_add(self.window).min(self.size)
        } else {
            range.start..range.end.max(range.start + SMALLEST).min(self.size)
        };
        let wanted = self.blocks_of(wanted);
        let gaps: Vec<_> =
            self.here.missing(&wanted).iter().flat_map(|missing| self.under_way.missing(missing)).collect();
        let urgent = gaps.first().is_some_and(|gap| gap.start < range.end);
        let total: u64 = gaps.iter().map(|gap| gap.end - gap.start).sum();
        // Top up only when a good piece is free: many small requests cost more than they bring.
        let worthwhile = total >= self.window / 2 || (wanted.end == self.size && total > 0);
        let mut fetch = Vec::new();
        if urgent || worthwhile {
            fetch.extend(gaps.into_iter().flat_map(pieces));
            if sequential {
                self.window = (self.window * GROWTH).min(AHEAD);
            }
        }
        for piece in &fetch {
            self.under_way.insert(piece.clone());
        }
        ReadPlan { ready: self.has(&range), fetch }
    }

    /// The blocks that `range` touches.
    fn blocks_of(&self, range: Range<u64>) -> Range<u64> {
        range.start - range.start % BLOCK..range.end.next_multiple_of(BLOCK).min(self.size)
    }

    /// Everything that is neither here nor under way, to be fetched now.
    pub fn take_all(&mut self) -> Vec<Range<u64>> {
        let missing = self.here.missing(&(0..self.size));
        let gaps: Vec<_> = missing.iter().flat_map(|missing| self.under_way.missing(missing)).collect();
        let fetch: Vec<_> = gaps.into_iter().flat_map(pieces).collect();
        fetch.iter().for_each(|piece| self.under_way.insert(piece.clone()));
        fetch
    }

    /// These bytes are here now.
    pub fn arrived(&mut self, range: Range<u64>) {
        self.under_way.remove(range.clone());
        self.here.insert(range);
    }

    /// A fetch ended: what it did not bring is no longer under way.
    pub fn ended(&mut self, range: Range<u64>) {
        self.under_way.remove(range);
    }

    /// Are all bytes of `range` here?
    pub fn has(&self, range: &Range<u64>) -> bool {
        self.here.contains(range)
    }

    /// Would the file be whole with `range`?
    pub fn completes(&self, range: &Range<u64>) -> bool {
        let mut here = self.here.clone();
        here.insert(range.clone());
        here.contains(&(0..self.size))
    }

    /// Are all bytes here?
    pub fn is_whole(&self) -> bool {
        self.here.contains(&(0..self.size))
    }

    /// Where the first byte is missing.
    pub fn here_up_to(&self) -> u64 {
        self.here.missing(&(0..self.size)).first().map_or(self.size, |gap| gap.start)
    }

    /// How many bytes are here.
    pub fn bytes_here(&self) -> u64 {
        self.here.total()
    }
}

/// Cuts a range so that several requests carry it.
fn pieces(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let mut rest = range;
    std::iter::from_fn(move || {
        let left = rest.end - rest.start;
        let piece = rest.start..rest.start + if left > LARGEST { PIECE } else { left };
        rest.start = piece.end;
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_small_file_costs_one_request() {
        let mut ahead = ReadAhead::new(5000);
        let first = ahead.read(0..100);
        assert_eq!((first.ready, first.fetch.len(), first.fetch[0].clone()), (false, 1, 0..5000));
        assert_eq!(ahead.read(100..200), ReadPlan { ready: false, fetch: vec![] });
        ahead.arrived(0..5000);
        assert!(ahead.read(4000..5000).ready && ahead.is_whole());
    }

    #[test]
    fn the_window_grows_while_the_reader_goes_on() {
        let mut ahead = ReadAhead::new(1 << 30);
        let (mut at, mut requests, mut largest) = (0, 0, 0);
        while at < 64 * MIB {
            for piece in ahead.read(at..at + 128 * 1024).fetch {
                requests += 1;
                largest = largest.max(piece.end - piece.start);
                ahead.arrived(piece);
            }
            at += 128 * 1024;
        }
        assert!(requests < 30, "{requests} requests for 64 MiB");
        assert!((PIECE..=LARGEST).contains(&largest), "{largest}");
    }

    #[test]
    fn a_file_of_some_mebibytes_is_under_way_after_the_first_bytes() {
        let size = 17 * MIB;
        let mut ahead = ReadAhead::new(size);
        let first = ahead.read(0..32 * 1024).fetch;
        assert_eq!((first.len(), &first[0]), (1, &(0..(32 * 1024 + FIRST).next_multiple_of(BLOCK))));
        ahead.arrived(first[0].clone());
        let mut under_way = first[0].end;
        for at in 1..5 {
            let plan = ahead.read(at * 32 * 1024..(at + 1) * 32 * 1024);
            assert!(plan.ready, "who has its bytes waits for no others");
            under_way += plan.fetch.iter().map(|piece| piece.end - piece.start).sum::<u64>();
        }
        assert_eq!(under_way, size);
    }

    #[test]
    fn who_reads_much_at_the_beginning_gets_the_rest_with_it() {
        let asked = |first: u64| {
            let fetch = ReadAhead::new(17 * MIB).read(0..first).fetch;
            (fetch.len(), fetch.iter().map(|piece| piece.end).max().unwrap_or(0))
        };
        assert_eq!(asked(MUCH), (1, 17 * MIB));
        assert_eq!(asked(4096), (1, FIRST + BLOCK), "who looks at the kind of a file gets little");
    }

    #[test]
    fn a_reader_who_jumps_gets_little_more_than_asked_for() {
        let mut ahead = ReadAhead::new(1 << 30);
        for at in [500 * MIB, 3 * MIB, 900 * MIB] {
            let fetched: u64 =
                ahead.read(at..at + 4096).fetch.iter().map(|piece| piece.end - piece.start).sum();
            assert_eq!(fetched, SMALLEST);
        }
    }

    #[test]
    fn what_a_failed_fetch_did_not_bring_is_asked_for_again() {
        let mut ahead = ReadAhead::new(MIB);
        let piece = ahead.read(0..10).fetch[0].clone();
        ahead.arrived(0..100);
        ahead.ended(piece);
        let again = ahead.read(200..300).fetch;
        assert_eq!((again.len(), again[0].clone()), (1, 100..MIB));
    }
}
