//! Close and fsync: where a caller learns whether its bytes are safe.

use std::fs::DirEntry;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use super::core::{Errand, Handle};
use super::publish::Asked;
use super::{By, Close, Filesystem};
use crate::local::failpoint;
use crate::local::journal::Fact;
use crate::local::trouble::Trouble;
use crate::model::failure::Failure;
use crate::model::ino::{ContentId, Ino};
use crate::model::node::Noted;

/// With `close=journaled`, how long a file that was created exclusively and for its owner alone waits for its rename.
const A_MOMENT: Duration = Duration::from_secs(2);

impl Filesystem {
    /// close(2): answers when Files.com holds the bytes, proven, or why it does not. A temporary name
    /// is kept durably here; its rename publishes.
    ///
    /// `pid` is the process that closes. One that merely inherited the descriptor does not wait: its
    /// close is not the one that a backup tool looks at. An empty file is the one of before until its real close: what
    /// was just made or emptied, and is about to be written by a duplicate of this descriptor, or by others, is not
    /// told to anybody yet.
    pub async fn close(&self, ino: Ino, handle: u64, pid: u32) -> Result<(), Failure> {
        let (opener, is_empty) = {
            let core = self.core();
            let Some(closing) = core.handles.get(&handle).copied().filter(|handle| handle.writable) else {
                return Ok(());
            };
            let node = core.tree.node(ino)?;
            let Some(file) = node.file() else { return Ok(()) };
            if node.parent.is_none() || !file.content.is_owed() {
                return Ok(());
            }
            let is_of_others = |other: (&u64, &Handle)| other.1.ino == ino && other.1.is_to_publish();
            if !closing.wrote && file.content.is_unfinished() && core.handles.iter().any(is_of_others) {
                // Nothing is owed to who wrote nothing: the close of who did publishes.
                return file.failure.clone().map_or(Ok(()), Err);
            }
            (closing.process, file.size == 0)
        };
        let is_openers = is_of_process(pid, opener);
        if is_empty && (!is_openers || self.has_a_duplicate(ino, handle, pid)) {
            return Ok(());
        }
        let held_back = {
            let mut core = self.core();
            let file = core.tree.file_mut(ino)?;
            let sealed = if is_openers { file.content.close() } else { file.content.seal() };
            if sealed.is_some() {
                file.owed_since.get_or_insert_with(Instant::now);
            }
            if let Some(handle) = core.handles.get_mut(&handle) {
                handle.done |= is_openers;
            }
            core.look_again_at(ino);
            !core.may_publish(ino)
        };
        if !is_openers {
            // The last close of all, or the opener's own, publishes.
            return self.make_durable(ino).await;
        }
        if held_back { self.hold_back(ino).await } else { self.answer(ino).await }
    }

    /// A shell opens the target of `>`, makes it standard output, and closes the first descriptor before
    /// anything was written. An empty file would be published, and a moment later replaced; where a key
    /// may not overwrite, the replacement would even be refused.
    fn has_a_duplicate(&self, ino: Ino, handle: u64, pid: u32) -> bool {
        let (path, process) = {
            let core = self.core();
            let Some(path) = core.tree.local_path(ino) else { return false };
            (path, core.handles.get(&handle).and_then(|handle| handle.process))
        };
        let path = self.rules.mountpoint.join(path);
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        // Those that only read have a link that cannot be written by.
        let may_write = |link: &DirEntry| {
            let metadata = std::fs::symlink_metadata(link.path());
            metadata.is_ok_and(|metadata| metadata.permissions().mode() & 0o200 != 0)
        };
        let links = descriptors.filter(may_write).filter_map(|entry| std::fs::read_link(entry.path()).ok());
        let open = links.filter(|open| *open == path).count();
        // The one that is being closed is not in the table any more. As many as this process opened besides it
        // are descriptors of their own; what is left over are duplicates.
        let others = {
            let core = self.core();
            let is_other = |(number, other): &(&u64, &Handle)| {
                let is_open = other.ino == ino && other.writable && !other.done;
                **number != handle && is_open && other.process == process
            };
            core.handles.iter().filter(is_other).count()
        };
        open > others
    }

