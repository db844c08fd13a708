//! Into which parts a file is cut for its upload.
//!
//! Every part costs one API request, which is billed, and one PUT. The storage takes at most 10,000
//! parts of 5 MiB to 5 GiB, the last one smaller. A file of one part is proven by that part's ETag
//! alone, so small files stay whole.

use std::ops::Range;

const MIB: u64 = 1 << 20;

/// Files up to this size are one part.
pub const WHOLE_UP_TO: u64 = 16 * MIB;

/// The largest file that can be stored: 5 TiB.
pub const LARGEST_FILE: u64 = 5 << 40;

const MOST_PARTS: u64 = 10_000;
const SMALLEST_PART: u64 = 5 * MIB;

/// The parts of a file of a known size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    size: u64,
    part_size: u64,
}

impl Parts {
    /// The plan for `size` bytes. It depends on nothing else, so that whoever reads the file back
    /// can compute the ETag that the plan leads to.
    pub fn of(size: u64) -> Self {
        let part_size = if size <= WHOLE_UP_TO {
            WHOLE_UP_TO
        } else {
            // Room to grow: never more than half of the parts that the storage allows.
            WHOLE_UP_TO.max(size.div_ceil(MOST_PARTS / 2).next_multiple_of(MIB))
        };
        Self { size, part_size }
    }

    /// The plan for storage that takes parts only one after the other: the size that it recommends.
    pub fn sequential(size: u64, recommended: u64) -> Self {
        Self { size, part_size: recommended.max(SMALLEST_PART) }
    }

    /// A plan that was made before, with parts of `part_size`.
    pub fn of_size(size: u64, part_size: u64) -> Self {
        Self { size, part_size: part_size.max(1) }
    }

    /// Bytes of each part but the last.
    pub fn part_size(&self) -> u64 {
        self.part_size
    }

    /// How many parts; an empty file has one.
    pub fn count(&self) -> u32 {
        self.size.div_ceil(self.part_size).max(1) as u32
    }

    /// The bytes of part `number`, which counts from 1.
    pub fn range(&self, number: u32) -> Range<u64> {
        let start = u64::from(number - 1) * self.part_size;
        start.min(self.size)..(start + self.part_size).min(self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_empty_file_is_one_empty_part() {
        assert_eq!((Parts::of(0).count(), Parts::of(0).range(1)), (1, 0..0));
    }

    proptest! {
        #[test]
        fn parts_cover_the_file_within_the_limits_of_the_storage(
            size in prop_oneof![0..100 * MIB, 0..=LARGEST_FILE, Just(WHOLE_UP_TO), Just(WHOLE_UP_TO + 1), Just(LARGEST_FILE)]
        ) {
            let parts = Parts::of(size);
            prop_assert!(u64::from(parts.count()) <= MOST_PARTS);
            let mut at = 0;
            for number in 1..=parts.count() {
                let range = parts.range(number);
                prop_assert_eq!(range.start, at);
                let length = range.end - range.start;
                prop_assert!(length <= 5 << 30);
                prop_assert!(number == parts.count() || length >= SMALLEST_PART);
                at = range.end;
            }
            prop_assert_eq!(at, size);
        }
    }
}
