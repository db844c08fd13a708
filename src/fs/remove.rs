//! Deletes: answered when Files.com has done it, or with `close=journaled` when they are planned durably.

use std::ffi::OsStr;
use std::time::Duration;

use tokio::time::Instant;

use super::core::{Core, Errand};
use super::make::entries_changed;
use super::{Close, Filesystem, told_aloud};
use crate::local::failpoint;
use crate::local::journal::Fact;
use crate::model::backlog::Step;
use crate::model::failure::Failure;
use crate::model::ino::Ino;
use crate::model::node::{File, Local, OnSite};
use crate::model::path::RemotePath;
use crate::model::proof::Fingerprint;
use crate::remote::{Deadline, Deleted};

/// The service deletes folders in the background: how long one may stay visible.
const FOLDER_GOES: Duration = Duration::from_secs(30);

impl Filesystem {
    /// unlink(2). Whoever has the file open goes on with it; what was owed of it is not sent any more.
    pub async fn unlink(&self, parent: Ino, name: &OsStr) -> Result<(), Failure> {
        self.may_change()?;
        self.list(parent).await?;
        let ino = self.core().tree.child(parent, name).ok_or(Failure::plain(libc::ENOENT))?;
        self.keep_for_readers(ino).await?;
        self.until_settled(ino).await?;
        let _naming = self.naming.take(ino).await?;
        let _shape = self.paths_stay(&[ino]).await?;
        let look = |core: &Core| {
            if core.tree.child(parent, name) != Some(ino) {
                return Err(Failure::plain(libc::ENOENT));
            }
            let Some(path) = core.tree.path(ino) else { return Ok(None) };
            let versions = versions_there(core, &path, core.tree.file(ino)?);
            Ok((!versions.is_empty()).then_some((path, versions)))
        };
        if self.rules.close == Close::Verified {
            let published = look(&self.core())?;
            if let Some((path, versions)) = published {
                // In doubt it is compared; not where it may be either of two.
                let version = (versions.len() == 1).then(|| &versions[0]);
                let deleted = self.remote.delete(&path, version).await;
                if deleted.map_err(|error| told_aloud(&error))? == Deleted::Replaced {
                    tracing::warn!(
                        "{path} was replaced by somebody else while it was deleted here; it stays"
                    );
                    self.look_again(&path);
                }
                failpoint::reach("remove.there");
            }
        }
        {
            let mut core = self.core();
            let steps = match self.rules.close {
                Close::Verified => Vec::new(),
                Close::Journaled => look(&core)?.map_or(Vec::new(), |(path, versions)| {
                    versions.into_iter().map(|version| Step::Delete { path: path.clone(), version }).collect()
                }),
            };
            if !steps.is_empty() {
                may_delete(&core, ino)?;
            }
            let mut facts = self.end_of(&core, ino);
            facts.extend(steps.into_iter().map(|step| self.put_off(&mut core, step)));
            // Noted under the lock, so that facts are written in the order in which they became true.
            self.journal.note_all(facts);
            if let Some(path) = core.tree.path(ino) {
                self.forget_leftovers(&mut core, &path);
                self.receipts.forget(path);
            }
            core.tree.remove(ino, std::time::Instant::now());
            entries_changed(&mut core, parent);
            self.orphan(core, ino);
        }
        failpoint::reach("remove.here");
        // Before anybody is told that it is gone: a crash must not bring it back.
        self.journal.flush().await
    }

    /// Where a caller waits for Files.com: until the steps that an earlier mount left under this path
    /// are taken.
    async fn until_settled(&self, ino: Ino) -> Result<(), Failure> {
        let path = self.core().tree.path(ino).filter(|_| self.rules.close == Close::Verified);
        match path {
            Some(path) => self.until_clear(&[&path]).await,
            None => Ok(()),
        }
    }

    /// What the journal must forget when `ino` loses its name.
    pub(super) fn end_of(&self, core: &Core, ino: Ino) -> Vec<Fact> {
        let bytes = core.tree.file(ino).ok().and_then(|file| file.noted).map(|noted| Fact::Settled(noted.id));
        bytes.into_iter().chain(self.end_of_entry(core, ino)).collect()
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
        self.journal.note_all(self.end_of(&core, ino));
        core.tree.remove(ino, std::time::Instant::now());
        self.orphan(core, ino);
    }

