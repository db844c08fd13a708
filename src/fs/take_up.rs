//! Taking up: what an earlier mount left goes back into the tree, as it was, and is owed again.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::StreamExt;

use super::core::{Core, Errand};
use super::leftovers::{Leftover, Why};
use super::{Filesystem, Stale};
use crate::local::failpoint;
use crate::local::journal::{EntryDebt, Fact, Owed, OwedEntry, There};
use crate::model::attributes::Shape;
use crate::model::failure::Failure;
use crate::model::ino::{ContentId, Ino};
use crate::model::name;
use crate::model::node::{Body, File, Folder, Link};
use crate::model::path::RemotePath;

/// Folders that are listed at the same time.
const AHEAD: usize = 16;

/// Which bytes of a file count.
enum Newest {
    /// Those of a fact, and not older ones that another fact told of.
    Fact(Option<ContentId>),
    /// Those that were written in this mount, or taken up from a later fact.
    Here,
}

/// Compares the file that is at the place of a fact with the bytes that it tells of. Whatever was written in this mount
/// is newer; of two facts, it is the one that the journal was told of later.
fn newest(core: &Core, known: Ino, number: u64) -> Result<Newest, Failure> {
    if core.has_writer(known) {
        return Err(Failure::new(libc::EBUSY, "it is open for writing"));
    }
    let Some(file) = core.tree.node(known)?.file() else {
        return Err(Failure::new(libc::EISDIR, "a folder is in its place"));
    };
    if file.content.is_at_rest() {
        return Ok(Newest::Fact(None));
    }
    let is_of_earlier_fact = |here: &ContentId| {
        file.content.is_as_recovered() && core.leftovers.taken(*here).is_some_and(|taken| taken < number)
    };
    Ok(match file.local.id().filter(is_of_earlier_fact) {
        Some(here) => Newest::Fact(Some(here)),
        None => Newest::Here,
    })
}

impl Filesystem {
    /// What could not be taken up before is tried again. An error when something still waits for another attempt.
    pub(super) async fn take_up_rest(&self) -> Result<(), Failure> {
        // Out of reach, nothing would be found. `try_again` comes when Files.com can be reached.
        if *self.reach.borrow() {
            // A mount that began without Files.com looks at its folder first: what it does not know is not gone.
            if self.core().tree.folder(Ino::ROOT)?.unseen {
                self.list_anew(Ino::ROOT).await?;
            }
            self.take_up_all().await;
        }
        let core = self.core();
        match core.leftovers.iter().find(|(_, _, why)| why.has_hope()) {
            Some((_, _, Why::Failed(failure))) => Err(failure.clone()),
            Some(_) => Err(Failure::plain(libc::EAGAIN)),
            None => Ok(()),
        }
    }

    pub(super) async fn take_up_all(&self) {
        let numbers = self.core().leftovers.numbers();
        for number in numbers {
            let taken = self.take_up(number).await;
            failpoint::reach("recover.taken-up");
            if taken.is_err() {
                let mut core = self.core();
                if core.leftovers.have_hope() && !core.queue.is_planned(Errand::TakeUp) {
                    core.queue.failed(Errand::TakeUp, Instant::now());
                }
            }
        }
    }

    /// Puts one back into the tree, unless what it belongs to was deleted meanwhile.
    pub(super) async fn take_up(&self, number: u64) -> Result<(), Failure> {
        let Some(fact) = self.core().leftovers.get(number).cloned() else { return Ok(()) };
        let path = fact.path().clone();
        let taken = match fact {
            Leftover::Bytes(owed) => self.take_up_bytes(number, owed).await,
            Leftover::Entry(entry) => self.take_up_entry(number, entry).await,
        };
        if let Err(failure) = &taken
            && self.core().leftovers.failed(number, failure.clone())
        {
            tracing::error!(
                "{path} is owed and could not be taken up yet: {failure}; it stays in the journal"
            );
        }
        taken
    }

    /// What is at `path` goes: an earlier mount's bytes of it that could not be taken up yet are wanted no more.
    pub(super) fn forget_leftovers(&self, core: &mut Core, path: &RemotePath) {
        for fact in core.leftovers.forget(path) {
            self.let_leftover_go(fact);
        }
    }

    /// It is wanted no more.
    pub(super) fn let_leftover_go(&self, fact: Leftover) {
        match fact {
            Leftover::Bytes(owed) => self.let_go(owed.id),
            Leftover::Entry(entry) => self.journal.note(Fact::EntrySettled(entry.path)),
        }
    }

    /// Sets bytes of an earlier mount aside that newer ones have taken the place of.
    fn give_way(&self, path: &RemotePath, id: ContentId) -> Result<(), Failure> {
        let aside = self.store.set_aside(id)?;
        tracing::warn!(
            "{path} has newer bytes than those of an earlier mount, which are kept at {}",
            aside.display()
        );
        self.journal.note(Fact::Settled(id));
        Ok(())
    }

