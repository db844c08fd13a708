//! Which files have bytes in the cache, how many, and which of them goes first.

use lru::LruCache;

use crate::model::ino::Ino;

/// The cache's books: files in the order of their last use, with the bytes that each takes.
#[derive(Debug)]
pub(crate) struct Cached {
    files: LruCache<Ino, u64>,
    used: u64,
}

impl Default for Cached {
    fn default() -> Self {
        Self { files: LruCache::unbounded(), used: 0 }
    }
}

impl Cached {
    /// `ino` takes `bytes` now, and was used just now.
    pub fn note(&mut self, ino: Ino, bytes: u64) {
        self.used += bytes;
        self.used -= self.files.put(ino, bytes).unwrap_or(0);
    }

    /// `ino` was used just now.
    pub fn touch(&mut self, ino: Ino) {
        self.files.promote(&ino);
    }

    /// `ino` has nothing in the cache any more.
    pub fn remove(&mut self, ino: Ino) {
        self.used -= self.files.pop(&ino).unwrap_or(0);
    }

    /// Bytes that `ino` takes.
    pub fn of(&self, ino: Ino) -> u64 {
        self.files.peek(&ino).copied().unwrap_or(0)
    }

    /// Bytes of all files together.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// The file that was used longest ago among those that may go.
    pub fn oldest(&self, may_go: impl Fn(Ino) -> bool) -> Option<Ino> {
        self.files.iter().rev().map(|(ino, _)| *ino).find(|ino| may_go(*ino))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_books_balance_and_the_oldest_goes_first() {
        let mut cached = Cached::default();
        cached.note(Ino(1), 10);
        cached.note(Ino(2), 20);
        cached.note(Ino(1), 15);
        assert_eq!((cached.used(), cached.of(Ino(1)), cached.oldest(|_| true)), (35, 15, Some(Ino(2))));
        cached.touch(Ino(2));
        assert_eq!(cached.oldest(|_| true), Some(Ino(1)));
        assert_eq!(cached.oldest(|ino| ino != Ino(1)), Some(Ino(2)));
        cached.remove(Ino(1));
        cached.remove(Ino(1));
        assert_eq!(cached.used(), 20);
    }
}
