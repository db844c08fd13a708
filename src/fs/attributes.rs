//! Attributes: shown, changed, and sent after publication.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::core::{Core, Errand};
use super::{Filesystem, Metadata, is_final, now, told};
use crate::local::failpoint;
use crate::local::journal::Fact;
use crate::model::attributes::{
    Attributes, LINK_KEY, LONGEST_VALUE, MOST_KEYS, Shape, Time, is_ours, on_the_wire, take_apart,
    to_metadata,
};
use crate::model::content::State;
use crate::model::failure::Failure;
use crate::model::ino::Ino;
use crate::model::moment::Moment;
use crate::model::node::{File, Link, Node, OnSite};
use crate::remote::ErrorKind;

/// How long changed attributes wait for more of them: tools set mode, owner and time one by one.
const MERGE_ATTRIBUTES: Duration = Duration::from_secs(1);

/// What stat(2) shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attr {
    /// Inode number.
    pub ino: Ino,
    /// Bytes.
    pub size: u64,
    /// File, folder or link.
    pub shape: Shape,
    /// Names: none any more of what was deleted and is still open.
    pub links: u32,
    /// Mode, owner, times.
    pub attributes: Attributes,
    /// How long the kernel may believe this.
    pub ttl: Duration,
}

/// Attributes that a caller wants changed; `None` leaves one alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change {
    /// Permission bits.
    pub mode: Option<u16>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Time of the last change.
    pub mtime: Option<Moment>,
}

impl Change {
    /// A new owner or group takes set-user-id and set-group-id off a file, as the kernel leaves to us.
    fn apply(self, mut to: Attributes, shape: Shape, now: Moment) -> Attributes {
        if shape == Shape::File && (self.uid.is_some() || self.gid.is_some()) {
            to.drop_privilege();
        }
        to.mode = self.mode.unwrap_or(to.mode);
        to.uid = self.uid.unwrap_or(to.uid);
        to.gid = self.gid.unwrap_or(to.gid);
        to.mtime = self.mtime.unwrap_or(to.mtime);
        to.ctime = now;
        to
    }
}

impl Filesystem {
    pub(super) fn attr_of(&self, core: &Core, ino: Ino) -> Result<Attr, Failure> {
        let node = core.tree.node(ino)?;
        let size = node.file().map_or(0, |file| file.size);
        // Our own changes reach the kernel as they happen; those of others arrive with the next
        // listing of the folder, so nothing is worth believing for longer than the present one.
        let listed = node.parent.and_then(|parent| core.tree.folder(parent).ok()?.listed);
        let age = listed.map_or(Duration::ZERO, |listed| Instant::now().duration_since(listed));
        let ttl = self.rules.dir_ttl.saturating_sub(age);
        let links = match node.parent {
            None if ino != Ino::ROOT => 0,
            _ if node.is_folder() => 2,
            _ => 1,
        };
        let shape = node.shape();
        let attributes = node.attributes.shown(shape, node.permissions.write);
        Ok(Attr { ino, size, shape, links, attributes, ttl })
    }

    /// What stat(2) shows of `ino`.
    pub fn attr(&self, ino: Ino) -> Result<Attr, Failure> {
        self.attr_of(&self.core(), ino)
    }

    /// Changes attributes. Those of something published are sent a moment later, merged, and are a fact here before
    /// the caller is answered: true says that it waits for [`Self::facts_are_durable`]. Not so while an fsync, a
    /// close or a rename is still to come, which takes them along.
    pub fn change(&self, ino: Ino, change: Change) -> Result<(Attr, bool), Failure> {
        self.may_change()?;
        let mut core = self.core();
        self.are_known(&mut core, ino)?;
        let node = core.tree.node(ino)?;
        let attributes = change.apply(node.attributes, node.shape(), now());
        core.tree.node_mut(ino)?.time_is_set |= change.mtime.is_some();
        let alone = core.set_attributes(ino, attributes)?;
        if attributes.mode & 0o077 != 0 {
            self.is_for_others(&mut core, ino)?;
        }
        let waits = self.note_change(&mut core, ino, alone)?;
        Ok((self.attr_of(&core, ino)?, waits))
    }

