//! Deletes: answered when Files.com has done it.

use std::ffi::OsStr;
use std::time::Duration;

use tokio::time::Instant;

use super::core::Errand;
use super::{Filesystem, told_aloud};
use crate::local::journal::Fact;
use crate::model::failure::Failure;
use crate::model::ino::Ino;
use crate::model::node::Local;
use crate::model::path::RemotePath;

/// The service deletes folders in the background: how long one may stay visible.
const FOLDER_GOES: Duration = Duration::from_secs(30);

impl Filesystem {
    /// unlink(2). Whoever has the file open goes on with it; what was owed of it is not sent any more.
    pub async fn unlink(&self, parent: Ino, name: &OsStr) -> Result<(), Failure> {
        self.list(parent).await?;
        let ino = self.core().tree.child(parent, name).ok_or(Failure::plain(libc::ENOENT))?;
        self.keep_for_readers(ino).await?;
        let _naming = self.naming.take(ino).await;
        let _shape = self.shape.read().await;
        let published = {
            let core = self.core();
            if core.tree.child(parent, name) != Some(ino) {
                return Err(Failure::plain(libc::ENOENT));
            }
            let file = core.tree.file(ino)?;
            core.tree.path(ino).filter(|_| file.published.is_some())
        };
        if let Some(path) = published {
            self.remote.delete(&path).await.map_err(|error| told_aloud(&error))?;
        }
        let owed = {
            let core = self.core();
            self.sealed_fact(&core, ino).map(|owed| owed.id)
        };
        if let Some(id) = owed {
            // Before anybody is told that it is gone: a crash must not bring it back.
            self.journal.commit(Fact::Settled(id)).await?;
        }
        self.unlink_here(ino);
        Ok(())
    }

    /// An open file of which only a part is here is fetched whole before Files.com lets it go.
    pub(super) async fn keep_for_readers(&self, ino: Ino) -> Result<(), Failure> {
        let missing = {
            let core = self.core();
            let file = core.tree.file(ino)?;
            let whole = match &file.local {
                Local::Nowhere => file.size == 0,
                Local::Cached(_, here) => here.is_whole(),
                Local::Spooled(_) => true,
            };
            file.handles > 0 && !whole
        };
        if missing {
            self.fetch_whole(ino).await?;
        }
        Ok(())
    }

    /// Takes a file out of its folder here, with what was planned for it.
    pub(super) fn unlink_here(&self, ino: Ino) {
        let mut core = self.core();
        core.tree.remove(ino, std::time::Instant::now());
        self.orphan(core, ino);
    }

    /// A node lost its name: plans for it end, its bytes go with its last holder.
    pub(super) fn orphan(&self, mut core: std::sync::MutexGuard<'_, super::core::Core>, ino: Ino) {
        core.queue.forget(Errand::Publish(ino));
        core.queue.forget(Errand::Attributes(ino));
        core.cached.remove(ino);
        let id = core.tree.file(ino).ok().and_then(|file| file.local.id());
        let gone = core.tree.reap(ino).is_some();
        drop(core);
        let Some(id) = id else { return };
        if gone {
            self.drop_content(id);
        } else {
            // Still open, but owed to nobody.
            self.journal.note(Fact::Settled(id));
        }
    }

    /// rmdir(2).
    pub async fn rmdir(&self, parent: Ino, name: &OsStr) -> Result<(), Failure> {
        self.list(parent).await?;
        let ino = self.core().tree.child(parent, name).ok_or(Failure::plain(libc::ENOENT))?;
        self.list(ino).await?;
        let _naming = self.naming.take(ino).await;
        let _shape = self.shape.write().await;
        let published = {
            let core = self.core();
            if core.tree.child(parent, name) != Some(ino) {
                return Err(Failure::plain(libc::ENOENT));
            }
            let folder = core.tree.folder(ino)?;
            if !folder.entries.is_empty() {
                return Err(Failure::plain(libc::ENOTEMPTY));
            }
            core.tree.path(ino).filter(|_| folder.published)
        };
        if let Some(path) = published {
            self.delete_folder(&path).await?;
        }
        let mut core = self.core();
        core.tree.remove(ino, std::time::Instant::now());
        self.orphan(core, ino);
        Ok(())
    }

    /// Deletes an empty folder and waits until it is gone: a new one of that name would be refused
    /// before.
    pub(super) async fn delete_folder(&self, path: &RemotePath) -> Result<(), Failure> {
        self.remote.delete(path).await.map_err(|error| told_aloud(&error))?;
        let (deadline, mut pause) = (Instant::now() + FOLDER_GOES, Duration::from_millis(20));
        while self.remote.stat(path).await.map_err(|error| told_aloud(&error))?.is_some() {
            if Instant::now() > deadline {
                return Err(Failure::new(
                    libc::EIO,
                    format!("{path} is still there 30 s after Files.com accepted to delete it"),
                ));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
        Ok(())
    }
}