    /// Lists the folders that facts are about to be put into, some at a time: one after the other, each would
    /// cost a round trip. What fails here fails again, and is told, with the first fact.
    pub(super) async fn look_ahead_of(&self, folders: BTreeSet<RemotePath>) {
        let ahead = futures_util::stream::iter(folders);
        ahead
            .for_each_concurrent(AHEAD, |folder| async move { drop(self.list_down_to(&folder).await) })
            .await;
    }

    /// Lists `folder` and all above it, as far as they are there.
    async fn list_down_to(&self, folder: &RemotePath) -> Result<(), Failure> {
        let mut at = Ino::ROOT;
        self.list(at).await?;
        for remote in folder.below(&self.rules.folder).unwrap_or_default().split('/') {
            let name = name::from_remote(remote).ok_or(Failure::plain(libc::EINVAL))?;
            let Some(next) = self.core().tree.child(at, &name) else { break };
            self.list(next).await?;
            at = next;
        }
        Ok(())
    }

    /// The folder that holds `path`, listed, and the name in it. A folder on the way that is gone, or never came, is made
    /// again by the upload of `bytes` that are owed in it; for anything else there is no way then.
    async fn way_to(&self, path: &RemotePath, bytes: bool) -> Result<Option<(Ino, String)>, Failure> {
        let below = path.below(&self.rules.folder).unwrap_or_default();
        let Some((folders, name)) = below.rsplit_once('/').or((!below.is_empty()).then_some(("", below)))
        else {
            return Err(Failure::new(libc::EINVAL, "it belongs outside the folder that is mounted now"));
        };
        let mut at = Ino::ROOT;
        for folder in folders.split('/').filter(|folder| !folder.is_empty()) {
            self.list(at).await?;
            at = match self.folder_for(at, folder, bytes)? {
                Some(next) => next,
                None => return Ok(None),
            };
        }
        self.list(at).await?;
        Ok(Some((at, name.to_owned())))
    }

    /// Puts one owed file back into the tree, under the path that the journal knows.
    async fn take_up_bytes(&self, number: u64, owed: Owed) -> Result<(), Failure> {
        let Some((at, name)) = self.way_to(&owed.path, true).await? else { return Ok(()) };
        let mut core = self.core();
        let local = name::from_remote(&name).ok_or(Failure::plain(libc::EINVAL))?;
        if core.leftovers.get(number).is_none() {
            return Ok(());
        }
        let known = core.tree.child(at, &local);
        let older = match known.map_or(Ok(Newest::Fact(None)), |known| newest(&core, known, number))? {
            Newest::Fact(older) => older,
            Newest::Here => {
                drop(core);
                self.give_way(&owed.path, owed.id)?;
                self.core().leftovers.remove(number);
                return Ok(());
            }
        };
        let listed = known.and_then(|ino| core.tree.file(ino).ok()?.published);
        // A folder that nobody has looked into tells nothing: then the version counts that was known when this was owed.
        let is_unseen = core.tree.folder(at)?.unseen;
        let (published, perhaps) = match owed.there {
            There::Version(version) if is_unseen => (listed.or(Some(version)), None),
            There::Perhaps(sent) => (listed, Some(Box::new(sent))),
            There::Version(_) | There::Nothing => (listed, None),
        };
        let known_node = known.and_then(|ino| core.tree.node(ino).ok());
        let kept = known_node.map(|node| (node.foreign.clone(), node.attributes_owed));
        // The kernel may have looked it up, and somebody may have it open for reading.
        let before = known.and_then(|old| {
            core.tree.detach(old);
            if let Ok(file) = core.tree.file_mut(old) {
                file.gone = true;
            }
            let _ = self.stale.send(Stale::Name(at, local.clone()));
            let _ = self.stale.send(Stale::Inode(old));
            core.cached.remove(old);
            core.tree.reap(old)?.file()?.local.id()
        });
        let mut file = File::recovered(owed.id, owed.size, published);
        file.perhaps = perhaps;
        let ino = core.tree.insert(at, local, name, owed.attributes, Body::File(file))?;
        let node = core.tree.node_mut(ino)?;
        node.touched = Some(Instant::now());
        node.xattrs = owed.xattrs;
        // A fact of its own speaks of its attributes, which are the same: it ends when they arrive.
        (node.foreign, node.attributes_owed) = kept.unwrap_or_default();
        node.link = owed.is_link.then_some(Link::InContent);
        core.leftovers.remove(number);
        core.leftovers.took_up(owed.id, number);
        Self::take_up_attributes(&mut core, ino)?;
        drop(core);
        // Of the version that Files.com has: what was read of it.
        before
            .filter(|before| older != Some(*before))
            .into_iter()
            .for_each(|before| self.store.remove(before));
        self.schedule(Errand::Publish(ino), Duration::ZERO);
        older.map_or(Ok(()), |older| self.give_way(&owed.path, older))
    }

