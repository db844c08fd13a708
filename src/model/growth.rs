//! A file that grows at its end: which of its parts may leave before it is closed.
//!
//! A part may leave once the writer is past it. Should the writer come back to bytes that were handed out,
//! those parts are sent again after the close, and nothing more leaves before: a file that is written to and
//! fro is no stream. What is sent early is only ever part of a file if no byte of it changed since it was read.

use std::collections::BTreeSet;
use std::ops::Range;

use super::parts::{PART, Parts};

/// Nothing leaves of a smaller file: its close may be near, and it costs one request less then.
const WORTH_IT: u64 = 2 * PART;
/// So much must have been appended in one go: whoever does that will go on.
const IN_A_ROW: u64 = PART;

/// How far a file has grown, and how much of it was handed out.
#[derive(Debug, Clone, Default)]
pub struct Growth {
    /// Bytes that were appended since the last write elsewhere.
    appended: u64,
    /// No write to the bytes before this one is under way.
    settled: u64,
    /// Parts that were handed out, from the first one on.
    parts: u32,
    /// Bytes in them.
    claimed: u64,
    stage: Stage,
    /// Parts that were changed after they were handed out.
    touched: BTreeSet<u32>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    /// Too small, or not written in one go.
    #[default]
    Small,
    /// Whoever sends parts may begin.
    Wanted,
    /// Somebody sends parts.
    Followed,
    /// No further part leaves.
    Ended,
}

/// What a write made possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Nothing that was not possible before.
    Nothing,
    /// The file is a stream: somebody should follow it.
    Stream,
    /// Whoever follows it can send a part.
    Part,
}

impl Growth {
    /// Before bytes from `offset` on change, or are cut off, in a file of `size` bytes.
    pub fn before_write(&mut self, size: u64, offset: u64, count: u64, cuts: bool) {
        let appends = offset == size && !cuts;
        self.appended = if appends { self.appended + count } else { 0 };
        self.settled = self.settled.min(offset);
        let end = if cuts { u64::MAX } else { offset.saturating_add(count) };
        if offset < self.claimed && end > offset {
            let plan = Parts::of(self.claimed);
            let is_hit = |number: &u32| {
                let part = plan.range(*number);
                part.start < end && offset < part.end
            };
            self.touched.extend((1..=self.parts).filter(is_hit));
            self.stage = Stage::Ended;
        }
    }

    /// After a write that left `size` bytes; `quiet` when no other one is under way.
    pub fn after_write(&mut self, size: u64, quiet: bool) -> News {
        if quiet {
            self.settled = size;
        }
        match self.stage {
            Stage::Small if size >= WORTH_IT && self.appended >= IN_A_ROW => {
                self.stage = Stage::Wanted;
                News::Stream
            }
            Stage::Followed if self.next().is_some() => News::Part,
            _ => News::Nothing,
        }
    }

    /// Somebody wants to send its parts from now on. False where that is not wanted, or done already.
    pub fn follow(&mut self) -> bool {
        let wanted = self.stage == Stage::Wanted;
        if wanted {
            self.stage = Stage::Followed;
        }
        wanted
    }

    /// The next part by its number, to be read and sent now. `None`: nothing yet, or, where it has ended, nothing
    /// more.
    pub fn claim(&mut self) -> Option<(u32, Range<u64>)> {
        let range = self.next().filter(|_| self.stage == Stage::Followed)?;
        (self.parts, self.claimed) = (self.parts + 1, range.end);
        Some((self.parts, range))
    }

    fn next(&self) -> Option<Range<u64>> {
        let range = Parts::of(u64::MAX).range(self.parts + 1);
        // One byte more than the part: the last one of a file is sent when it is closed.
        (range.end < self.settled).then_some(range)
    }

    /// No further part leaves before the close.
    pub fn end(&mut self) {
        self.stage = Stage::Ended;
    }

