//! Numbers: of files and folders, and of local bytes.
//!
//! The number of a file or folder comes from the path under which it was first met, so that the next mount,
//! here or elsewhere, gives it the same one. Within a mount it stays, whatever it is renamed to, and no other
//! gets it.

use std::collections::{HashSet, VecDeque};

use super::digest::Md5;
use super::path::RemotePath;

/// An inode number: names a file or folder for the life of the mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ino(pub u64);

impl Ino {
    /// The folder that is mounted.
    pub const ROOT: Self = Self(1);

    /// The number that a path leads to; further attempts for what meets a number that is taken.
    fn of(path: &RemotePath, attempt: u32) -> Self {
        let mut text = path.as_str().as_bytes().to_vec();
        if attempt > 0 {
            // No path holds a NUL.
            text.push(0);
            text.extend(attempt.to_le_bytes());
        }
        let [a, b, c, d, e, f, g, h, ..] = Md5::of(&text).0;
        // 63 bits: some programs read it as a signed number.
        Self(u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1)
    }
}

/// Names the local bytes of one file, in the spool and in the cache alike. Deliberately without an order: numbers are
/// made in advance, so that a smaller one may be of newer bytes. What is newer, a
/// [`Revision`](super::content::Revision) tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentId(pub u64);

/// How many numbers are remembered that were given back: for as long as something that was under way then
/// may still speak of them.
const REMEMBERED: usize = 1 << 16;

/// Gives numbers to files and folders.
#[derive(Debug, Default)]
pub struct Numbers {
    given_back: VecDeque<Ino>,
    resting: HashSet<Ino>,
}

impl Numbers {
    /// A number for what is at `path`, or will be.
    pub fn choose(&self, path: &RemotePath, is_taken: impl Fn(Ino) -> bool) -> Ino {
        let free = |ino: &Ino| *ino > Ino::ROOT && !self.resting.contains(ino) && !is_taken(*ino);
        (0..).map(|attempt| Ino::of(path, attempt)).find(free).unwrap_or(Ino(u64::MAX))
    }

    /// Nobody holds `ino` any more.
    pub fn give_back(&mut self, ino: Ino) {
        if self.resting.insert(ino) {
            self.given_back.push_back(ino);
        }
        if self.given_back.len() > REMEMBERED
            && let Some(oldest) = self.given_back.pop_front()
        {
            self.resting.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str) -> RemotePath {
        RemotePath::parse(path).unwrap()
    }

    #[test]
    fn a_path_has_the_same_number_in_every_mount() {
        let choose = |path: &str| Numbers::default().choose(&at(path), |_| false);
        // Fixed for good: a restored number is what programs compare.
        assert_eq!(choose("backups/host/f"), Ino(4_348_549_916_955_064_719));
        assert_ne!(choose("backups/host/f"), choose("backups/host/g"));
    }

    #[test]
    fn a_number_that_is_taken_or_was_given_back_just_now_is_not_given_again() {
        let mut numbers = Numbers::default();
        let first = numbers.choose(&at("f"), |_| false);
        let second = numbers.choose(&at("f"), |ino| ino == first);
        assert_ne!(first, second);
        numbers.give_back(first);
        assert_eq!(numbers.choose(&at("f"), |_| false), second);
        for n in 0..REMEMBERED as u64 {
            numbers.give_back(Ino(n + 2));
        }
        assert_eq!(numbers.choose(&at("f"), |_| false), first, "forgotten at last");
    }
}
