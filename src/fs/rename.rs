//! Renames. What Files.com has never seen changes its name here and is published under the new one:
//! that is how backup tools finish a file, and why it costs no move there.

use std::ffi::OsStr;
use std::time::{Duration, Instant};

use tokio::sync::{RwLockReadGuard, RwLockWriteGuard};

use super::core::Errand;
use super::turns::Turn;
use super::{Filesystem, told, told_aloud};
use crate::local::journal::Fact;
use crate::model::failure::Failure;
use crate::model::ino::Ino;
use crate::model::node::{Body, File};
use crate::model::path::RemotePath;
use crate::model::rename::{RenamePlan, There};

/// The paths of folders, for as long as a rename relies on them or changes them.
#[expect(dead_code, reason = "held, not read")]
enum Shape<'a> {
    Stays(RwLockReadGuard<'a, ()>),
    Changes(RwLockWriteGuard<'a, ()>),
}

impl Filesystem {
    /// rename(2): atomic here; answers when Files.com has it under the new name too, and, for what was
    /// owed, when that is proven.
    pub async fn rename(
        &self,
        (folder, name): (Ino, &OsStr),
        (new_folder, new_name): (Ino, &OsStr),
        no_replace: bool,
    ) -> Result<(), Failure> {
        self.list(folder).await?;
        self.list(new_folder).await?;
        let target = self.core().tree.child(new_folder, new_name);
        if let Some(target) = target {
            let is_folder = self.core().tree.node(target)?.is_folder();
            match is_folder {
                // Whether it is empty is decided by Files.com's newest word.
                true => self.list(target).await?,
                false => self.keep_for_readers(target).await?,
            }
        }
        let (plan, alone) = self.plan((folder, name), (new_folder, new_name), no_replace).await?;
        if plan.there == There::Same {
            return Ok(());
        }
        let is_folder = self.core().tree.node(plan.source)?.is_folder();
        self.change_name(&plan, new_folder, new_name).await?;
        drop(alone);
        self.publish_renamed(plan.source, new_name, is_folder).await
    }

    /// A plan, and the turns of all that it names. Decided again once we are alone with them, and with
    /// their paths: a folder above may have been renamed in the meantime.
    async fn plan(
        &self,
        from: (Ino, &OsStr),
        to: (Ino, &OsStr),
        no_replace: bool,
    ) -> Result<(RenamePlan, (Vec<Turn>, Shape<'_>)), Failure> {
        loop {
            let planned = self.core().tree.plan_rename(from, to, no_replace)?;
            let turns = self.naming.take_all([planned.source].into_iter().chain(planned.target)).await;
            let is_folder = self.core().tree.node(planned.source)?.is_folder();
            let shape = match is_folder {
                // Paths of everything below change: nobody may be using one.
                true => Shape::Changes(self.shape.write().await),
                false => Shape::Stays(self.shape.read().await),
            };
            let again = self.core().tree.plan_rename(from, to, no_replace)?;
            if (again.source, again.target) == (planned.source, planned.target) {
                return Ok((again, (turns, shape)));
            }
        }
    }

    async fn change_name(&self, plan: &RenamePlan, folder: Ino, name: &OsStr) -> Result<(), Failure> {
        if let There::Move { from, to, overwrite, clear } = &plan.there {
            if !self.core().may_hold_published(folder) {
                return Err(Failure::new(
                    libc::EXDEV,
                    "the folder goes by a temporary name and is not on Files.com yet; copy instead",
                ));
            }
            if *clear {
                self.delete_folder(to).await?;
            }
            self.move_there(from, to, *overwrite).await?;
        }
        // What is owed belongs under the new path, whatever happens next.
        self.change_name_here(plan, folder, name)?;
        self.journal.flush().await
    }

    /// The part of a rename that this mount sees, and that the journal must know of.
    fn change_name_here(&self, plan: &RenamePlan, folder: Ino, name: &OsStr) -> Result<(), Failure> {
        let mut core = self.core();
        let replaced = core.tree.relink(plan.source, folder, name, &plan.remote, Instant::now())?;
        let inherited = replaced.and_then(|ino| core.tree.file(ino).ok()?.published);
        let time = super::now();
        let temporary = plan.there == There::Nothing && self.rules.temporary.matches(name, false);
        let node = core.tree.node_mut(plan.source)?;
        node.attributes.ctime = time;
        if let Body::File(file) = &mut node.body {
            file.temporary = temporary;
            if plan.there == There::Nothing {
                // Its upload will replace what Files.com has under this name.
                file.published = inherited;
            }
        }
        let subtree = core.tree.subtree(plan.source);
        // Noted under the lock, so that facts are written in the order in which they became true.
        let moved = subtree.iter().filter_map(|ino| self.sealed_fact(&core, *ino));
        moved.for_each(|owed| self.journal.note(Fact::Owed(owed)));
        match replaced {
            Some(replaced) => self.orphan(core, replaced),
            None => drop(core),
        }
        Ok(())
    }

    async fn move_there(&self, from: &RemotePath, to: &RemotePath, overwrite: bool) -> Result<(), Failure> {
        self.remote.rename(from, to, overwrite).await.map_err(|error| told_aloud(&error))
    }

    /// The new name is the final one: what is owed under it is published now. Another temporary name
    /// begins a new hold.
    async fn publish_renamed(&self, ino: Ino, name: &OsStr, is_folder: bool) -> Result<(), Failure> {
        if is_folder {
            let only_here = self.core().tree.folder(ino).is_ok_and(|folder| !folder.published);
            if only_here && self.rules.temporary.matches(name, false) {
                self.schedule(Errand::Publish(ino), self.rules.temporary_hold);
                return Ok(());
            }
            return if only_here { self.publish_folder(ino).await } else { Ok(()) };
        }
        let (whole, may_publish) = {
            let core = self.core();
            let Ok(file) = core.tree.file(ino) else { return Ok(()) };
            // Still being written: its close publishes.
            let whole = file.content.owed().is_some() || !core.has_writer(ino);
            (file.content.is_owed() && whole, core.may_publish(ino))
        };
        if !whole {
            return Ok(());
        }
        if may_publish {
            return self.answer(ino).await;
        }
        self.hold_back(ino).await
    }

    /// Publishes a folder that was only here, with all that is in it.
    pub(super) async fn publish_folder(&self, ino: Ino) -> Result<(), Failure> {
        let subtree = self.core().tree.subtree(ino);
        for ino in subtree {
            let (is_folder, published) = match self.core().tree.node(ino) {
                Ok(node) if node.file().is_some_and(File::is_being_written) => continue,
                Ok(node) => (node.is_folder(), node.is_published()),
                Err(_) => continue,
            };
            if !is_folder {
                self.publish(ino).await?;
                continue;
            }
            if published || !self.core().tree.is_rooted(ino) {
                continue;
            }
            let _naming = self.naming.take(ino).await;
            let _shape = self.shape.read().await;
            let Some(path) = self.core().tree.path(ino) else { continue };
            self.remote.create_folder(&path, None).await.map_err(|error| told(&error))?;
            let mut core = self.core();
            core.tree.folder_mut(ino)?.published = true;
            core.queue.forget(Errand::Publish(ino));
            let node = core.tree.node_mut(ino)?;
            node.touched = Some(Instant::now());
            node.attributes_owed = true;
            core.queue.schedule(Errand::Attributes(ino), Instant::now() + Duration::from_secs(1));
            self.errands.notify_one();
        }
        Ok(())
    }
}
