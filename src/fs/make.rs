//! New files and folders.

use std::ffi::{OsStr, OsString};
use std::time::Instant;

use super::core::{Core, Errand, Handle};
use super::folders::SETTLE_FOLDER;
use super::{Attr, Close, Filesystem, now, told_aloud};
use crate::local::failpoint;
use crate::local::journal::Fact;
use crate::model::attributes::{Attributes, Shape, on_the_wire};
use crate::model::backlog::Step;
use crate::model::failure::Failure;
use crate::model::ino::{ContentId, Ino};
use crate::model::node::{Body, File, Folder};

/// Who makes something, and how.
#[derive(Debug, Clone, Copy)]
pub struct Maker {
    /// Permission bits, less the caller's umask.
    pub mode: u16,
    /// Owner of what is made.
    pub uid: u32,
    /// Group of what is made.
    pub gid: u32,
    /// The calling process.
    pub pid: u32,
}

impl Maker {
    pub(super) fn attributes(self) -> Attributes {
        let now = now();
        Attributes { mode: self.mode & 0o7777, uid: self.uid, gid: self.gid, mtime: now, ctime: now }
    }
}

impl Filesystem {
    /// Makes and opens a file. `exclusive`: it must not be there yet. Nothing is sent: what is created
    /// and closed empty is published then.
    pub async fn create(
        &self,
        parent: Ino,
        name: &OsStr,
        maker: Maker,
        exclusive: bool,
    ) -> Result<(Attr, u64), Failure> {
        self.may_change()?;
        self.list(parent).await?;
        let process = super::close::process_of(maker.pid);
        let id = self.store.create()?;
        let made = self.core_create(parent, name, maker, exclusive, (id, process));
        if made.is_err() {
            self.store.remove(id);
        }
        made
    }

    fn core_create(
        &self,
        parent: Ino,
        name: &OsStr,
        maker: Maker,
        exclusive: bool,
        (id, process): (ContentId, Option<u32>),
    ) -> Result<(Attr, u64), Failure> {
        let mut core = self.core();
        if core.tree.child(parent, name).is_some() {
            // The kernel looked it up before; somebody else was faster. It looks again.
            return Err(Failure::plain(if exclusive { libc::EEXIST } else { libc::ESTALE }));
        }
        let remote = room_for(&mut core, parent, name)?;
        // rsync makes the temporary file of a program with mode 0700.
        let private = exclusive && maker.mode & 0o077 == 0;
        // Empty, it is nothing that anybody would miss: it waits to be written, renamed or removed.
        let mut file = File::created(id, private || self.rules.temporary.matches(name, private));
        file.private = private;
        let attributes = maker.attributes().made_in(&core.tree.node(parent)?.attributes, Shape::File);
        let ino = core.tree.insert(parent, name.to_owned(), remote, attributes, Body::File(file))?;
        touch(&mut core, parent, ino)?;
        let handle = core.open(Handle { wrote: true, ..Handle::new(ino, true, process) })?;
        // The kernel counts the answer as a look-up.
        core.tree.node_mut(ino)?.lookups += 1;
        Ok((self.attr_of(&core, ino)?, handle))
    }

    /// Makes a folder; answers when Files.com has it, or with `close=journaled` when it is planned
    /// durably. One with a temporary name stays here until it is renamed.
    pub async fn mkdir(&self, parent: Ino, name: &OsStr, maker: Maker) -> Result<Attr, Failure> {
        self.may_change()?;
        self.list(parent).await?;
        let temporary = self.rules.temporary.matches(name, false);
        let look = |core: &mut Core| {
            if core.tree.child(parent, name).is_some() {
                return Err(Failure::plain(libc::EEXIST));
            }
            let remote = room_for(core, parent, name)?;
            no_file_is_left(core, parent, &remote)?;
            Ok((remote, temporary || !core.may_hold_published(parent)))
        };
        let (remote, only_here) = look(&mut self.core())?;
        // What is shown from now on is what Files.com is told with the folder itself.
        let attributes = maker.attributes();
        let journaled = self.rules.close == Close::Journaled;
        let mut under_way = None;
        if !only_here && !journaled {
            let path = self.path(parent)?.join(&remote);
            self.until_clear(&[&path]).await?;
            let _shape = self.paths_stay(&[parent]).await?;
            let path = self.path(parent)?.join(&remote);
            let making = self.making(parent, name)?;
            let time = Some(on_the_wire(attributes.mtime));
            if self.remote.create_folder(&path, time).await.map_err(|error| told_aloud(&error))?.is_none() {
                // Somebody else made it, or a file of that name, since the last listing.
                drop(making);
                self.list_anew(parent).await?;
                return Err(Failure::plain(libc::EEXIST));
            }
            failpoint::reach("make.there");
            under_way = Some(making);
        }
        let (made, waits) = {
            let mut core = self.core();
            // Where Files.com was asked, it has the folder under that text.
            let unasked = journaled || only_here;
            let (remote, only_here) = if unasked { look(&mut core)? } else { (remote, only_here) };
            let ino = self.insert_folder(&mut core, (parent, name), remote, attributes, only_here)?;
            let mut facts: Vec<Fact> = self.facts_of(&core, ino).collect();
            if journaled
                && !only_here
                && let Some(path) = core.tree.path(ino)
            {
                facts.push(self.put_off(&mut core, Step::Make(path)));
            }
            let waits = !facts.is_empty();
            self.journal.note_all(facts);
            (self.attr_of(&core, ino)?, waits)
        };
        drop(under_way);
        failpoint::reach("make.here");
        if waits {
            self.journal.flush().await?;
        }
        Ok(made)
    }

