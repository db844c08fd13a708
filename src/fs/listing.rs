//! Listings: the one source of names, and of names that are not there.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::time::Instant;

use super::core::Digests;
use super::{Attr, Filesystem, told_aloud};
use crate::model::attributes::Shape;
use crate::model::failure::Failure;
use crate::model::ino::Ino;
use crate::remote::ErrorKind;

/// One line of a directory.
#[derive(Debug, Clone)]
pub struct DirEntry {
    /// Its number.
    pub ino: Ino,
    /// Its name.
    pub name: OsString,
    /// File, folder or link.
    pub shape: Shape,
}

impl Filesystem {
    /// Makes sure that the listing of `folder` is no older than the mount allows. One request serves
    /// all who ask at the same time.
    pub(super) async fn list(&self, folder: Ino) -> Result<(), Failure> {
        if self.core().is_fresh(folder, self.rules.dir_ttl, Instant::now())? {
            return Ok(());
        }
        let _turn = self.listings.take(folder).await;
        if self.core().is_fresh(folder, self.rules.dir_ttl, Instant::now())? {
            return Ok(());
        }
        self.list_anew(folder).await
    }

    /// Asks for the listing of `folder` now, however new the last one is.
    pub(super) async fn list_anew(&self, folder: Ino) -> Result<(), Failure> {
        let (path, asked, answer) = loop {
            let path = self.path(folder)?;
            let asked = Instant::now();
            let answer = self.remote.list(&path).await;
            // Renamed meanwhile: the answer may be about another folder that has its old name now.
            if self.path(folder)? == path {
                break (path, asked, answer);
            }
        };
        let entries = match answer {
            Ok(entries) => entries,
            Err(error) => {
                let known = self.core().tree.folder(folder)?.listed.is_some();
                if known && matches!(error.kind(), ErrorKind::Network | ErrorKind::Timeout) {
                    // What is known stays readable; that it cannot be refreshed is not "gone".
                    tracing::warn!("{path} is shown as it was before: {error}");
                    return Ok(());
                }
                return Err(told_aloud(&error));
            }
        };
        let changes = {
            let mut core = self.core();
            if entries.iter().any(|entry| entry.md5.is_some()) {
                core.habits.digests = Digests::Stated;
            }
            core.tree.merge(folder, entries, asked)?
        };
        for name in &changes.hidden {
            tracing::warn!("{path} has an entry that no folder of Linux can hold, it is not shown: {name:?}");
        }
        self.spread(changes);
        Ok(())
    }

    /// What `name` in `parent` is, if that can be told without asking Files.com; counts as a look-up
    /// of the kernel when it is there.
    pub fn lookup_now(&self, parent: Ino, name: &OsStr) -> Option<Result<Attr, Failure>> {
        let mut core = self.core();
        match core.is_fresh(parent, self.rules.dir_ttl, Instant::now()) {
            Ok(true) => Some(self.find(&mut core, parent, name)),
            Ok(false) => None,
            Err(failure) => Some(Err(failure)),
        }
    }

    /// The same, after asking.
    pub async fn lookup(&self, parent: Ino, name: &OsStr) -> Result<Attr, Failure> {
        self.list(parent).await?;
        self.find(&mut self.core(), parent, name)
    }

    fn find(&self, core: &mut super::core::Core, parent: Ino, name: &OsStr) -> Result<Attr, Failure> {
        let ino = core.tree.child(parent, name).ok_or(Failure::plain(libc::ENOENT))?;
        core.tree.node_mut(ino)?.lookups += 1;
        self.attr_of(core, ino)
    }

    /// The entries of a folder, as one snapshot for one reader.
    pub async fn read_dir(&self, folder: Ino) -> Result<Arc<Vec<DirEntry>>, Failure> {
        self.list(folder).await?;
        let core = self.core();
        let parent = core.tree.node(folder)?.parent.unwrap_or(Ino::ROOT);
        let known = core.tree.folder(folder)?;
        let mut entries: Vec<DirEntry> = known
            .entries
            .iter()
            .map(|(name, ino)| {
                let shape = core.tree.node(*ino).map_or(Shape::File, |node| node.shape());
                DirEntry { ino: *ino, name: name.clone(), shape }
            })
            .collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let dots = [(folder, "."), (parent, "..")];
        let dots = dots.map(|(ino, name)| DirEntry { ino, name: name.into(), shape: Shape::Folder });
        Ok(Arc::new(dots.into_iter().chain(entries).collect()))
    }

    /// The attributes that go with a line of a directory; counts as a look-up of the kernel.
    pub fn look_at(&self, ino: Ino) -> Result<Attr, Failure> {
        let mut core = self.core();
        core.tree.node_mut(ino)?.lookups += 1;
        self.attr_of(&core, ino)
    }

    /// The kernel dropped `count` of its look-ups.
    pub fn forget(&self, ino: Ino, count: u64) {
        let mut core = self.core();
        core.tree.forget(ino, count);
        let gone = core.tree.reap(ino).and_then(|node| node.file().and_then(|file| file.local.id()));
        drop(core);
        if let Some(id) = gone {
            self.drop_content(id);
        }
    }
}
