//! Symbolic links: small files that hold their target, with a word in the metadata that says so.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::core::Errand;
use super::make::{room_for, touch};
use super::{Attr, Filesystem, Maker, Metadata};
use crate::model::failure::Failure;
use crate::model::ino::{ContentId, Ino};
use crate::model::node::{Body, File, Link};

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
        self.may_link()?;
        self.list(parent).await?;
        let id = self.store.create()?;
        let written = self.store.file(id).and_then(|file| file.write_all_at(target.as_bytes(), 0));
        let made =
            written.map_err(Failure::from).and_then(|()| self.insert_link(parent, name, target, maker, id));
        let (ino, may_publish) = match made {
            Ok(made) => made,
            Err(failure) => {
                self.store.remove(id);
                return Err(failure);
            }
        };
        if !may_publish {
            self.make_durable(ino).await?;
            self.schedule(Errand::Publish(ino), self.rules.temporary_hold);
            return self.look_at(ino);
        }
        if let Err(failure) = self.answer(ino).await {
            // Nobody was told that there is a link, so there is none.
            self.unlink_here(ino);
            return Err(failure);
        }
        if let Err(failure) = self.may_link() {
            // Learned just now: what arrived is a plain file.
            self.unlink(parent, name).await?;
            return Err(failure);
        }
        self.look_at(ino)
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
        maker: Maker,
        id: ContentId,
    ) -> Result<(Ino, bool), Failure> {
        let mut core = self.core();
        if core.tree.child(parent, name).is_some() {
            return Err(Failure::plain(libc::EEXIST));
        }
        let remote = room_for(&mut core, parent, name)?;
        let mut file = File::created(id, self.rules.temporary.matches_link(name));
        file.size = target.len() as u64;
        file.content.seal();
        file.closed = true;
        let attributes = Maker { mode: 0o777, ..maker }.attributes();
        let ino = core.tree.insert(parent, name.to_owned(), remote, attributes, Body::File(file))?;
        core.tree.node_mut(ino)?.link = Some(Link::To(target.to_owned()));
        touch(&mut core, parent, ino)?;
        Ok((ino, core.may_publish(ino)))
    }

    /// readlink(2).
    pub async fn read_link(self: &Arc<Self>, ino: Ino) -> Result<OsString, Failure> {
        let link = self.core().tree.node(ino)?.link.clone();
        match link {
            Some(Link::To(target)) => Ok(target),
            Some(Link::InContent) => {
                let target = OsString::from_vec(self.read(ino, 0, LONGEST_TARGET).await?);
                self.core().tree.node_mut(ino)?.link = Some(Link::To(target.clone()));
                Ok(target)
            }
            None => Err(Failure::plain(libc::EINVAL)),
        }
    }
}
