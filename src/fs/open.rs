//! Descriptors: opened, and let go.

use std::collections::HashSet;
use std::time::Duration;

use super::Filesystem;
use super::core::{Errand, Handle};
use super::write::still_there;
use crate::model::content::State;
use crate::model::failure::Failure;
use crate::model::ino::{ContentId, Ino};
use crate::model::node::Local;

/// How long a descriptor that was closed may take to be let go.
const LET_GO: Duration = Duration::from_millis(50);

/// What an open tells the kernel of the pages that it has of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pages {
    /// They are those of the file.
    Good,
    /// They are not, or not for certain: they go.
    Stale,
    /// There are to be none: somebody else has the file open who must not get its bytes any more, and would find them
    /// there.
    Bypassed,
}

impl Pages {
    fn of(stale: bool) -> Self {
        if stale { Self::Stale } else { Self::Good }
    }
}

/// What becomes of bytes that others took the place of.
enum Kept {
    /// The journal promises them, or a close waits for them.
    Needed,
    /// Nobody needs them any more.
    No,
}

impl Filesystem {
    /// [`Self::open`], and what becomes of the pages that the kernel has of the file: what a listing changed reaches
    /// the kernel a moment later, and an open may be faster.
    pub fn open_with_pages(
        &self,
        ino: Ino,
        writable: bool,
        truncate: bool,
        pid: u32,
    ) -> Result<(u64, Pages), Failure> {
        let handle = self.open(ino, writable, truncate, pid)?;
        let mut core = self.core();
        let stale = std::mem::take(&mut core.tree.file_mut(ino)?.stale_pages);
        Ok((handle, if core.is_held_unsound(ino) { Pages::Bypassed } else { Pages::of(stale) }))
    }

    /// Opens a file. `truncate` empties it first, whatever Files.com has: nothing is fetched.
    pub fn open(&self, ino: Ino, writable: bool, truncate: bool, pid: u32) -> Result<u64, Failure> {
        if truncate && !writable && self.is_being_executed(ino) {
            return Err(Failure::plain(libc::ETXTBSY));
        }
        if writable || truncate {
            self.may_change()?;
            // The kernel looks again at ESTALE, and finds what is there now.
            still_there(self.core().tree.file(ino)?)?;
            self.may_write(ino)?;
        }
        let process = if writable { super::close::process_of(pid) } else { None };
        let handle = self.core().open(Handle { wrote: truncate, ..Handle::new(ino, writable, process) })?;
        // Counted as a writer before there is anything to send: the uploader would take an emptied file whose writer it
        // does not see for a whole one.
        if truncate && let Err(failure) = self.empty(ino) {
            self.release(handle);
            return Err(failure);
        }
        Ok(handle)
    }

    /// Is it a program that runs? Whoever opens a file for writing is refused by the kernel before we hear of it;
    /// of one that is emptied and opened for reading, the kernel looks only after we have emptied it.
    fn is_being_executed(&self, ino: Ino) -> bool {
        let Some(path) = self.core().tree.local_path(ino) else { return false };
        let path = self.rules.mountpoint.join(path);
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let mut programs =
            processes.filter_map(|process| std::fs::read_link(process.path().join("exe")).ok());
        programs.any(|program| program == path)
    }

    /// Root passes the kernel's check of the mode, and still has no permission on Files.com.
    fn may_write(&self, ino: Ino) -> Result<(), Failure> {
        let core = self.core();
        if core.tree.node(ino)?.permissions.write {
            return Ok(());
        }
        let failure = Failure::new(libc::EACCES, "this key may not write here; ask for the permission");
        if let Some(path) = core.tree.path(ino) {
            tracing::warn!("{path} was not opened for writing: {failure}");
        }
        Err(failure)
    }

    /// Gives a file new, empty bytes. Those who read the old ones go on with what they have.
    pub(super) fn empty(&self, ino: Ino) -> Result<(), Failure> {
        self.may_change()?;
        let id = self.store.create()?;
        match self.replace_bytes(ino, id) {
            Ok(None) => {}
            Ok(Some((old, Kept::Needed))) => self.forget_stream(old),
            Ok(Some((old, Kept::No))) => self.drop_content(old),
            Err(failure) => {
                self.store.remove(id);
                return Err(failure);
            }
        }
        Ok(())
    }

