//! Writing: always into the spool, never over the network. Where the spool is full, writers wait until
//! uploads make room ([`super::space`]).

use std::os::unix::fs::FileExt;

use super::core::Core;
use super::{By, Filesystem, on_disk};
use crate::local::store::Promise;
use crate::model::content::{State, Writing};
use crate::model::failure::Failure;
use crate::model::ino::{ContentId, Ino};
use crate::model::node::{File, Local};
use crate::model::parts::{LARGEST_FILE, PART};
use crate::model::room;

/// What came of a change that was wanted.
enum Changed {
    /// It was made, or failed.
    Done(Result<(), Failure>),
    /// The bytes of the file are not in the spool.
    Elsewhere,
    /// The local disk may not take that many bytes more just now.
    Full(u64),
    /// A close reads the bytes that are to change.
    KeptStill,
}

/// A change of bytes: where, how many, and the size of the file after it.
struct Extent {
    offset: u64,
    count: u64,
    cuts: bool,
}

impl Extent {
    fn size(&self, before: u64) -> u64 {
        if self.cuts { self.offset } else { before.max(self.offset + self.count) }
    }
}

impl Filesystem {
    /// Writes, if that needs no waiting; `None` when the bytes of the file must be brought into the
    /// spool first, when there is no room, or while a close reads the bytes ([`Self::write`]).
    pub fn write_now(
        &self,
        ino: Ino,
        by: impl Into<By>,
        offset: u64,
        data: &[u8],
    ) -> Option<Result<u32, Failure>> {
        let by = by.into();
        if let Err(failure) = self.core().is_sound(by.handle()) {
            return Some(Err(failure));
        }
        match self.write_once(ino, by, offset, data, None) {
            Changed::Done(Err(failure)) if failure.errno == libc::ENOSPC => None,
            Changed::Done(outcome) => Some(outcome.map(|()| data.len() as u32)),
            Changed::Elsewhere | Changed::Full(_) | Changed::KeptStill => None,
        }
    }

    /// Writes by a descriptor, after fetching the rest of the file and waiting for room if need be.
    ///
    /// # Errors
    /// EIO for a descriptor that was open when bytes of the file turned out to be bad: what is written may rest on them.
    pub async fn write(&self, ino: Ino, by: impl Into<By>, offset: u64, data: &[u8]) -> Result<u32, Failure> {
        let by = by.into();
        let (mut promise, mut evicted) = (None, false);
        loop {
            self.core().is_sound(by.handle())?;
            match self.write_once(ino, by, offset, data, promise.take()) {
                Changed::Done(Err(failure)) if failure.errno == libc::ENOSPC => {
                    // The disk is fuller than the limit says: cached bytes are worth less than these.
                    let again = !evicted && self.evict_for_disk(data.len() as u64).await;
                    if !again {
                        self.tell_full(ino, &failure);
                        return Err(failure);
                    }
                    evicted = true;
                }
                Changed::Done(outcome) => return outcome.map(|()| data.len() as u32),
                Changed::Elsewhere => self.take_in(ino).await?,
                Changed::Full(bytes) => promise = Some(self.room_for(ino, bytes).await?),
                Changed::KeptStill => self.may_move(ino, offset).await,
            }
        }
    }

    fn write_once(
        &self,
        ino: Ino,
        by: By,
        offset: u64,
        data: &[u8],
        promise: Option<Promise<'_>>,
    ) -> Changed {
        let extent = Extent { offset, count: data.len() as u64, cuts: false };
        if offset.saturating_add(extent.count) > LARGEST_FILE {
            let failure = Failure::new(libc::EFBIG, "Files.com stores files of up to 5 TiB");
            return Changed::Done(Err(failure));
        }
        self.change_bytes(ino, by, &extent, promise, |file| file.write_all_at(data, offset))
    }

    /// Cuts a file off, or lengthens it by zeros.
    pub async fn resize(&self, ino: Ino, by: By, size: u64) -> Result<(), Failure> {
        if size > LARGEST_FILE {
            return Err(Failure::new(libc::EFBIG, "Files.com stores files of up to 5 TiB"));
        }
        if size == 0 {
            self.core().is_written(ino, by);
            return self.empty(ino);
        }
        loop {
            // Lengthened by a gap, which takes nothing.
            let extent = Extent { offset: size, count: 0, cuts: true };
            match self.change_bytes(ino, by, &extent, None, |file| file.set_len(size)) {
                Changed::Done(outcome) => return outcome,
                Changed::Elsewhere | Changed::Full(_) => self.take_in(ino).await?,
                Changed::KeptStill => self.may_move(ino, size).await,
            }
        }
    }

