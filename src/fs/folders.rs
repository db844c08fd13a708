//! Folders that are only here: published, or planned, with what is in them.

use std::time::{Duration, Instant};

use super::core::{Core, Errand};
use super::publish::Asked;
use super::{Filesystem, told};
use crate::local::failpoint;
use crate::local::journal::Fact;
use crate::model::attributes::on_the_wire;
use crate::model::backlog::Step;
use crate::model::failure::Failure;
use crate::model::ino::Ino;
use crate::model::moment::Moment;
use crate::model::node::{File, OnSite};

/// Attributes that changed right after a mkdir follow soon: rsync and tar set mode and time last.
pub(super) const SETTLE_FOLDER: Duration = Duration::from_secs(1);

impl Filesystem {
    /// Publishes a folder that was only here, with all that is in it.
    pub(super) async fn publish_folder(&self, ino: Ino) -> Result<(), Failure> {
        let subtree = self.core().tree.subtree(ino);
        for ino in subtree {
            let (is_folder, published) = match self.core().tree.node(ino) {
                Ok(node) if node.file().is_some_and(File::is_being_written) => continue,
                Ok(node) => (node.is_folder(), node.on_site() == OnSite::Yes),
                Err(_) => continue,
            };
            if !is_folder {
                self.publish(ino, Asked::ByNobody).await?;
                continue;
            }
            if published || !self.core().tree.is_rooted(ino) {
                continue;
            }
            let _naming = self.naming.take(ino).await?;
            let _shape = self.paths_stay(&[ino]).await?;
            let Some(path) = self.core().tree.path(ino) else { continue };
            let time = self.time_of(ino);
            self.remote.create_folder(&path, time).await.map_err(|error| told(&error))?;
            failpoint::reach("folder.there");
            let mut core = self.core();
            let end = self.end_of_entry(&core, ino);
            self.folder_is_planned(&mut core, ino);
            self.journal
                .note_all(end.into_iter().chain(self.entry_fact(&core, ino).map(Fact::Entry)).collect());
        }
        Ok(())
    }

    /// The modification time that Files.com is told with a folder itself: of a request of its own it is worth none.
    pub(super) fn time_of(&self, folder: Ino) -> Option<Moment> {
        self.core().tree.node(folder).ok().map(|node| on_the_wire(node.attributes.mtime))
    }

    /// Plans a folder that was only here on Files.com, with the folders in it; what is owed of its files
    /// follows on its own. Nothing to do for other things.
    pub(super) fn plan_folder(&self, core: &mut Core, ino: Ino) -> Vec<Fact> {
        let mut facts = Vec::new();
        for ino in core.tree.subtree(ino) {
            let Ok(node) = core.tree.node(ino) else { continue };
            if let Some(file) = node.file() {
                if file.content.owed().is_some() && core.may_publish(ino) {
                    core.queue.schedule(Errand::Publish(ino), Instant::now());
                }
                continue;
            }
            // Of what may be there, it is looked at first, before anything in it is sent.
            if node.on_site() != OnSite::No || !core.tree.is_rooted(ino) {
                continue;
            }
            let Some(path) = core.tree.path(ino) else { continue };
            facts.extend(self.end_of_entry(core, ino));
            facts.push(self.put_off(core, Step::Make(path)));
            self.folder_is_planned(core, ino);
            facts.extend(self.entry_fact(core, ino).map(Fact::Entry));
        }
        self.errands.notify_one();
        facts
    }

    /// Files.com has the folder, or will have it before anything in it; its attributes follow, where there is anything to
    /// tell.
    fn folder_is_planned(&self, core: &mut Core, ino: Ino) {
        core.queue.forget(Errand::Publish(ino));
        let mut is_known = true;
        if let Ok(folder) = core.tree.folder_mut(ino) {
            folder.published = true;
            is_known = !folder.perhaps;
        }
        let here = core.tree.defaults;
        if let Ok(node) = core.tree.node_mut(ino) {
            node.touched = Some(Instant::now());
            // One that may have been there has attributes that nobody here has seen.
            node.attributes_owed |= is_known && node.is_unusual(&here);
            if node.attributes_owed {
                core.queue.schedule(Errand::Attributes(ino), Instant::now() + SETTLE_FOLDER);
            }
        }
        self.errands.notify_one();
    }

    /// Makes sure that Files.com was asked whether it has the folders from `ino` up: what is in one that may be there
    /// depends on that.
    ///
    /// # Errors
    /// Why it cannot be asked.
    pub(super) async fn look_for_folders_of(&self, ino: Ino) -> Result<(), Failure> {
        let unknown = |core: &Core| {
            let up = std::iter::successors(Some(ino), |at| core.tree.node(*at).ok()?.parent);
            let may_be_there = |at: &Ino| core.tree.folder(*at).is_ok_and(|folder| folder.perhaps);
            up.filter(may_be_there).last()
        };
        while let Some(folder) = { unknown(&self.core()) } {
            let parent = self.core().tree.node(folder)?.parent.unwrap_or(Ino::ROOT);
            self.list_anew(parent).await?;
            if unknown(&self.core()) == Some(folder) {
                return Err(Failure::new(libc::ETIMEDOUT, "Files.com could not be asked for its folder yet"));
            }
        }
        Ok(())
    }

    /// Folders from `ino` up that are only here are planned on Files.com.
    pub(super) async fn plan_folders_of(&self, ino: Ino) -> Result<(), Failure> {
        {
            let mut core = self.core();
            let Some(topmost) = core.tree.topmost_unpublished(ino) else { return Ok(()) };
            if !core.tree.node(topmost)?.is_folder() {
                return Ok(());
            }
            let facts = self.plan_folder(&mut core, topmost);
            self.journal.note_all(facts);
        }
        self.journal.flush().await
    }
}