    /// Does no further part leave?
    pub fn has_ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    /// Parts whose bytes are others now than those that were handed out.
    pub fn touched(&self) -> &BTreeSet<u32> {
        &self.touched
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    /// Appends `count` bytes in writes of 1 MiB.
    fn append(growth: &mut Growth, size: &mut u64, count: u64) -> News {
        let mut news = News::Nothing;
        for _ in 0..count / MIB {
            growth.before_write(*size, *size, MIB, false);
            *size += MIB;
            news = growth.after_write(*size, true);
        }
        news
    }

    #[test]
    fn parts_leave_once_the_writer_is_past_them() {
        let (mut growth, mut size) = (Growth::default(), 0);
        assert_eq!(append(&mut growth, &mut size, 31 * MIB), News::Nothing);
        assert!(!growth.follow());
        assert_eq!(append(&mut growth, &mut size, MIB), News::Stream);
        assert!(growth.follow() && !growth.follow());
        assert_eq!(growth.claim(), Some((1, 0..16 * MIB)));
        assert_eq!(growth.claim(), None, "it may be the last one");
        assert_eq!(append(&mut growth, &mut size, MIB), News::Part);
        assert_eq!(growth.claim(), Some((2, 16 * MIB..32 * MIB)));
        growth.end();
        append(&mut growth, &mut size, 64 * MIB);
        assert!(growth.claim().is_none() && growth.has_ended());
        assert!(growth.touched().is_empty());
    }

    #[test]
    fn nothing_leaves_to_which_somebody_is_writing() {
        let (mut growth, mut size) = (Growth::default(), 0);
        append(&mut growth, &mut size, 40 * MIB);
        growth.follow();
        growth.before_write(size, 3 * MIB, MIB, false);
        growth.before_write(size, size, MIB, false);
        assert_eq!(growth.after_write(size + MIB, false), News::Nothing);
        assert_eq!(growth.claim(), None);
        assert_eq!(growth.after_write(size + MIB, true), News::Part);
        assert_eq!(growth.claim(), Some((1, 0..16 * MIB)));
    }

    #[test]
    fn whoever_writes_to_and_fro_is_not_followed() {
        let (mut growth, mut size) = (Growth::default(), 0);
        for _ in 0..100 {
            assert_eq!(append(&mut growth, &mut size, 8 * MIB), News::Nothing);
            growth.before_write(size, 0, 512, false);
            assert_eq!(growth.after_write(size, true), News::Nothing);
        }
    }

    #[test]
    fn a_header_that_is_written_at_the_end_costs_its_part_alone() {
        let (mut growth, mut size) = (Growth::default(), 0);
        append(&mut growth, &mut size, 100 * MIB);
        growth.follow();
        while growth.claim().is_some() {}
        growth.before_write(size, 99 * MIB, 1, false);
        assert!(growth.touched().is_empty(), "that part has not left");
        growth.before_write(size, 10, 4, false);
        assert_eq!(growth.touched().iter().collect::<Vec<_>>(), [&1]);
        growth.after_write(size + 100 * MIB, true);
        assert!(growth.claim().is_none() && growth.has_ended());
        growth.before_write(size, 20 * MIB, 0, true);
        assert_eq!(growth.touched().len(), 6, "what was cut off is gone");
    }

    proptest! {
        /// A row of numbers beside the rules, one for each MiB: each write brings its own. Whatever a part was
        /// when it was read, it is at the end, unless it is said to be touched.
        #[test]
        fn what_left_and_was_not_touched_is_what_is_there(
            steps in prop::collection::vec((0u8..8, 0u64..120, 1u64..40), 1..60)
        ) {
            let (mut growth, mut row, mut sent) = (Growth::default(), Vec::<usize>::new(), Vec::new());
            for (number, (what, at, count)) in steps.into_iter().enumerate() {
                let size = row.len() as u64;
                let at = if what < 2 { at.min(size) } else { size };
                match what {
                    0 => {
                        growth.before_write(size * MIB, at * MIB, 0, true);
                        row.truncate(at as usize);
                    }
                    2 => {
                        growth.follow();
                        if let Some((part, range)) = growth.claim() {
                            let range = (range.start / MIB) as usize..(range.end / MIB) as usize;
                            sent.push((part, range.clone(), row[range].to_vec()));
                        }
                        continue;
                    }
                    _ => {
                        growth.before_write(size * MIB, at * MIB, count * MIB, false);
                        row.resize(row.len().max((at + count) as usize), 0);
                        row[at as usize..(at + count) as usize].fill(number);
                    }
                }
                growth.after_write(row.len() as u64 * MIB, true);
            }
            for (part, range, bytes) in sent {
                if !growth.touched().contains(&part) {
                    prop_assert_eq!(row.get(range), Some(&bytes[..]));
                }
            }
        }
    }
}