    /// A node lost its name: plans for it end, its bytes go with its last holder.
    pub(super) fn orphan(&self, mut core: std::sync::MutexGuard<'_, super::core::Core>, ino: Ino) {
        core.queue.forget(Errand::Publish(ino));
        core.queue.forget(Errand::Attributes(ino));
        core.cached.remove(ino);
        core.look_again_at(ino);
        let file = core.tree.file_mut(ino).ok();
        let (id, older) = file.map_or((None, None), |file| (file.local.id(), file.noted.take()));
        let gone = core.tree.reap(ino).is_some();
        drop(core);
        let older = older.map(|older| older.id).filter(|older| id != Some(*older));
        older.into_iter().for_each(|older| self.drop_content(older));
        let Some(id) = id else { return };
        if gone {
            self.drop_content(id);
        } else {
            // Still open, but owed to nobody.
            self.forget_stream(id);
            self.journal.note(Fact::Settled(id));
        }
    }

    /// rmdir(2).
    pub async fn rmdir(&self, parent: Ino, name: &OsStr) -> Result<(), Failure> {
        self.may_change()?;
        self.list(parent).await?;
        let ino = self.core().tree.child(parent, name).ok_or(Failure::plain(libc::ENOENT))?;
        self.list(ino).await?;
        self.until_settled(ino).await?;
        let _naming = self.naming.take(ino).await?;
        let _shape = self.paths_change(&[], &[ino]).await?;
        let look = |core: &Core| {
            if core.tree.child(parent, name) != Some(ino) {
                return Err(Failure::plain(libc::ENOENT));
            }
            let folder = core.tree.folder(ino)?;
            if !folder.is_empty() {
                return Err(Failure::plain(libc::ENOTEMPTY));
            }
            let may_be_there = core.tree.node(ino)?.on_site() != OnSite::No;
            Ok(core.tree.path(ino).filter(|_| may_be_there))
        };
        let published = look(&self.core())?;
        if let (Close::Verified, Some(path)) = (self.rules.close, &published) {
            self.delete_folder(path).await?;
        }
        {
            let mut core = self.core();
            let mut facts = self.end_of(&core, ino);
            if self.rules.close == Close::Journaled
                && let Some(path) = look(&core)?
            {
                may_delete(&core, ino)?;
                facts.push(self.put_off_rmdir(&mut core, path));
            }
            self.journal.note_all(facts);
            core.tree.remove(ino, std::time::Instant::now());
            entries_changed(&mut core, parent);
            self.orphan(core, ino);
        }
        failpoint::reach("remove.here");
        self.journal.flush().await
    }

    /// Deletes an empty folder and waits until it is gone: a new one of that name would be refused
    /// before.
    pub(super) async fn delete_folder(&self, path: &RemotePath) -> Result<(), Failure> {
        self.nothing_begins_below(path).await?;
        self.remote.delete(path, None).await.map_err(|error| told_aloud(&error))?;
        let (accepted, mut pause) = (Instant::now(), Duration::from_millis(20));
        let call = Deadline::current().and_then(|deadline| deadline.end());
        let deadline = call.map_or(accepted + FOLDER_GOES, |end| end.min(accepted + FOLDER_GOES));
        while self.remote.stat(path).await.map_err(|error| told_aloud(&error))?.is_some() {
            if Instant::now() + pause > deadline {
                let waited = accepted.elapsed();
                return Err(Failure::new(
                    libc::ETIMEDOUT,
                    format!("{path} is still there {waited:.1?} after Files.com accepted to delete it"),
                ));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
        Ok(())
    }
}

/// What Files.com may have at `path` of `file`: the version that is known to be there, and the one that was sent last
/// where nobody knows whether it came to be there.
fn versions_there(core: &Core, path: &RemotePath, file: &File) -> Vec<Fingerprint> {
    let known = file.published.map(|known| match core.backlog.is_uncopied(path) {
        true => Fingerprint { created: None, changed: None, ..known },
        false => known,
    });
    known.into_iter().chain(file.perhaps.as_deref().copied()).collect()
}

/// Nobody is told that something is gone which Files.com will not let go, where that is known.
fn may_delete(core: &Core, ino: Ino) -> Result<(), Failure> {
    if core.tree.node(ino)?.permissions.delete {
        return Ok(());
    }
    Err(Failure::new(libc::EACCES, "this key may not delete here; ask for the permission"))
}