    /// A file that waited because it was empty and for its owner alone is for others now, as cp(1) and tar(1) make an
    /// empty file: its close answers like any other, unless its name says that it waits. What was closed before is sent.
    fn is_for_others(&self, core: &mut Core, ino: Ino) -> Result<(), Failure> {
        let waits = |core: &Core| core.tree.file(ino).is_ok_and(|file| file.private && file.temporary);
        if !waits(core) || core.tree.file(ino)?.size > 0 {
            return Ok(());
        }
        self.name_decides(core, ino);
        if !waits(core) && !core.has_writer(ino) {
            core.queue.schedule(Errand::Publish(ino), Instant::now());
            self.errands.notify_one();
        }
        Ok(())
    }

    /// Bytes are changed by somebody who may not keep set-user-id and set-group-id bits. True where that took any off.
    ///
    /// # Errors
    /// ESTALE for what is gone, EROFS once nothing may be promised.
    pub fn drop_privilege(&self, ino: Ino) -> Result<bool, Failure> {
        self.may_change()?;
        let mut core = self.core();
        let node = core.tree.node(ino)?;
        let mut attributes = node.attributes;
        attributes.drop_privilege();
        if node.shape() != Shape::File || attributes == node.attributes {
            return Ok(false);
        }
        attributes.ctime = now();
        let alone = core.set_attributes(ino, attributes)?;
        self.note_change(&mut core, ino, alone)?;
        Ok(true)
    }

    /// Only what is known can be changed in part.
    ///
    /// # Errors
    /// ETIMEDOUT for a folder that is shown because something is owed in it, and that nobody has looked at.
    pub(super) fn are_known(&self, core: &mut Core, ino: Ino) -> Result<(), Failure> {
        Self::take_up_attributes(core, ino)?;
        let node = core.tree.node(ino)?;
        if node.attributes_owed || !node.folder().is_some_and(|folder| folder.perhaps) {
            return Ok(());
        }
        Err(Failure::new(
            libc::ETIMEDOUT,
            "Files.com could not be asked yet for the attributes of this folder",
        ))
    }

    /// Plans what a change of attributes asks for, `alone` when they do not travel with something else. True
    /// when the caller has to wait for [`Self::facts_are_durable`].
    pub(super) fn note_change(&self, core: &mut Core, ino: Ino, alone: bool) -> Result<bool, Failure> {
        if alone {
            core.queue.schedule(Errand::Attributes(ino), Instant::now() + MERGE_ATTRIBUTES);
            self.errands.notify_one();
        }
        let facts: Vec<Fact> = self.facts_of(core, ino).collect();
        let file = core.tree.node(ino)?.file();
        let is_dirty = |file: &File| matches!(file.content.state(), State::Dirty(_));
        let comes_later = file.is_some_and(|file| file.temporary || is_dirty(file) && core.has_writer(ino));
        let waits = !facts.is_empty() && !comes_later;
        self.journal.note_all(facts);
        Ok(waits)
    }

    /// Waits until everything that was noted is on the local disk.
    pub async fn facts_are_durable(&self) -> Result<(), Failure> {
        self.journal.flush().await
    }

    /// The metadata to send with `node`: ours, and that of others as it was.
    pub(super) fn metadata(&self, core: &Core, node: &Node) -> BTreeMap<String, String> {
        let mut metadata = node.foreign.clone();
        if self.rules.metadata != Metadata::Full || !core.habits.takes_metadata {
            return metadata;
        }
        let mut ours = to_metadata(
            &node.attributes,
            node.shape(),
            node.time(core.habits.keeps_mtime),
            &core.tree.defaults,
        );
        if let Some(Link::To(target)) = &node.link
            && let Some(target) = target.to_str().filter(|to| to.chars().count() <= LONGEST_VALUE)
        {
            ours.insert(LINK_KEY.to_owned(), target.to_owned());
        }
        let xattrs = node.xattrs.to_metadata();
        // Others may have added keys since ours were set: theirs stay, and the bytes count.
        for ours in [ours, xattrs] {
            if metadata.len() + ours.len() <= MOST_KEYS {
                metadata.extend(ours);
            } else {
                tracing::error!(
                    "the metadata of {} on Files.com is full with keys of others, so {} are not stored; remove some",
                    node.name().display(),
                    ours.into_keys().collect::<Vec<_>>().join(", ")
                );
            }
        }
        metadata
    }