    fn insert_folder(
        &self,
        core: &mut Core,
        (parent, name): (Ino, &OsStr),
        remote: String,
        attributes: Attributes,
        only_here: bool,
    ) -> Result<Ino, Failure> {
        let asked = Instant::now();
        let folder = Folder { published: !only_here, listed: Some(asked), ..Folder::default() };
        let attributes = attributes.made_in(&core.tree.node(parent)?.attributes, Shape::Folder);
        let ino = core.tree.insert(parent, name.to_owned(), remote, attributes, folder.into())?;
        touch(core, parent, ino)?;
        if only_here {
            core.queue.schedule(Errand::Publish(ino), asked + self.rules.temporary_hold);
            self.errands.notify_one();
        } else if core.tree.node(ino)?.is_unusual(&core.tree.defaults) {
            core.tree.node_mut(ino)?.attributes_owed = true;
            core.queue.schedule(Errand::Attributes(ino), asked + SETTLE_FOLDER);
            self.errands.notify_one();
        }
        core.tree.node_mut(ino)?.lookups += 1;
        Ok(ino)
    }
}

/// A name for which a request is under way that makes it on Files.com. What a listing shows of it meanwhile belongs to that
/// request, and becomes an entry with it.
pub(super) struct Making<'a> {
    filesystem: &'a Filesystem,
    parent: Ino,
    name: OsString,
}

impl Filesystem {
    /// `name` in `parent` is about to be made on Files.com, for as long as the answer lives.
    ///
    /// # Errors
    /// EEXIST where it is being made by somebody else, ENOTDIR.
    pub(super) fn making(&self, parent: Ino, name: &OsStr) -> Result<Making<'_>, Failure> {
        let mut core = self.core();
        let folder = core.tree.folder_mut(parent)?;
        if folder.entries.contains_key(name) || folder.making.iter().any(|making| making == name) {
            return Err(Failure::plain(libc::EEXIST));
        }
        folder.making.push(name.to_owned());
        Ok(Making { filesystem: self, parent, name: name.to_owned() })
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        let mut core = self.filesystem.core();
        let is_made = core.tree.child(self.parent, &self.name).is_some();
        let Ok(folder) = core.tree.folder_mut(self.parent) else { return };
        folder.making.retain(|name| *name != self.name);
        if !is_made {
            // It may be there all the same, or somebody else's: the next who asks is shown it.
            folder.grow_stale(Instant::now(), self.filesystem.rules.dir_ttl);
        }
    }
}

/// The remote name of a new entry, if there is room for it.
pub(super) fn room_for(core: &mut Core, parent: Ino, name: &OsStr) -> Result<String, Failure> {
    let node = core.tree.node(parent)?;
    if parent != Ino::ROOT && node.parent.is_none() {
        return Err(Failure::plain(libc::ENOENT));
    }
    if !node.permissions.write {
        return Err(Failure::new(
            libc::EACCES,
            format!(
                "{} cannot be made: this key may not write into its folder; ask for the permission",
                name.display()
            ),
        ));
    }
    core.tree.remote_name(parent, name, None)
}

/// A file that an earlier mount was told of and that is not back in the tree yet has its name all the same.
pub(super) fn no_file_is_left(core: &Core, parent: Ino, remote: &str) -> Result<(), Failure> {
    match core.tree.path(parent).map(|folder| folder.join(remote)) {
        Some(path) if core.leftovers.is_file(&path) => Err(Failure::new(
            libc::EEXIST,
            format!("an earlier mount owes {path}, which is not taken up yet; see `filescomfs status`"),
        )),
        _ => Ok(()),
    }
}

/// A new entry: its folder changed, and listings that were asked for before know nothing of it.
pub(super) fn touch(core: &mut Core, parent: Ino, ino: Ino) -> Result<(), Failure> {
    entries_changed(core, parent);
    core.tree.node_mut(ino)?.touched = Some(Instant::now());
    Ok(())
}

/// A name came into a folder, or left it.
pub(super) fn entries_changed(core: &mut Core, folder: Ino) {
    if let Ok(folder) = core.tree.node_mut(folder) {
        folder.attributes.mtime = now();
        folder.attributes.ctime = folder.attributes.mtime;
    }
}
