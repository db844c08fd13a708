//! Extended attributes: those of users are stored like other attributes; those that the mount tells of a file
//! (`user.filescomfs.*`) answer when asked by name and are never listed, so that no tool copies them.

use std::ffi::OsStr;

use super::{Filesystem, Metadata, now};
use crate::model::failure::Failure;
use crate::model::ino::Ino;
use crate::model::xattrs::{Expects, RESERVED, Xattrs};

impl Filesystem {
    /// getxattr(2). ACLs are ENOTSUP, so that tools know that there are none here and look at the mode. What
    /// is asked of other namespaces (a capability, a label) is just not there.
    pub fn xattr(&self, ino: Ino, name: &OsStr) -> Result<Vec<u8>, Failure> {
        if name.as_encoded_bytes().starts_with(b"system.") {
            return Err(Failure::plain(libc::ENOTSUP));
        }
        let core = self.core();
        let value = core.tree.node(ino)?.xattrs.get(name);
        value.map(<[u8]>::to_vec).ok_or(Failure::plain(libc::ENODATA))
    }

    /// The same for a name of ours ([`RESERVED`]).
    pub async fn told_by_name(&self, ino: Ino, name: &OsStr) -> Result<Vec<u8>, Failure> {
        let name = name.to_str().and_then(|name| name.strip_prefix(RESERVED));
        let told = match name {
            Some(name) => self.told_of(ino, name).await,
            None => None,
        };
        told.map(String::into_bytes).ok_or(Failure::plain(libc::ENODATA))
    }

    /// listxattr(2): each name with a NUL behind it.
    pub fn xattr_names(&self, ino: Ino) -> Result<Vec<u8>, Failure> {
        Ok(self.core().tree.node(ino)?.xattrs.list())
    }

    /// setxattr(2). What Files.com cannot keep whole is refused. True when the caller has to wait for
    /// [`Self::facts_are_durable`].
    pub fn set_xattr(&self, ino: Ino, name: &OsStr, value: &[u8], expects: Expects) -> Result<bool, Failure> {
        self.may_change()?;
        self.change_xattrs(ino, |xattrs, others| xattrs.with(name, value, expects, others))
    }

    /// removexattr(2); else as [`Self::set_xattr`].
    pub fn remove_xattr(&self, ino: Ino, name: &OsStr) -> Result<bool, Failure> {
        self.may_change()?;
        self.change_xattrs(ino, |xattrs, _| xattrs.without(name))
    }

    fn change_xattrs(
        &self,
        ino: Ino,
        change: impl FnOnce(&Xattrs, usize) -> Result<Xattrs, Failure>,
    ) -> Result<bool, Failure> {
        let mut core = self.core();
        self.are_known(&mut core, ino)?;
        let node = core.tree.node(ino)?;
        let changed = change(&node.xattrs, node.foreign.len())?;
        let is_site_root = ino == Ino::ROOT && self.rules.folder.is_root();
        if self.rules.metadata != Metadata::Full || !core.habits.takes_metadata || is_site_root {
            return Err(Failure::new(libc::ENOTSUP, "no metadata is kept here"));
        }
        if changed == node.xattrs {
            // Whoever set it may still wait for the disk.
            return Ok(true);
        }
        let node = core.tree.node_mut(ino)?;
        node.xattrs = changed;
        node.attributes.ctime = now();
        let alone = core.owe_attributes(ino)?;
        self.note_change(&mut core, ino, alone)
    }
}