    /// What a caller waits for when a file is whole: the proof, or in journaled mode the local disk. The
    /// failure of an earlier attempt to publish is told again, until it is resolved.
    pub(super) async fn answer(&self, ino: Ino) -> Result<(), Failure> {
        let _counted = self.space.answering();
        if self.rules.close == Close::Verified {
            let newest = self.core().tree.file(ino)?.content.newest();
            return self.publish(ino, Asked::ByClose(newest)).await;
        }
        let durable = self.fsync(ino).await;
        // What was made as if for a moment is given one: most of it is renamed or removed at once.
        let is_private = self.core().tree.file(ino).is_ok_and(|file| file.private);
        self.schedule(Errand::Publish(ino), if is_private { A_MOMENT } else { Duration::ZERO });
        durable
    }

    /// A descriptor is being closed by `pid`. True: [`Self::close`] has something to do.
    pub fn begin_close(&self, handle: u64, pid: u32) -> bool {
        let (process, is_owed) = {
            let mut core = self.core();
            let Some(handle) = core.handles.get_mut(&handle) else { return false };
            handle.closed = true;
            let (ino, writable, process) = (handle.ino, handle.writable, handle.process);
            if !writable {
                return false;
            }
            (process, core.tree.file(ino).is_ok_and(|file| file.content.is_owed()))
        };
        if !is_owed
            && is_of_process(pid, process)
            && let Some(handle) = self.core().handles.get_mut(&handle)
        {
            handle.done = true;
        }
        is_owed
    }

    /// ftruncate(2), or truncate(2) where there is no handle: then nobody will close the file, and this call
    /// answers like a close.
    pub async fn truncate(&self, ino: Ino, size: u64, handle: Option<u64>) -> Result<(), Failure> {
        if let Some(handle) = handle {
            return self.resize(ino, By::Handle(handle), size).await;
        }
        // Open for as long as it takes: what is not open may leave the cache while the rest is fetched.
        let handle = self.open(ino, true, false, 0)?;
        let outcome = match self.resize(ino, By::Handle(handle), size).await {
            // Another writer's close publishes.
            Ok(()) if self.core().tree.file(ino).is_ok_and(|file| file.writers <= 1) => {
                self.close(ino, handle, 0).await
            }
            resized => resized,
        };
        self.release(handle);
        outcome
    }

    /// fsync(2): bytes, name and intent are on the local disk. Tells the failure of an earlier attempt
    /// to publish, until it is resolved.
    pub async fn fsync(&self, ino: Ino) -> Result<(), Failure> {
        let failure = self.core().tree.file(ino)?.failure.clone();
        self.make_durable(ino).await?;
        failure.map_or(Ok(()), Err)
    }

    /// A temporary name: whole and durable here, published by its rename or after the hold.
    pub(super) async fn hold_back(&self, ino: Ino) -> Result<(), Failure> {
        let _counted = self.space.answering();
        self.make_durable(ino).await?;
        self.schedule(Errand::Publish(ino), self.rules.temporary_hold);
        Ok(())
    }

    /// [`Self::make_durable`], for who did not write the newest bytes: a file that was just emptied is the one of before
    /// until its writer closes it, after a crash, too.
    pub(super) async fn keep_what_is_owed(&self, ino: Ino) -> Result<(), Failure> {
        let is_emptied = {
            let core = self.core();
            core.tree.file(ino).is_ok_and(|file| file.size == 0 && file.is_being_written())
        };
        if is_emptied { Ok(()) } else { self.make_durable(ino).await }
    }