    /// Puts a folder, or attributes that are owed, back into the tree.
    async fn take_up_entry(&self, number: u64, entry: OwedEntry) -> Result<(), Failure> {
        if entry.path == self.rules.folder {
            let mut core = self.core();
            Self::owe_attributes(&mut core, Ino::ROOT, &entry)?;
            core.leftovers.remove(number);
            return Ok(());
        }
        let was_reachable = *self.reach.borrow();
        let way = self.way_to(&entry.path, entry.what == EntryDebt::Folder).await?;
        let mut is_seen = was_reachable && *self.reach.borrow();
        let mut core = self.core();
        if core.leftovers.get(number).is_none() {
            return Ok(());
        }
        let mut found = None;
        if let Some((at, name)) = way {
            let local = name::from_remote(&name).ok_or(Failure::plain(libc::EINVAL))?;
            is_seen &= !core.tree.folder(at)?.unseen;
            found = Some((core.tree.child(at, &local), at, local, name));
        }
        match (found, entry.what) {
            (Some((Some(ino), ..)), _) => Self::owe_attributes(&mut core, ino, &entry)?,
            (Some((None, at, local, name)), EntryDebt::Folder) => {
                let body = Folder { listed: Some(Instant::now()), ..Folder::default() }.into();
                let ino = core.tree.insert(at, local, name, entry.attributes, body)?;
                let node = core.tree.node_mut(ino)?;
                node.touched = Some(Instant::now());
                // The journal does not tell whether somebody has set it: then it is kept.
                (node.xattrs, node.time_is_set) = (entry.xattrs, true);
                core.queue.schedule(Errand::Publish(ino), Instant::now());
            }
            // A mount that began offline knows no listing: what does not show is not gone. Nor is it while a step that
            // brings it there may have been made, and nobody knows.
            _ if !is_seen || core.backlog.is_in_doubt(&entry.path) => {
                return Err(Failure::new(libc::EAGAIN, "Files.com could not be asked for it yet"));
            }
            _ => {
                tracing::warn!("{} is gone, so its attributes are not sent", entry.path);
                self.journal.note(Fact::EntrySettled(entry.path));
            }
        }
        core.leftovers.remove(number);
        self.errands.notify_one();
        Ok(())
    }

    /// What an earlier mount owes of the attributes of `ino`, which is in the tree now, and may be changed here from now on.
    pub(super) fn take_up_attributes(core: &mut Core, ino: Ino) -> Result<(), Failure> {
        let path = core.tree.path(ino);
        match path.and_then(|path| core.leftovers.take_entry(&path)) {
            Some(entry) => Self::owe_attributes(core, ino, &entry),
            None => Ok(()),
        }
    }

    fn owe_attributes(core: &mut Core, ino: Ino, entry: &OwedEntry) -> Result<(), Failure> {
        let node = core.tree.node_mut(ino)?;
        if node.file().is_some_and(|file| file.content.is_owed()) {
            // They travel with the bytes, which were taken up before.
            node.attributes_owed = true;
            return Ok(());
        }
        node.attributes = entry.attributes;
        node.xattrs = entry.xattrs.clone();
        (node.attributes_owed, node.time_is_set) = (true, true);
        core.queue.schedule(Errand::Attributes(ino), Instant::now());
        Ok(())
    }

    /// The folder of that name; where there is none, one that is only here if it is to be `made`.
    fn folder_for(&self, parent: Ino, remote: &str, made: bool) -> Result<Option<Ino>, Failure> {
        let name = name::from_remote(remote).ok_or(Failure::plain(libc::EINVAL))?;
        let mut core = self.core();
        if let Some(known) = core.tree.child(parent, &name) {
            return Ok(Some(known));
        }
        if !made {
            return Ok(None);
        }
        // It is gone there, or never came; or nobody has looked.
        let perhaps = core.tree.folder(parent)?.unseen;
        let attributes = core.tree.defaults.new_entry(Shape::Folder, super::now());
        let listed = if perhaps { Some(Instant::now()) } else { None };
        let mut folder = Folder { perhaps, unseen: perhaps, listed, ..Folder::default() };
        folder.grow_stale(Instant::now(), self.rules.dir_ttl);
        let ino = core.tree.insert(parent, name, remote.to_owned(), attributes, folder.into())?;
        core.tree.node_mut(ino)?.touched = Some(Instant::now());
        Self::take_up_attributes(&mut core, ino)?;
        Ok(Some(ino))
    }
}
