//! A close beside others who write to the same file: while its bytes are read, they stay what they were at one moment.
//! Who appends goes on at once; who writes to bytes that are read waits until they were read. So a close is
//! answered with a proof of what was there then, however steadily others write.

use super::Filesystem;
use super::core::Core;
use crate::model::ino::Ino;

/// What may not change of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Still {
    /// Nothing may: how far it reaches is being found.
    Whole,
    /// Nothing before its end of then.
    Below(u64),
}

impl Still {
    /// May bytes from `offset` on change?
    pub fn allows(self, offset: u64) -> bool {
        match self {
            Self::Whole => false,
            Self::Below(size) => offset >= size,
        }
    }
}

/// Keeps a file still for as long as it lives, or until [`Filesystem::let_move`].
pub(super) struct KeptStill<'a> {
    filesystem: &'a Filesystem,
    ino: Ino,
}

impl Drop for KeptStill<'_> {
    fn drop(&mut self) {
        self.filesystem.let_move(self.ino);
    }
}

impl Filesystem {
    /// Keeps `ino` still, once the writes that are under way have ended. For whoever has the `publishing` turn of the
    /// file, so that nobody else does. Given up while it waits, it keeps nothing.
    pub(super) async fn keep_still(&self, ino: Ino) -> KeptStill<'_> {
        self.core().still.insert(ino, Still::Whole);
        let kept = KeptStill { filesystem: self, ino };
        let is_quiet = |core: &Core| !core.tree.file(ino).is_ok_and(|file| file.content.is_being_changed());
        loop {
            let write = self.writes.notified();
            tokio::pin!(write);
            write.as_mut().enable();
            if is_quiet(&self.core()) {
                return kept;
            }
            write.await;
        }
    }

    /// All that was to be read was read: whoever waits to write goes on.
    pub(super) fn let_move(&self, ino: Ino) {
        if self.core().still.remove(&ino).is_some() {
            self.writes.notify_waiters();
        }
    }

    /// Waits until bytes of `ino` from `offset` on may change.
    pub(super) async fn may_move(&self, ino: Ino, offset: u64) {
        loop {
            let write = self.writes.notified();
            tokio::pin!(write);
            write.as_mut().enable();
            if self.core().still.get(&ino).is_none_or(|still| still.allows(offset)) {
                return;
            }
            write.await;
        }
    }
}
