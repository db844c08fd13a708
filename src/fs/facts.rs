//! What the journal is told: one look at the tree for each kind of fact.

use super::Filesystem;
use super::core::Core;
use crate::local::journal::{EntryDebt, Fact, Owed, OwedEntry, There};
use crate::model::ino::{ContentId, Ino};
use crate::model::node::{File, OnSite};

impl Filesystem {
    /// What the journal should know of a file that is owed. It may be written at this moment: the next mount takes it
    /// as the disk has it.
    pub(super) fn owed_fact(&self, core: &Core, ino: Ino) -> Option<Owed> {
        let file = core.tree.file(ino).ok().filter(|file| file.content.is_owed())?;
        self.bytes_fact(core, ino, file.local.id()?)
    }

    /// What the journal knows of the bytes of a file already, as it should know it now. Bytes that are
    /// written, or not synced yet, are no fact; those of the last answer stay one until then.
    fn noted_fact(&self, core: &Core, ino: Ino) -> Option<Owed> {
        self.bytes_fact(core, ino, core.tree.file(ino).ok()?.noted?.id)
    }

    fn bytes_fact(&self, core: &Core, ino: Ino, id: ContentId) -> Option<Owed> {
        let node = core.tree.node(ino).ok()?;
        let (path, size) = (core.path_told(ino)?, node.file()?.size);
        let (attributes, xattrs) = (node.attributes, node.xattrs.clone());
        let there = match node.file()? {
            File { published: Some(version), .. } => There::Version(*version),
            file => file.perhaps.as_deref().map_or(There::Nothing, |sent| There::Perhaps(*sent)),
        };
        Some(Owed { id, path, size, attributes, xattrs, is_link: node.link.is_some(), there })
    }

    /// What the journal should know of a folder that is only here, or of attributes that are owed on
    /// their own.
    pub(super) fn entry_fact(&self, core: &Core, ino: Ino) -> Option<OwedEntry> {
        let node = core.tree.node(ino).ok()?;
        let what = match node.folder() {
            Some(folder) if !folder.published => EntryDebt::Folder,
            _ if node.attributes_owed && node.on_site() == OnSite::Yes => EntryDebt::Attributes,
            _ => return None,
        };
        let (attributes, xattrs) = (node.attributes, node.xattrs.clone());
        Some(OwedEntry { path: core.path_told(ino)?, what, attributes, xattrs })
    }

    /// Everything that the journal should know of `ino`.
    pub(super) fn facts_of(&self, core: &Core, ino: Ino) -> impl Iterator<Item = Fact> + use<> {
        let owed = self.noted_fact(core, ino).map(Fact::Owed);
        owed.into_iter().chain(self.entry_fact(core, ino).map(Fact::Entry))
    }

    /// What the journal should forget of `ino` under its present path. It may know of attributes that were owed of a
    /// version that somebody else has taken away since.
    pub(super) fn end_of_entry(&self, core: &Core, ino: Ino) -> Option<Fact> {
        let node = core.tree.node(ino).ok()?;
        let is_only_here = node.folder().is_some_and(|folder| !folder.published);
        core.path_told(ino).filter(|_| node.attributes_owed || is_only_here).map(Fact::EntrySettled)
    }
}