    /// The empty bytes `id` are the file's from here on. Answers with those that were before.
    fn replace_bytes(&self, ino: Ino, id: ContentId) -> Result<Option<(ContentId, Kept)>, Failure> {
        let mut core = self.core();
        let awaited = core.uploading.get(&ino).and_then(|progress| progress.awaited);
        let node = core.tree.node_mut(ino)?;
        let file = node.file_mut().ok_or(Failure::plain(libc::EISDIR))?;
        still_there(file)?;
        let writing = file.content.begin_write();
        file.size = 0;
        file.blocks = Default::default();
        file.contradicted = None;
        let old = std::mem::replace(&mut file.local, Local::Spooled(id)).id();
        file.content.end_write(writing);
        // What the disk had no room for is not the file any more.
        if old.is_some_and(|old| self.dropped(old).is_some()) {
            file.failure = None;
        }
        // What was acknowledged stays until something newer is durable: a crash must not leave nothing.
        let is_noted = |old| file.noted.is_some_and(|noted| noted.id == old);
        let is_needed = |old| is_noted(old) || awaited == Some(old);
        let old = old.map(|old| (old, if is_needed(old) { Kept::Needed } else { Kept::No }));
        node.attributes.mtime = super::now();
        node.attributes.ctime = node.attributes.mtime;
        core.cached.remove(ino);
        core.look_again_at(ino);
        Ok(old)
    }

    /// The kernel lets a descriptor go, after its last close. What came after the opener's close (from a
    /// memory map, or by a process that inherited it) and is not planned yet is published in the
    /// background, whoever still reads the file.
    pub fn release(&self, handle: u64) {
        let mut core = self.core();
        let Some(Handle { ino, .. }) = core.release(handle) else { return };
        self.releases.notify_waiters();
        let Ok(file) = core.tree.file(ino) else { return };
        let owed = file.writers == 0 && matches!(file.content.state(), State::Dirty(_) | State::Sealed(_));
        // Brought into the spool to be written to, which came to nothing: it goes back.
        let is_idle = file.writers == 0
            && *file.content.state() == State::Clean
            && matches!(file.local, Local::Spooled(_));
        let late = (owed || is_idle) && !core.queue.is_planned(Errand::Publish(ino));
        let gone = core.tree.reap(ino).and_then(|node| node.file().and_then(|file| file.local.id()));
        drop(core);
        if let Some(id) = gone {
            self.drop_content(id);
        } else if late {
            self.schedule(Errand::Publish(ino), Duration::ZERO);
        }
    }

    /// Waits for files to be let go that were closed a moment ago: the kernel tells so after close(2) has returned, and
    /// whoever looks then is to find the newest version. True when one of `files` was let go.
    pub(super) async fn wait_for_release(&self, files: &[Ino]) -> bool {
        let closed: Vec<Ino> = {
            let core = self.core();
            let in_use = core.handles.values().filter(|handle| handle.writable && !handle.closed);
            let in_use: HashSet<Ino> = in_use.map(|handle| handle.ino).collect();
            files.iter().copied().filter(|ino| !in_use.contains(ino)).collect()
        };
        let is_open = |ino: &Ino| self.core().has_writer(*ino);
        let are_gone = async {
            loop {
                let release = self.releases.notified();
                if !closed.iter().any(is_open) {
                    return;
                }
                release.await;
            }
        };
        if tokio::time::timeout(LET_GO, are_gone).await.is_err() {
            // Another process inherited the descriptor: nobody waits for it again.
            let mut core = self.core();
            let duplicates = core.handles.values_mut().filter(|handle| closed.contains(&handle.ino));
            duplicates.for_each(|handle| handle.closed = false);
        }
        closed.iter().any(|ino| !is_open(ino))
    }

    /// Nothing is mounted any more. A kernel that is hurried does not send the release of every descriptor
    /// that was closed; a temporary name would wait for it. What was being written and was not closed is
    /// half a file, and stays unpublished.
    pub fn release_closed(&self) {
        let closed: Vec<u64> = {
            let core = self.core();
            let is_whole = |handle: &Handle| {
                let file = core.tree.file(handle.ino);
                file.is_ok_and(|file| !matches!(file.content.state(), State::Dirty(_)))
            };
            core.handles.iter().filter(|(_, handle)| is_whole(handle)).map(|(number, _)| *number).collect()
        };
        closed.into_iter().for_each(|handle| self.release(handle));
    }
}
