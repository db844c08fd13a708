//! Writing: always into the spool, never over the network.

use std::os::unix::fs::FileExt;

use super::{Filesystem, on_disk};
use crate::model::content::Writing;
use crate::model::failure::Failure;
use crate::model::ino::{ContentId, Ino};
use crate::model::node::{File, Local};
use crate::model::parts::LARGEST_FILE;

impl Filesystem {
    /// Writes, if the bytes of the file are in the spool already; `None` when they must be brought
    /// there first ([`Self::write`]).
    pub fn write_now(&self, ino: Ino, offset: u64, data: &[u8]) -> Option<Result<u32, Failure>> {
        let end = offset.saturating_add(data.len() as u64);
        if end > LARGEST_FILE {
            return Some(Err(Failure::new(libc::EFBIG, "Files.com stores files of up to 5 TiB")));
        }
        self.change_bytes(ino, |file| file.write_all_at(data, offset), |size| size.max(end))
            .map(|outcome| outcome.map(|()| data.len() as u32))
    }

    /// Writes, after fetching the rest of the file if need be.
    pub async fn write(&self, ino: Ino, offset: u64, data: &[u8]) -> Result<u32, Failure> {
        loop {
            if let Some(outcome) = self.write_now(ino, offset, data) {
                return outcome;
            }
            self.bring_to_spool(ino).await?;
        }
    }

    /// Cuts a file off, or lengthens it by zeros.
    pub async fn resize(&self, ino: Ino, size: u64) -> Result<(), Failure> {
        if size > LARGEST_FILE {
            return Err(Failure::new(libc::EFBIG, "Files.com stores files of up to 5 TiB"));
        }
        if size == 0 {
            return self.empty(ino);
        }
        loop {
            if let Some(outcome) = self.change_bytes(ino, |file| file.set_len(size), |_| size) {
                return outcome;
            }
            self.bring_to_spool(ino).await?;
        }
    }

    /// A write by somebody who may not keep set-user-id and set-group-id bits.
    pub fn drop_privilege(&self, ino: Ino) {
        if let Ok(node) = self.core().tree.node_mut(ino) {
            node.attributes.drop_privilege();
        }
    }

    /// One change of the bytes between the two looks that the rules ask for.
    fn change_bytes(
        &self,
        ino: Ino,
        change: impl FnOnce(&std::fs::File) -> std::io::Result<()>,
        size: impl FnOnce(u64) -> u64,
    ) -> Option<Result<(), Failure>> {
        let (id, writing) = match self.begin_write(ino) {
            Ok(begun) => begun?,
            Err(failure) => return Some(Err(failure)),
        };
        let outcome = self.store.file(id).and_then(|file| change(&file));
        let mut core = self.core();
        let Ok(node) = core.tree.node_mut(ino) else { return Some(Err(Failure::plain(libc::ESTALE))) };
        if outcome.is_ok() {
            node.attributes.mtime = super::now();
            node.attributes.ctime = node.attributes.mtime;
        }
        if let Some(file) = node.file_mut() {
            file.content.end_write(writing);
            // What a failed write left beyond the end would show in a gap that a later write makes. Where
            // another write is under way, the end is not known.
            if outcome.is_err()
                && file.local.id() == Some(id)
                && !file.content.is_being_changed()
                && let Ok(spooled) = self.store.file(id)
                && spooled.metadata().is_ok_and(|metadata| metadata.len() > file.size)
            {
                let _ = spooled.set_len(file.size);
            }
            // Emptied in the meantime: these bytes went into a file that is no longer this one's.
            if outcome.is_ok() && file.local.id() == Some(id) {
                file.size = size(file.size);
            }
        }
        Some(outcome.map_err(Failure::from))
    }

    fn begin_write(&self, ino: Ino) -> Result<Option<(ContentId, Writing)>, Failure> {
        let mut core = self.core();
        let file = core.tree.file_mut(ino)?;
        still_there(file)?;
        Ok(match file.local {
            Local::Spooled(id) => Some((id, file.content.begin_write())),
            Local::Nowhere | Local::Cached(..) => None,
        })
    }

    /// Brings all bytes of a file into the spool: it is about to change.
    pub(super) async fn bring_to_spool(&self, ino: Ino) -> Result<(), Failure> {
        // Alone with the file: an upload that ends moves it the other way.
        let _turn = self.publishing.take(ino).await;
        if matches!(self.core().tree.file(ino)?.local, Local::Spooled(_)) {
            return Ok(());
        }
        let id = self.fetch_whole(ino).await?;
        let store = self.store.clone();
        on_disk(move || store.to_spool(id)).await?;
        let mut core = self.core();
        core.cached.remove(ino);
        let file = core.tree.file_mut(ino)?;
        if file.local.id() == Some(id) {
            file.local = Local::Spooled(id);
        }
        Ok(())
    }

    /// Bytes after which everything is zero: fallocate(2) without FALLOC_FL_KEEP_SIZE.
    pub async fn extend(&self, ino: Ino, to: u64) -> Result<(), Failure> {
        if self.core().tree.file(ino)?.size >= to {
            return Ok(());
        }
        self.resize(ino, to).await
    }
}

/// ESTALE for a file that others took away: a close could not say truly that Files.com holds what is
/// written to it.
pub(super) fn still_there(file: &File) -> Result<(), Failure> {
    if file.gone {
        return Err(Failure::new(
            libc::ESTALE,
            "somebody else removed the file; open it again to make a new one",
        ));
    }
    Ok(())
}