    /// Sends attributes that changed after publication.
    pub(super) async fn push_attributes(&self, ino: Ino) -> Result<(), Failure> {
        let _naming = self.naming.take(ino).await?;
        let _shape = self.paths_stay(&[ino]).await?;
        let (path, time, sent, sent_xattrs, metadata) = {
            let mut core = self.core();
            if let Some(path) = core.tree.path(ino)
                && !self.is_clear(&mut core, &path, Errand::Attributes(ino))
            {
                return Ok(());
            }
            let Ok(node) = core.tree.node(ino) else { return Ok(()) };
            // What is owed takes its attributes along.
            let travels =
                node.file().is_some_and(|file| file.content.is_owed()) || node.on_site() != OnSite::Yes;
            let Some(path) = core.tree.path(ino).filter(|_| node.attributes_owed && !travels) else {
                return Ok(());
            };
            if path.is_root() {
                // The root of a site has no entry that could keep them.
                self.attributes_arrived(&mut core, ino);
                return Ok(());
            }
            let time = (node.time(true) != Time::NotSet).then(|| on_the_wire(node.attributes.mtime));
            (path, time, node.attributes, node.xattrs.clone(), self.metadata(&core, node))
        };
        let ours = (self.rules.metadata == Metadata::Full).then_some(&metadata);
        if ours.is_none() && time.is_none() {
            self.attributes_arrived(&mut self.core(), ino);
            return Ok(());
        }
        let mut outcome = self.remote.set_attributes(&path, time, ours).await;
        if let (Ok(entry), true) = (&outcome, ours.is_some())
            && let Some(blank) = with_blanks(&metadata, &entry.metadata)
        {
            outcome = self.remote.set_attributes(&path, None, Some(&blank)).await;
        }
        if let Err(error) = &outcome
            && error.kind() == ErrorKind::Unsupported
            && ours.is_some()
        {
            self.metadata_refused(&told(error));
            if time.is_none() {
                self.attributes_arrived(&mut self.core(), ino);
                return Ok(());
            }
            outcome = self.remote.set_attributes(&path, time, None).await;
        }
        failpoint::reach("attributes.there");
        match outcome {
            Ok(entry) => {
                let mut core = self.core();
                if let Ok(node) = core.tree.node_mut(ino) {
                    node.touched = Some(Instant::now());
                    node.foreign = take_apart(entry.metadata).1;
                    if node.attributes == sent && node.xattrs == sent_xattrs {
                        self.attributes_arrived(&mut core, ino);
                    } else if !core.queue.is_planned(Errand::Attributes(ino)) {
                        // A name came or went meanwhile: that changes the time of a folder, and plans nothing.
                        core.queue.schedule(Errand::Attributes(ino), Instant::now() + MERGE_ATTRIBUTES);
                    }
                }
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // Somebody else took it away, or hides it: nothing is owed of what the next listing will not show.
                tracing::warn!("{path} is not there any more, so its changed attributes are not stored");
                let folder = {
                    let mut core = self.core();
                    self.attributes_arrived(&mut core, ino);
                    core.tree.node(ino).ok().and_then(|node| node.parent)
                };
                self.look_again(&path);
                if let Some(folder) = folder
                    && let Err(failure) = self.list_anew(folder).await
                {
                    tracing::debug!("the folder of {path} is listed again later: {failure}");
                }
                Ok(())
            }
            Err(error) if is_final(error.kind()) => {
                tracing::warn!("attributes of {path} are not stored: {}", told(&error));
                self.attributes_arrived(&mut self.core(), ino);
                Ok(())
            }
            Err(error) => Err(told(&error)),
        }
    }

    /// Nothing but bytes is owed of `ino` any more.
    pub(super) fn attributes_arrived(&self, core: &mut Core, ino: Ino) {
        if let Some(end) = self.end_of_entry(core, ino) {
            self.journal.note(end);
        }
        if let Ok(node) = core.tree.node_mut(ino) {
            node.attributes_owed = false;
        }
    }

    /// Reported once; a backup does not fail for it.
    pub(super) fn metadata_refused(&self, why: &Failure) {
        let mut core = self.core();
        if core.habits.takes_metadata {
            core.habits.takes_metadata = false;
            tracing::warn!("modes, owners and fractions of seconds are not stored here: {why}");
        }
    }
}

/// The metadata to send where keys of ours are left that were not sent: a service that merges, rather than
/// replaces, keeps them. An empty value says as much as none.
fn with_blanks(
    sent: &BTreeMap<String, String>,
    stored: &BTreeMap<String, String>,
) -> Option<BTreeMap<String, String>> {
    let left = stored.iter().filter(|(key, value)| is_ours(key, value) && !sent.contains_key(*key));
    let blanks: Vec<_> = left.map(|(key, _)| (key.clone(), String::new())).collect();
    (!blanks.is_empty()).then(|| sent.clone().into_iter().chain(blanks).collect())
}
