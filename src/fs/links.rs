//! Symbolic links: small files that hold their target, with a word in the metadata that says so.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::make::{room_for, touch};
use super::{Attr, Filesystem, Maker, Metadata};
use crate::model::attributes::{Attributes, Shape};
use crate::model::containment::stays_inside;
use crate::model::failure::Failure;
use crate::model::ino::{ContentId, Ino};
use crate::model::node::{Body, File, Link};
use crate::model::policy::Symlinks;

/// The longest target that Linux takes, in bytes.
const LONGEST_TARGET: u32 = 4096;

impl Filesystem {
    /// symlink(2): answers when Files.com has it, proven like any file. Where no metadata can be kept,
    /// a link could not be told from a file, and is refused.
    pub async fn symlink(
        &self,
        parent: Ino,
        name: &OsStr,
        target: &OsStr,
        maker: Maker,
    ) -> Result<Attr, Failure> {
        self.may_change()?;
        let attributes = {
            let core = self.core();
            let depth = core.tree.local_path(parent).map_or(0, |path| path.components().count());
            self.is_contained(target, depth)?;
            let folder = &core.tree.node(parent)?.attributes;
            Maker { mode: 0o777, ..maker }.attributes().made_in(folder, Shape::Link)
        };
        self.make_link(parent, name, target, attributes).await
    }

    /// The same with attributes that are known already.
    pub(super) async fn make_link(
        &self,
        parent: Ino,
        name: &OsStr,
        target: &OsStr,
        attributes: Attributes,
    ) -> Result<Attr, Failure> {
        self.may_link()?;
        self.list(parent).await?;
        let id = self.store.create()?;
        let written = self.store.file(id).and_then(|file| file.write_all_at(target.as_bytes(), 0));
        let made = written
            .map_err(Failure::from)
            .and_then(|()| self.insert_link(parent, name, target, attributes, id));
        let ino = match made {
            Ok(made) => made,
            Err(failure) => {
                self.store.remove(id);
                return Err(failure);
            }
        };
        let made = self.publish_new(ino).await?;
        if let Err(failure) = self.may_link() {
            // Learned just now: what arrived is a plain file.
            self.unlink(parent, name).await?;
            return Err(failure);
        }
        Ok(made)
    }

    /// Answers for a file that was made whole: a close, so to speak. When that fails nobody was told that
    /// there is a file, so there is none.
    pub(super) async fn publish_new(&self, ino: Ino) -> Result<Attr, Failure> {
        if !self.core().may_publish(ino) {
            self.hold_back(ino).await?;
            return self.look_at(ino);
        }
        if let Err(failure) = self.answer(ino).await {
            self.unlink_here(ino);
            return Err(failure);
        }
        self.look_at(ino)
    }

    fn is_contained(&self, target: &OsStr, depth: usize) -> Result<(), Failure> {
        if self.rules.symlinks == Symlinks::Keep || stays_inside(target, depth) {
            return Ok(());
        }
        Err(Failure::new(libc::EPERM, "the link leads out of the mount, and symlinks=inside forbids that"))
    }

    /// readlink(2) of somebody who may be about to follow the link.
    pub async fn follow_link(self: &Arc<Self>, ino: Ino) -> Result<OsString, Failure> {
        let target = self.read_link(ino).await?;
        let depth = self.core().tree.local_path(ino).map_or(0, |path| path.components().count());
        // The folder of the link is one less deep than the link.
        self.is_contained(&target, depth.saturating_sub(1))?;
        Ok(target)
    }

    fn may_link(&self) -> Result<(), Failure> {
        if self.rules.metadata == Metadata::Full && self.core().habits.takes_metadata {
            return Ok(());
        }
        Err(Failure::new(libc::EPERM, "symbolic links need metadata=full and a place that keeps metadata"))
    }

    fn insert_link(
        &self,
        parent: Ino,
        name: &OsStr,
        target: &OsStr,
        attributes: Attributes,
        id: ContentId,
    ) -> Result<Ino, Failure> {
        let mut core = self.core();
        if core.tree.child(parent, name).is_some() {
            return Err(Failure::plain(libc::EEXIST));
        }
        let remote = room_for(&mut core, parent, name)?;
        let mut file = File::created(id, self.rules.temporary.matches_link(name));
        file.size = target.len() as u64;
        file.content.close();
        let ino = core.tree.insert(parent, name.to_owned(), remote, attributes, Body::File(file))?;
        core.tree.node_mut(ino)?.link = Some(Link::To(target.to_owned()));
        touch(&mut core, parent, ino)?;
        Ok(ino)
    }

    /// Where a link leads.
    pub(super) async fn read_link(self: &Arc<Self>, ino: Ino) -> Result<OsString, Failure> {
        let link = self.core().tree.node(ino)?.link.clone();
        match link {
            Some(Link::To(target)) => Ok(target),
            Some(Link::InContent) => {
                let target = OsString::from_vec(self.read_bytes(ino, 0, LONGEST_TARGET).await?);
                self.core().tree.node_mut(ino)?.link = Some(Link::To(target.clone()));
                Ok(target)
            }
            None => Err(Failure::plain(libc::EINVAL)),
        }
    }
}
