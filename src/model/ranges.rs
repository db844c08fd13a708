//! A set of byte ranges, kept sorted, apart and never empty.

use std::ops::Range;

/// Which bytes of a file are here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges {
    parts: Vec<Range<u64>>,
}

impl Ranges {
    /// Adds a range; what touches becomes one.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self.parts.partition_point(|part| part.end < range.start);
        let after = self.parts.partition_point(|part| part.start <= range.end);
        let mut merged = range;
        for part in &self.parts[first..after] {
            merged = merged.start.min(part.start)..merged.end.max(part.end);
        }
        self.parts.splice(first..after, [merged]);
    }

    /// Takes a range out.
    pub fn remove(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let mut left = Vec::with_capacity(self.parts.len() + 1);
        for part in self.parts.drain(..) {
            if part.end <= range.start || part.start >= range.end {
                left.push(part);
                continue;
            }
            left.extend(
                [part.start..range.start, range.end..part.end].into_iter().filter(|r| r.start < r.end),
            );
        }
        self.parts = left;
    }

    /// Is all of `range` here?
    pub fn contains(&self, range: &Range<u64>) -> bool {
        range.is_empty() || self.parts.iter().any(|part| part.start <= range.start && range.end <= part.end)
    }

    /// The parts of `range` that are not here, in order.
    pub fn missing(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        let mut missing = Vec::new();
        let mut at = range.start;
        for part in self.parts.iter().filter(|part| part.end > range.start && part.start < range.end) {
            if part.start > at {
                missing.push(at..part.start);
            }
            at = at.max(part.end);
        }
        if at < range.end {
            missing.push(at..range.end);
        }
        missing
    }

    /// How many bytes are here.
    pub fn total(&self) -> u64 {
        self.parts.iter().map(|part| part.end - part.start).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranges_agree_with_a_row_of_booleans(steps in prop::collection::vec((any::<bool>(), 0u64..40, 0u64..12), 0..30)) {
            let mut ranges = Ranges::default();
            let mut row = [false; 64];
            for (add, start, len) in steps {
                let range = start..start + len;
                if add { ranges.insert(range.clone()) } else { ranges.remove(range.clone()) }
                for i in range { row[i as usize] = add }
            }
            prop_assert_eq!(ranges.total(), row.iter().filter(|b| **b).count() as u64);
            let missing: Vec<u64> = ranges.missing(&(0..64)).into_iter().flatten().collect();
            let expected: Vec<u64> = (0..64).filter(|i| !row[*i as usize]).collect();
            prop_assert_eq!(missing, expected);
            for i in 0..63 {
                prop_assert_eq!(ranges.contains(&(i..i + 2)), row[i as usize] && row[i as usize + 1]);
            }
        }
    }
}