    /// What was written before this call survives a power loss from here on. Others may write meanwhile: then the next
    /// mount finds these bytes, and as many of theirs as the disk has.
    pub(super) async fn make_durable(&self, ino: Ino) -> Result<(), Failure> {
        loop {
            let (id, sealed, is_synced) = {
                let mut core = self.core();
                let Ok(file) = core.tree.file_mut(ino) else { return Ok(()) };
                file.content.seal();
                let Some(sealed) = file.content.owed() else { return Ok(()) };
                let is_synced = file.content.is_synced(sealed);
                let Some(owed) = self.owed_fact(&core, ino) else { return Ok(()) };
                (owed.id, sealed, is_synced)
            };
            failpoint::reach("close.sealed");
            let store = self.store.clone();
            // Not again where only the name is another one.
            if !is_synced && let Err(failure) = super::on_disk(move || store.sync(id)).await {
                return Err(self.not_synced(failure));
            }
            failpoint::reach("close.synced");
            let older = {
                // Stated as it is now, and under the lock: it may have been renamed or proven meanwhile, and
                // the journal must not hear of that first.
                let mut core = self.core();
                match self.owed_fact(&core, ino) {
                    Some(owed) if owed.id == id => {
                        let file = core.tree.file_mut(ino)?;
                        if file.content.owed() == Some(sealed) {
                            file.content.synced(sealed);
                        }
                        let known = file.noted.filter(|known| known.id == id);
                        let revision = known.map_or(sealed, |known| known.revision.max(sealed));
                        let older = file.noted.replace(Noted { id, revision });
                        let older = older.map(|older| older.id).filter(|older| *older != id);
                        let settled = older.map(Fact::Settled);
                        // What was said of its attributes before is not the newest any more.
                        let entry = self.entry_fact(&core, ino).map(Fact::Entry);
                        let facts = settled.into_iter().chain([Fact::Owed(owed)]).chain(entry);
                        self.journal.note_all(facts.collect());
                        older
                    }
                    // Replaced by other bytes.
                    Some(_) => continue,
                    None => return Ok(()),
                }
            };
            self.journal.flush().await?;
            if let Some(older) = older {
                self.settled(older);
                self.store.remove(older);
            }
            return Ok(());
        }
    }

    /// What a disk that does not sync means: without room, it harms the one file; where it failed, nothing can be
    /// promised. Where it was never asked, for want of a descriptor, another attempt may fare better.
    fn not_synced(&self, failure: Failure) -> Failure {
        if Trouble::of(Some(failure.errno)) == Trouble::Broken {
            self.journal.distrust(&failure);
        }
        without_room(&failure).unwrap_or(failure)
    }

    /// Why these bytes cannot be believed, where the disk could not keep them when they were synced. It may have
    /// dropped some, and a read of the spool would not tell: they are neither promised nor published, and only newer
    /// bytes in another file of the spool mend that.
    pub(super) fn dropped(&self, id: ContentId) -> Option<Failure> {
        let failure = self.store.unsynced(id)?.into();
        Some(without_room(&failure).unwrap_or_else(|| {
            let why = format!(
                "the local disk could not keep these bytes ({failure}); see to it, and write the file again"
            );
            Failure::new(libc::EIO, why)
        }))
    }
}

fn without_room(failure: &Failure) -> Option<Failure> {
    matches!(failure.errno, libc::ENOSPC | libc::EDQUOT).then(|| {
        let why = format!(
            "the local disk had no room for these bytes ({failure}); free some space, and write the file again"
        );
        Failure::new(libc::ENOSPC, why)
    })
}

/// Does `thread` belong to `process`? When it cannot be told, it does: waiting is the safe side.
fn is_of_process(thread: u32, process: Option<u32>) -> bool {
    process
        .is_none_or(|process| thread == process || process_of(thread).is_none_or(|closer| closer == process))
}

/// The process that a thread belongs to; the kernel names threads.
pub(super) fn process_of(thread: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_closes_for_its_process_and_another_process_does_not() {
        let here = std::process::id();
        // SAFETY: gettid has no preconditions.
        let thread =
            std::thread::spawn(|| is_of_process(unsafe { libc::gettid() } as u32, Some(std::process::id())));
        assert!(thread.join().unwrap());
        assert!(!is_of_process(1, Some(here)));
        assert!(is_of_process(0, Some(here)), "a thread that cannot be looked up waits");
    }
}
