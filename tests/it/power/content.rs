//! The bytes of one file on a disk that may lose its power: those that programs see, those that an fsync has
//! answered for, and what happened between the two.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::reference::Dice;

/// What a disk writes at once.
const PAGE: usize = 4096;

type Page = [u8; PAGE];

/// A file that may have holes.
#[derive(Debug, Clone, Default)]
struct Pages {
    size: u64,
    pages: BTreeMap<u64, Arc<Page>>,
}

/// What was done and may be lost.
#[derive(Debug, Clone)]
enum Change {
    Write { offset: u64, bytes: Arc<[u8]> },
    Size(u64),
}

/// The bytes of one file.
#[derive(Debug, Clone, Default)]
pub struct Content {
    live: Pages,
    kept: Pages,
    since: Vec<Change>,
}

impl Content {
    pub fn size(&self) -> u64 {
        self.live.size
    }

    pub fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        let end = self.live.size.min(offset.saturating_add(len as u64));
        let mut bytes = vec![0; end.saturating_sub(offset) as usize];
        for (number, from, to) in pieces(offset, bytes.len()) {
            if let Some(page) = self.live.pages.get(&number) {
                bytes[to..][..from.len()].copy_from_slice(&page[from]);
            }
        }
        bytes
    }

    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        let change = Change::Write { offset, bytes: bytes.into() };
        self.make(change, offset.max(self.live.size).max(offset + bytes.len() as u64));
    }

    pub fn resize(&mut self, size: u64) {
        self.make(Change::Size(size), size);
    }

    fn make(&mut self, change: Change, size: u64) {
        for number in change.pages(&self.live) {
            let page = change.made(number, self.live.pages.get(&number));
            self.live.pages.insert(number, page);
        }
        self.live.cut(size);
        self.since.push(change);
    }

    /// fsync(2).
    pub fn sync(&mut self) {
        self.kept = self.live.clone();
        self.since.clear();
    }

    /// The power fails. What was synced stays; of what was done since, each page and the size know all,
    /// nothing, or the beginning.
    pub fn lose(&mut self, dice: &mut Dice) {
        let (count, style) = (self.since.len() as u64, dice.below(4));
        let mut known = || match style {
            0 => 0,
            1 => count as usize,
            _ => dice.below(count + 1) as usize,
        };
        let mut left = self.kept.clone();
        let mut touched = BTreeSet::new();
        for change in &self.since {
            touched.extend(change.pages(&self.live));
            touched.extend(change.pages(&self.kept));
        }
        for number in touched {
            let mut page = self.kept.pages.get(&number).cloned();
            for change in &self.since[..known()] {
                page = Some(change.made(number, page.as_ref()));
            }
            page.into_iter().for_each(|page| drop(left.pages.insert(number, page)));
        }
        let mut size = self.kept.size;
        for change in &self.since[..known()] {
            size = match change {
                Change::Write { offset, bytes } => size.max(offset + bytes.len() as u64),
                Change::Size(size) => *size,
            };
        }
        left.cut(size);
        *self = Self { live: left.clone(), kept: left, since: Vec::new() };
    }
}

impl Change {
    /// The pages that it touches, of a file that has those of `before`.
    fn pages(&self, before: &Pages) -> Vec<u64> {
        match self {
            Self::Write { offset, bytes } => {
                pieces(*offset, bytes.len()).map(|(number, ..)| number).collect()
            }
            Self::Size(size) => before.pages.range(size / PAGE as u64..).map(|(number, _)| *number).collect(),
        }
    }

    /// A page after it.
    fn made(&self, number: u64, before: Option<&Arc<Page>>) -> Arc<Page> {
        let mut page = before.map_or([0; PAGE], |page| **page);
        match self {
            Self::Write { offset, bytes } => {
                let pieces = pieces(*offset, bytes.len()).filter(|(touched, ..)| *touched == number);
                pieces.for_each(|(_, to, from)| {
                    let len = to.len();
                    page[to].copy_from_slice(&bytes[from..from + len]);
                });
            }
            Self::Size(size) => {
                let from = size.saturating_sub(number * PAGE as u64).min(PAGE as u64) as usize;
                page[from..].fill(0);
            }
        }
        Arc::new(page)
    }
}

impl Pages {
    fn cut(&mut self, size: u64) {
        if size < self.size || self.pages.last_key_value().is_some_and(|(last, _)| last * PAGE as u64 >= size)
        {
            self.pages.split_off(&size.div_ceil(PAGE as u64));
        }
        // Nothing is ever behind the end.
        let (last, end) = (size / PAGE as u64, (size % PAGE as u64) as usize);
        if let Some(page) = self.pages.get_mut(&last)
            && page[end..].iter().any(|byte| *byte != 0)
        {
            Arc::make_mut(page)[end..].fill(0);
        }
        self.size = size;
    }
}

/// The pages of some bytes from `offset` on: their numbers, the place in each, and where in the bytes it begins.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, std::ops::Range<usize>, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let from = (at % PAGE as u64) as usize;
        let piece = (len - done).min(PAGE - from);
        let start = done;
        done += piece;
        (piece > 0).then_some((at / PAGE as u64, from..from + piece, start))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_with_zeros_in_the_holes() {
        let mut content = Content::default();
        content.write(5000, b"abc");
        content.write(4094, b"1234");
        assert_eq!(content.size(), 5003);
        assert_eq!(content.read(4093, 6), b"\x001234\x00");
        content.resize(4096);
        content.resize(5003);
        assert_eq!(content.read(4094, 2000)[..4], *b"12\0\0");
        assert_eq!(content.read(5000, 10), [0; 3]);
    }

    #[test]
    fn what_was_synced_stays_and_pages_that_were_not_go_by_themselves() {
        let mut seen = BTreeSet::new();
        for seed in 0..200 {
            let mut content = Content::default();
            content.write(0, &[1; 2 * PAGE]);
            content.sync();
            content.write(0, &[2; 2 * PAGE]);
            content.lose(&mut Dice::of(seed));
            assert_eq!(content.size(), 2 * PAGE as u64);
            let bytes = content.read(0, 2 * PAGE);
            let (first, second) = bytes.split_at(PAGE);
            assert!(
                first.iter().all(|byte| *byte == first[0]) && second.iter().all(|byte| *byte == second[0])
            );
            seen.insert((first[0], second[0]));
        }
        assert_eq!(seen, BTreeSet::from([(1, 1), (1, 2), (2, 1), (2, 2)]));
    }

    #[test]
    fn what_was_never_synced_may_be_all_gone() {
        let left = |seed| {
            let mut content = Content::default();
            content.write(0, b"bytes");
            content.lose(&mut Dice::of(seed));
            content.read(0, 10)
        };
        let seen: BTreeSet<_> = (0..100).map(left).collect();
        assert_eq!(seen, BTreeSet::from([vec![], b"bytes".to_vec(), vec![0; 5]]));
    }
}
