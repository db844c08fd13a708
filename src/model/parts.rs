//! Into which parts a file is cut for its upload.
//!
//! Every part costs one API request, which is billed, and one PUT. The storage takes at most 10,000
//! parts of 5 MiB to 5 GiB, the last one smaller. A file of one part is proven by that part's ETag
//! alone, so small files stay whole.
//!
//! Where a part of a file of several begins depends on its number alone, never on the size of the file: so parts
//! can leave while the file still grows.

use std::ops::Range;

const MIB: u64 = 1 << 20;

/// Bytes of the first parts of a larger file.
pub const PART: u64 = 16 * MIB;

/// Files up to this size are one part: a second one would cost two requests, and the proof of several two more. The
/// packs of backup tools are of 16 MiB and somewhat more.
pub const WHOLE_UP_TO: u64 = 24 * MIB;

/// The largest file that can be stored: 5 TiB.
pub const LARGEST_FILE: u64 = 5 << 40;

const SMALLEST_PART: u64 = 5 * MIB;
/// After so many parts their size doubles: 900 parts of 16 MiB, 900 of 32 MiB, …
const STEP: u64 = 900;
/// Up to this size, so that 10,000 parts carry the largest file.
const LARGEST_PART: u64 = 1 << 30;

/// The parts of a file of a known size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    size: u64,
    first: u64,
}

impl Parts {
    /// The plan for `size` bytes.
    pub fn of(size: u64) -> Self {
        Self::of_size(size, if size <= WHOLE_UP_TO { WHOLE_UP_TO } else { PART })
    }

    /// The plan for storage that takes parts only one after the other, or none that are larger than it said: it begins
    /// with the size that is `granted`, and keeps to it as far as the number of parts allows.
    pub fn granted(size: u64, granted: u64) -> Self {
        Self::of_size(size, granted.max(SMALLEST_PART))
    }

    /// A plan that was made before, whose first part had `first` bytes.
    pub fn of_size(size: u64, first: u64) -> Self {
        Self { size, first: first.clamp(1, LARGEST_PART) }
    }

    /// Bytes of the first part, if the file is larger than that.
    pub fn part_size(&self) -> u64 {
        self.first
    }

    /// How many parts; an empty file has one.
    pub fn count(&self) -> u32 {
        let mut step = 0;
        // Ten steps at most: then the parts have their largest size.
        while self.length(step) < LARGEST_PART && self.start((step + 1) * STEP) < self.size {
            step += 1;
        }
        let rest = self.size.saturating_sub(self.start(step * STEP));
        (step * STEP + rest.div_ceil(self.length(step))).max(1) as u32
    }

    /// The bytes of part `number`, which counts from 1.
    pub fn range(&self, number: u32) -> Range<u64> {
        let before = u64::from(number.saturating_sub(1));
        self.start(before).min(self.size)..self.start(before + 1).min(self.size)
    }

    /// Bytes of the parts of one step.
    fn length(&self, step: u64) -> u64 {
        self.first.saturating_mul(1 << step.min(40)).min(LARGEST_PART)
    }

    /// Where the part begins that `before` parts precede.
    fn start(&self, before: u64) -> u64 {
        let whole: u64 = (0..before / STEP).map(|step| self.length(step) * STEP).sum();
        whole + before % STEP * self.length(before / STEP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MOST_PARTS: u64 = 10_000;

    #[test]
    fn an_empty_file_is_one_empty_part() {
        assert_eq!((Parts::of(0).count(), Parts::of(0).range(1)), (1, 0..0));
    }

    #[test]
    fn parts_grow_with_their_number() {
        let sizes: Vec<u64> = [1, 900, 901, 1800, 1801, 5401, 9000]
            .map(|number| Parts::of(LARGEST_FILE).range(number))
            .map(|range| (range.end - range.start) / MIB)
            .to_vec();
        assert_eq!(sizes, [16, 16, 32, 32, 64, 1024, 1024]);
    }

    fn sizes() -> impl Strategy<Value = u64> {
        prop_oneof![
            0..100 * MIB,
            0..=LARGEST_FILE,
            (0..2_000u64).prop_map(|parts| parts * PART),
            Just(WHOLE_UP_TO + 1),
            Just(LARGEST_FILE),
        ]
    }

    proptest! {
        #[test]
        fn parts_cover_the_file_within_the_limits_of_the_storage(size in sizes()) {
            let parts = Parts::of(size);
            prop_assert!(u64::from(parts.count()) <= MOST_PARTS);
            let mut at = 0;
            for number in 1..=parts.count() {
                let range = parts.range(number);
                prop_assert_eq!(range.start, at);
                let length = range.end - range.start;
                prop_assert!(length <= 5 << 30);
                prop_assert!(number == parts.count() || length >= SMALLEST_PART);
                prop_assert!(length > 0 || size == 0);
                at = range.end;
            }
            prop_assert_eq!(at, size);
        }

        #[test]
        fn a_part_that_is_full_stays_as_it_is_while_the_file_grows(size in sizes(), more in sizes()) {
            let (now, later) = (Parts::of(size), Parts::of((size + more).min(LARGEST_FILE)));
            for number in 1..now.count() {
                prop_assert_eq!(now.range(number), later.range(number));
            }
        }
    }
}
