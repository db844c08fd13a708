//! The blocks of a file that is fetched. Bytes count as here by whole blocks, and a block that was handed out once
//! must come again the same: what was let go and is fetched again is compared with what it was.
//!
//! The sums are of this process and say nothing to anybody else.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::num::NonZeroU64;

/// Bytes of a block: what a kernel asks for at a time.
pub const BLOCK: u64 = 128 << 10;

/// Sums that are kept together: memory follows what was read, and not what somebody says that the size is.
const TOGETHER: u64 = 512;

/// What one version of a file was, block by block, as far as it was fetched. Takes little where that is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Blocks(Option<Box<Sums>>);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sums {
    sums: BTreeMap<u64, Vec<Option<NonZeroU64>>>,
    known: u64,
    proven: bool,
}

/// A block that came whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    number: u64,
    sum: NonZeroU64,
}

impl Blocks {
    /// A block came. False when it is not what it was before.
    #[must_use]
    pub fn meet(&mut self, block: Block) -> bool {
        let (among, at) = (block.number / TOGETHER, (block.number % TOGETHER) as usize);
        let known = self.0.get_or_insert_default();
        let sums = known.sums.entry(among).or_default();
        if sums.len() <= at {
            sums.resize(at + 1, None);
        }
        match sums[at] {
            Some(sum) => sum == block.sum,
            None => {
                sums[at] = Some(block.sum);
                known.known += 1;
                true
            }
        }
    }

    /// The whole, a file of `size` bytes, was compared with what is known of it: from now on, so is each block that
    /// comes again.
    pub fn prove(&mut self, size: u64) {
        if let Some(sums) = &mut self.0 {
            sums.proven = sums.known == size.div_ceil(BLOCK);
        }
    }

    /// Is each block known, and the whole proven?
    pub fn are_proven(&self) -> bool {
        self.0.as_ref().is_some_and(|sums| sums.proven)
    }

    /// Is nothing known?
    pub fn are_unknown(&self) -> bool {
        self.0.is_none()
    }
}

/// Cuts bytes into blocks as they come, one behind the other.
#[derive(Debug, Clone)]
pub struct Cutter {
    at: u64,
    size: u64,
    hasher: DefaultHasher,
}

impl Cutter {
    /// For the bytes from `start` on, where a block begins, of a file of `size` bytes.
    pub fn new(start: u64, size: u64) -> Self {
        debug_assert_eq!(start % BLOCK, 0, "blocks come whole");
        Self { at: start, size, hasher: DefaultHasher::new() }
    }

    /// Up to where whole blocks came.
    pub fn cut_up_to(&self) -> u64 {
        if self.at == self.size { self.size } else { self.at - self.at % BLOCK }
    }

    /// Takes the next bytes, and adds the blocks that end with them.
    pub fn take(&mut self, mut bytes: &[u8], blocks: &mut Vec<Block>) {
        while !bytes.is_empty() && self.at < self.size {
            let end = (self.at - self.at % BLOCK + BLOCK).min(self.size);
            let (now, later) = bytes.split_at(bytes.len().min((end - self.at) as usize));
            self.hasher.write(now);
            self.at += now.len() as u64;
            bytes = later;
            if self.at == end {
                let sum = std::mem::take(&mut self.hasher).finish();
                let sum = NonZeroU64::new(sum).unwrap_or(NonZeroU64::MIN);
                blocks.push(Block { number: (end - 1) / BLOCK, sum });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(bytes: &[u8], steps: usize) -> Vec<Block> {
        let (mut cutter, mut blocks) = (Cutter::new(0, bytes.len() as u64), Vec::new());
        for piece in bytes.chunks(steps) {
            cutter.take(piece, &mut blocks);
            assert_eq!(cutter.cut_up_to().div_ceil(BLOCK) as usize, blocks.len());
        }
        blocks
    }

    #[test]
    fn blocks_are_the_same_however_they_came_and_others_are_told() {
        let mut bytes: Vec<u8> = (0..BLOCK as u32 * 3 + 1000).map(|n| (n * 7 + n / 251) as u8).collect();
        let size = bytes.len() as u64;
        let mut known = Blocks::default();
        let blocks = cut(&bytes, 7777);
        assert_eq!((blocks.len(), blocks == cut(&bytes, 1 << 20)), (4, true));
        assert!(blocks[1..].iter().all(|block| known.meet(*block)));
        known.prove(size);
        assert!(!known.are_proven(), "one block is not known");
        assert!(blocks.iter().all(|block| known.meet(*block)));
        known.prove(size);
        assert!(known.are_proven());
        bytes[BLOCK as usize * 3] ^= 1;
        let again: Vec<bool> = cut(&bytes, 5000).into_iter().map(|block| known.meet(block)).collect();
        assert_eq!(again, [true, true, true, false]);
    }

    #[test]
    fn a_block_in_the_middle_is_cut_alike() {
        let bytes = vec![7; BLOCK as usize * 2 + 5];
        let whole = cut(&bytes, 1 << 20);
        let (mut cutter, mut blocks) = (Cutter::new(BLOCK, bytes.len() as u64), Vec::new());
        cutter.take(&bytes[BLOCK as usize..], &mut blocks);
        assert_eq!(blocks, whole[1..]);
    }
}
