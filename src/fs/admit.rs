//! The door through which bytes of Files.com come in: whoever fetches them, whichever way, hands them over here.
//!
//! Nobody reads a byte that did not pass. Blocks count as here once they are whole, and one that was handed out before
//! must be what it was. The blocks that complete a file count once the whole is compared with every digest that is known
//! of the version. Where anything differs, all that was fetched is thrown away, and whoever has the file open learns it at
//! the next read or write: a part of what was read before may be bad.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;

use super::core::Core;
use super::{Filesystem, Stale, on_disk};
use crate::model::blocks::{Block, Cutter};
use crate::model::digest::ETag;
use crate::model::expected::Expected;
use crate::model::failure::Failure;
use crate::model::ino::{ContentId, Ino};
use crate::model::node::Local;
use crate::model::proof::Fingerprint;

/// Where bytes came from, as far as that says what they are.
#[derive(Debug, Clone, Default)]
pub(super) struct Source {
    /// What Files.com states of the version that it sends.
    pub stated: Option<Fingerprint>,
    /// What its storage calls the object.
    pub object: Option<ETag>,
}

/// A range that is expected, from a block's beginning to a block's end, and how far it came.
#[derive(Debug)]
pub(super) struct Intake {
    ino: Ino,
    id: ContentId,
    range: Range<u64>,
    at: u64,
    /// Up to here, bytes count as here.
    counted: u64,
    cutter: Cutter,
}

impl Intake {
    /// What did not come yet.
    pub(super) fn missing(&self) -> Range<u64> {
        self.at..self.range.end
    }
}

/// What became of blocks at the door.
enum Passed {
    /// They count. Up to there, all bytes of the file are here.
    Counted(u64),
    /// The file is not that any more: nobody waits for them.
    Unwanted,
    /// They would complete the file, which is to be compared first.
    Completing,
    /// One is not what it was.
    Differs,
}

impl Filesystem {
    /// A range of the content `id` of `ino` is about to come.
    pub(super) fn expect(&self, ino: Ino, id: ContentId, range: &Range<u64>) -> Result<Intake, Failure> {
        let size = self.core().tree.file(ino)?.size.max(range.end);
        let cutter = Cutter::new(range.start, size);
        Ok(Intake { ino, id, range: range.clone(), at: range.start, counted: range.start, cutter })
    }

    /// Bytes came: the next ones of `intake`. They are written, compared and counted; whoever waits for them is told.
    ///
    /// When it is dropped, bytes may have been written that do not count: they are fetched again.
    ///
    /// # Errors
    /// EIO for bytes that are not those of the file; nothing of it is here any more then. What the disk said.
    pub(super) async fn admit(
        &self,
        intake: &mut Intake,
        pieces: Vec<Bytes>,
        source: &Source,
    ) -> Result<(), Failure> {
        let (ino, id) = (intake.ino, intake.id);
        let file = self.store.file(id)?;
        let bytes: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
        if bytes > intake.range.end - intake.at {
            return Err(Failure::new(libc::EIO, "more bytes came than were asked for"));
        }
        self.write_arrived(&file, intake.at, pieces.clone(), bytes).await?;
        intake.at += bytes;
        let mut blocks = Vec::new();
        pieces.iter().for_each(|piece| intake.cutter.take(piece, &mut blocks));
        let arrived = intake.counted..intake.cutter.cut_up_to().min(intake.at);
        if arrived.is_empty() {
            return Ok(());
        }
        let here = match self.let_pass(ino, id, &arrived, &blocks) {
            Passed::Counted(here) => here,
            Passed::Unwanted => return Err(Failure::new(libc::ESTALE, "nobody wants these bytes any more")),
            Passed::Completing => {
                self.compare_whole(ino, id, source).await?;
                note_here(&mut self.core(), ino, id, arrived.clone())
            }
            Passed::Differs => {
                return Err(self.damaged(ino, id, "what was fetched once more is not what it was"));
            }
        };
        intake.counted = arrived.end;
        self.arrivals.notify_waiters();
        self.checks.follow(id, &file, here);
        Ok(())
    }

    fn let_pass(&self, ino: Ino, id: ContentId, arrived: &Range<u64>, blocks: &[Block]) -> Passed {
        let mut core = self.core();
        let Ok(file) = core.tree.file_mut(ino) else { return Passed::Unwanted };
        if file.local.id() != Some(id) {
            return Passed::Unwanted;
        }
        if !blocks.iter().all(|block| file.blocks.meet(*block)) {
            return Passed::Differs;
        }
        let is_proven = file.blocks.are_proven();
        match &file.local {
            Local::Cached(_, ahead) if !is_proven && !ahead.is_whole() && ahead.completes(arrived) => {
                Passed::Completing
            }
            // Noted under the same lock: of two that arrive together, one is the last.
            Local::Cached(..) => Passed::Counted(note_here(&mut core, ino, id, arrived.clone())),
            Local::Nowhere | Local::Spooled(_) => Passed::Unwanted,
        }
    }