    /// One change of the bytes between the two looks that the rules ask for.
    fn change_bytes(
        &self,
        ino: Ino,
        by: By,
        extent: &Extent,
        promise: Option<Promise<'_>>,
        change: impl FnOnce(&std::fs::File) -> std::io::Result<()>,
    ) -> Changed {
        let (id, writing, promise) = match self.begin_write(ino, by, extent, promise) {
            Ok(begun) => begun,
            Err(changed) => return changed,
        };
        let outcome = self.store.file(id).and_then(|file| {
            let outcome = change(&file);
            self.store.measure(id, &file);
            outcome
        });
        drop(promise);
        let mut core = self.core();
        let is_awaited = core.still.contains_key(&ino);
        let Ok(node) = core.tree.node_mut(ino) else {
            return Changed::Done(Err(Failure::plain(libc::ESTALE)));
        };
        if outcome.is_ok() {
            node.attributes.mtime = super::now();
            node.attributes.ctime = node.attributes.mtime;
        }
        if let Some(file) = node.file_mut() {
            file.content.end_write(writing);
            if !file.content.is_being_changed() && is_awaited {
                self.writes.notify_waiters();
            }
            // What a failed write left beyond the end would show in a gap that a later write makes. Where
            // another write is under way, the end is not known.
            if outcome.is_err()
                && file.local.id() == Some(id)
                && !file.content.is_being_changed()
                && let Ok(spooled) = self.store.file(id)
                && spooled.metadata().is_ok_and(|metadata| metadata.len() > file.size)
            {
                let _ = spooled.set_len(file.size);
                self.store.measure(id, &spooled);
            }
            // Emptied in the meantime: these bytes went into a file that is no longer this one's.
            if outcome.is_ok() && file.local.id() == Some(id) {
                file.size = extent.size(file.size);
                let (size, quiet) = (file.size, !file.content.is_being_changed());
                if size >= PART {
                    let news = core.growing.entry(id).or_default().after_write(size, quiet);
                    self.streams.tell(ino, id, news);
                }
            }
        }
        Changed::Done(outcome.map_err(Failure::from))
    }

    fn begin_write<'a>(
        &'a self,
        ino: Ino,
        by: By,
        extent: &Extent,
        promise: Option<Promise<'a>>,
    ) -> Result<(ContentId, Writing, Promise<'a>), Changed> {
        self.may_change().map_err(|failure| Changed::Done(Err(failure)))?;
        let has_reserve = self.journal.reserve().is_kept();
        let mut core = self.core();
        if core.still.get(&ino).is_some_and(|still| !still.allows(extent.offset)) {
            return Err(Changed::KeptStill);
        }
        core.is_written(ino, by);
        let cached = core.cached.used();
        let file = core.tree.file_mut(ino).map_err(|failure| Changed::Done(Err(failure)))?;
        still_there(file).map_err(|failure| Changed::Done(Err(failure)))?;
        let Local::Spooled(id) = file.local else { return Err(Changed::Elsewhere) };
        let bytes = match extent.cuts {
            true => 0,
            false => room::growth(file.size, self.store.taken(id), extent.offset, extent.count),
        };
        if bytes > 0 && !has_reserve {
            let why =
                "the local disk is full, and what is left of it belongs to the journal; free some space";
            return Err(Changed::Done(Err(Failure::new(libc::ENOSPC, why))));
        }
        let promise = match promise {
            Some(promise) => promise,
            None => self.store.ask(Some(id), bytes, cached).map_err(|_| Changed::Full(bytes))?,
        };
        let (size, is_new) = (file.size, !matches!(file.content.state(), State::Dirty(_)));
        let writing = file.content.begin_write();
        let was_empty = file.private && file.temporary && size == 0;
        if is_new {
            core.look_again_at(ino);
        }
        if was_empty && extent.size(0) > 0 {
            self.name_decides(&mut core, ino);
        }
        if let Some(growth) = core.growing.get_mut(&id) {
            growth.before_write(size, extent.offset, extent.count, extent.cuts);
        }
        Ok((id, writing, promise))
    }

    /// A file that waited because it was empty is more than that: from now on, its name alone says whether it waits.
    pub(super) fn name_decides(&self, core: &mut Core, ino: Ino) {
        let Ok(node) = core.tree.node_mut(ino) else { return };
        let temporary =
            self.rules.temporary.matches(node.name(), node.file().is_some_and(|file| file.private));
        node.file_mut().into_iter().for_each(|file| file.temporary = temporary);
    }

    /// Brings all bytes of a file into the spool, once there is room for them.
    async fn take_in(&self, ino: Ino) -> Result<(), Failure> {
        let bytes = {
            let core = self.core();
            still_there(core.tree.file(ino)?)?;
            self.taken_here(&core, ino)?
        };
        let _promise = self.room_for(ino, bytes).await?;
        self.bring_to_spool(ino).await
    }

    /// Brings all bytes of a file into the spool: it is about to change.
    async fn bring_to_spool(&self, ino: Ino) -> Result<(), Failure> {
        // Alone with the file: an upload that ends moves it the other way.
        let _turn = self.publishing.take(ino).await?;
        if matches!(self.core().tree.file(ino)?.local, Local::Spooled(_)) {
            return Ok(());
        }
        let id = self.fetch_whole(ino).await?;
        let store = self.store.clone();
        on_disk(move || store.to_spool(id)).await?;
        let mut core = self.core();
        core.cached.remove(ino);
        match core.tree.file_mut(ino) {
            Ok(file) if file.local.id() == Some(id) => {
                file.local = Local::Spooled(id);
                file.blocks = Default::default();
                Ok(())
            }
            // It was emptied or deleted while it moved, and nobody else knows where it is now.
            other => {
                let outcome = other.map(drop);
                drop(core);
                self.drop_content(id);
                outcome
            }
        }
    }

    /// Bytes after which everything is zero: fallocate(2) without FALLOC_FL_KEEP_SIZE.
    pub async fn extend(&self, ino: Ino, by: By, to: u64) -> Result<(), Failure> {
        if self.core().tree.file(ino)?.size >= to {
            return Ok(());
        }
        self.resize(ino, by, to).await
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