    async fn write_arrived(
        &self,
        file: &Arc<File>,
        offset: u64,
        pieces: Vec<Bytes>,
        bytes: u64,
    ) -> Result<(), Failure> {
        let write = |pieces: Vec<Bytes>| {
            let file = file.clone();
            on_disk(move || write_pieces(&file, offset, &pieces))
        };
        match write(pieces.clone()).await {
            // The disk is fuller than the limit says: what was used longest ago makes way.
            Err(failure) if failure.errno == libc::ENOSPC && self.evict_for_disk(bytes).await => {
                write(pieces).await
            }
            outcome => outcome,
        }
    }

    /// Compares a file that was fetched whole with all that is known of it.
    async fn compare_whole(&self, ino: Ino, id: ContentId, source: &Source) -> Result<(), Failure> {
        let (expected, size) = self.expected(ino, source).await?;
        if expected.is_nothing() {
            return Ok(());
        }
        let came = self.checks.finish(id, self.store.file(id)?, size).await?;
        if let Err(differs) = expected.compare(&came) {
            let what = format!("they are not those that Files.com holds: {differs}");
            return Err(self.damaged(ino, id, &what));
        }
        if let Ok(file) = self.core().tree.file_mut(ino)
            && file.local.id() == Some(id)
        {
            file.blocks.prove(size);
        }
        Ok(())
    }

    /// All that is known of the bytes of `ino`, and how many there are.
    async fn expected(&self, ino: Ino, source: &Source) -> Result<(Expected, u64), Failure> {
        let (mut expected, version, path, size) = {
            let core = self.core();
            let file = core.tree.file(ino)?;
            let mut expected = Expected::default().object(source.object.as_ref());
            if let Some(proven) = file.proven {
                expected = expected.sent(proven);
            }
            for version in [&file.published, &source.stated].into_iter().flatten() {
                expected = expected.stated(version);
            }
            (expected, file.published.or(source.stated), core.tree.path(ino), file.size)
        };
        if expected.lacks_md5()
            && let (Some(version), Some(path)) = (version, path)
            && let Ok(Some(receipt)) = self.receipts.at(&path).await
            && receipt.is_of(&version)
        {
            expected = expected.sent(receipt.md5);
        }
        Ok((expected, size))
    }

    /// Bytes of `ino` are bad: nothing that was fetched is believed any more, and whoever has the file open has to
    /// open it again. What it is told.
    pub(super) fn damaged(&self, ino: Ino, id: ContentId, what: &str) -> Failure {
        let mut core = self.core();
        let path = core.tree.path(ino).map_or_else(|| "a file".to_owned(), |path| path.to_string());
        let failure = Failure::new(
            libc::EIO,
            format!(
                "{path} cannot be read: the bytes that came are bad: {what}; open it and read it again, and if this stays, the \
                 copy on Files.com is damaged"
            ),
        );
        let Ok(file) = core.tree.file_mut(ino) else { return failure };
        if file.local.id() != Some(id) {
            // Emptied or dropped in the meantime: what is there now was not fetched.
            return failure;
        }
        file.fetch_failures.damaged(failure.clone());
        file.local = Local::Nowhere;
        file.blocks = Default::default();
        // Those that were read before are in the kernel's memory already.
        file.stale_pages = true;
        core.cached.remove(ino);
        drop(core);
        tracing::error!("{failure}");
        let _ = self.stale.send(Stale::Inode(ino));
        self.store.remove(id);
        failure
    }
}

/// Counts bytes as here, if `id` is still where they belong. Says up to where all are.
fn note_here(core: &mut Core, ino: Ino, id: ContentId, range: Range<u64>) -> u64 {
    if let Ok(file) = core.tree.file_mut(ino)
        && let Local::Cached(here, ahead) = &mut file.local
        && *here == id
    {
        ahead.arrived(range);
        let (bytes, end) = (ahead.bytes_here(), ahead.here_up_to());
        core.cached.note(ino, bytes);
        return end;
    }
    0
}

fn write_pieces(file: &File, mut offset: u64, pieces: &[Bytes]) -> std::io::Result<()> {
    pieces.iter().try_for_each(|piece| {
        file.write_all_at(piece, offset)?;
        offset += piece.len() as u64;
        Ok(())
    })
}
