//! The one value behind the one lock: what the mount knows at this moment.
//!
//! It is locked for the length of a decision and never across a wait: every journey decides here,
//! acts without the lock, and comes back to report.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lru::LruCache;
use tokio::sync::Notify;

use super::cached::Cached;
use super::leftovers::Leftovers;
use super::still::Still;
use crate::model::attributes::Attributes;
use crate::model::backlog::Backlog;
use crate::model::content::State;
use crate::model::failure::Failure;
use crate::model::growth::Growth;
use crate::model::ino::{ContentId, Ino};
use crate::model::meter::Meter;
use crate::model::node::{Body, File, Local};
use crate::model::path::RemotePath;
use crate::model::proof::Basis;
use crate::model::queue::{Kinds, Queue};
use crate::model::tree::Tree;
use crate::model::waiting::Waiting;
use crate::model::walk::Walk;
use crate::remote::Gauge;

/// Walks that are followed at the same time: one for each level of a tree, for several walkers.
const WALKS: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// Of a file that is larger, what its blocks were is remembered when it leaves the cache.
const WORTH_REMEMBERING: u64 = 16 << 20;

/// What waits to be done in the background.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Errand {
    /// Publish a file, or a folder that is only here.
    Publish(Ino),
    /// Send attributes that changed after publication.
    Attributes(Ino),
    /// Make a change of names on Files.com.
    Step(u64),
    /// Put what an earlier mount left back into the tree.
    TakeUp,
}

impl Errand {
    /// The kind of those that send bytes.
    pub const SENDS: usize = 0;
}

impl Kinds for Errand {
    const COUNT: usize = 3;

    // Others wait for steps: those get room of their own. So do attributes, which need none on Files.com.
    fn kind(&self) -> usize {
        match self {
            Self::Publish(_) | Self::TakeUp => Self::SENDS,
            Self::Step(_) => 1,
            Self::Attributes(_) => 2,
        }
    }
}

/// An open descriptor, or several that share it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Handle {
    pub ino: Ino,
    pub writable: bool,
    /// The process that opened it, where that could be told.
    pub process: Option<u32>,
    /// It was closed, perhaps for the last time: only duplicates may use it still.
    pub closed: bool,
    /// [`FetchFailures::damages`](crate::model::node::FetchFailures::damages) of the file when it was opened.
    pub damages: u64,
    /// Bytes were written by it, or may have been.
    pub wrote: bool,
    /// The process that opened it has closed it, as far as that is known, and nothing was written by it since.
    pub done: bool,
}

impl Handle {
    /// A descriptor that is about to be opened.
    pub fn new(ino: Ino, writable: bool, process: Option<u32>) -> Self {
        Self { ino, writable, process, closed: false, damages: 0, wrote: false, done: false }
    }

    /// Was something written by it that its close is still to publish?
    pub fn is_to_publish(&self) -> bool {
        self.writable && self.wrote && !self.done
    }
}

/// Whose write it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// That descriptor's.
    Handle(u64),
    /// It cannot be told: the kernel writes back pages of a memory map, with any descriptor of the file, here this one.
    Anybody(u64),
}

impl From<u64> for By {
    fn from(handle: u64) -> Self {
        Self::Handle(handle)
    }
}

impl By {
    /// The descriptor that the kernel names.
    pub fn handle(self) -> u64 {
        let (Self::Handle(handle) | Self::Anybody(handle)) = self;
        handle
    }
}

/// Does the site state digests? Learned once, not waited for again with every file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Digests {
    Unknown,
    Stated,
    Absent,
}

/// What was learned about the site while working with it.
#[derive(Debug)]
pub(crate) struct Habits {
    pub digests: Digests,
    /// The completed entity shows the `custom_metadata` that came with the completion.
    pub takes_metadata_at_completion: bool,
    /// `custom_metadata` can be written at all.
    pub takes_metadata: bool,
    /// The given modification time is kept.
    pub keeps_mtime: bool,
    /// Parts of the size that is granted are taken, and larger ones are not.
    pub grants_parts: bool,
}

/// Numbers for the status.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub verified: u64,
    pub weak: u64,
    /// Proofs that a digest which came later contradicts.
    pub contradicted: u64,
}

/// An upload under way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    pub gauge: Gauge,
    pub size: u64,
    /// What is sent may be wanted no more: the uploader looks.
    pub news: Arc<Notify>,
    /// Bytes that a close waits for: they stay until it is answered, whatever takes their place.
    pub awaited: Option<ContentId>,
}

/// Everything that is known.
#[derive(Debug)]
pub(crate) struct Core {
    pub tree: Tree,
    pub handles: HashMap<u64, Handle>,
    next_handle: u64,
    pub queue: Queue<Errand>,
    /// Changes of names that Files.com must still make.
    pub backlog: Backlog,
    /// What waits for a step to be taken.
    pub waiting: Waiting<Errand>,
    pub leftovers: Leftovers,
    pub habits: Habits,
    pub counts: Counts,
    pub uploading: HashMap<Ino, Progress>,
    /// Files that are kept still while a close reads them.
    pub still: HashMap<Ino, Still>,
    pub meter: Meter,
    pub cached: Cached,
    /// Files of which another digest is stated than was proven, or was.
    pub contradicted: BTreeSet<Ino>,
    /// Folders whose subfolders somebody may be walking through.
    pub walks: LruCache<Ino, Walk>,
    /// Large files that are being written, for whoever sends their parts meanwhile.
    pub growing: HashMap<ContentId, Growth>,
    /// What Files.com is being asked to move, from where and to where. The journal was told already: what it hears
    /// meanwhile is under the new paths.
    pub moving: Vec<(RemotePath, RemotePath)>,
}

impl Core {
    pub fn new(tree: Tree) -> Self {
        Self {
            tree,
            handles: HashMap::new(),
            next_handle: 1,
            queue: Queue::default(),
            backlog: Backlog::default(),
            waiting: Waiting::default(),
            leftovers: Leftovers::default(),
            habits: Habits {
                digests: Digests::Unknown,
                takes_metadata_at_completion: true,
                takes_metadata: true,
                keeps_mtime: true,
                grants_parts: false,
            },
            counts: Counts::default(),
            uploading: HashMap::new(),
            still: HashMap::new(),
            meter: Meter::default(),
            cached: Cached::default(),
            contradicted: BTreeSet::new(),
            walks: LruCache::new(WALKS),
            growing: HashMap::new(),
            moving: Vec::new(),
        }
    }

    /// A proof was made, which rests on this.
    pub fn proven(&mut self, basis: Basis) {
        self.counts.verified += 1;
        self.counts.weak += u64::from(basis.is_weak());
        self.meter.note(Instant::now(), 0, 1);
    }

    /// Where the journal finds `ino`.
    pub fn path_told(&self, ino: Ino) -> Option<RemotePath> {
        Some(self.told(self.tree.path(ino)?))
    }

    /// The same of a path of the tree.
    pub fn told(&self, path: RemotePath) -> RemotePath {
        let mut moved = self.moving.iter().filter_map(|(from, to)| Some(to.descend(path.below(from)?)));
        moved.next().unwrap_or(path)
    }

    /// May the listing of `folder` still be believed? A folder that is only here needs none; one whose
    /// names Files.com is still to be told of is known better here.
    pub fn is_fresh(&self, folder: Ino, ttl: Duration, now: Instant) -> Result<bool, Failure> {
        let known = self.tree.folder(folder)?;
        let is_only_here = !known.published && !known.perhaps;
        let Some(asked) = known.listed else { return Ok(is_only_here) };
        Ok(is_only_here || now.duration_since(asked) < ttl || !known.unseen && self.is_ahead(folder))
    }

    /// Is `folder` the next that somebody walks into?
    pub fn is_expected(&self, folder: Ino) -> bool {
        let parent = self.tree.node(folder).ok().and_then(|node| node.parent);
        parent.and_then(|parent| self.walks.peek(&parent)).is_some_and(|walk| walk.expects(folder))
    }

    /// Do steps wait that change the folder, or what is in it?
    fn is_ahead(&self, folder: Ino) -> bool {
        let path = self.tree.path(folder).filter(|_| !self.backlog.is_empty());
        path.is_some_and(|path| self.backlog.changes_within(&path))
    }

    /// Opens a descriptor.
    pub fn open(&mut self, handle: Handle) -> Result<u64, Failure> {
        let file = self.tree.file_mut(handle.ino)?;
        let handle = Handle { damages: file.fetch_failures.damages(), ..handle };
        file.handles += 1;
        if handle.writable {
            file.writers += 1;
        }
        let number = self.next_handle;
        self.next_handle += 1;
        self.handles.insert(number, handle);
        Ok(number)
    }

    /// The bytes of `ino` are changed.
    pub fn is_written(&mut self, ino: Ino, by: By) {
        match by {
            By::Handle(number) => {
                if let Some(handle) = self.handles.get_mut(&number) {
                    (handle.wrote, handle.done) = (true, false);
                }
            }
            By::Anybody(_) => {
                let of_file = self.handles.values_mut().filter(|handle| handle.ino == ino && handle.writable);
                of_file.for_each(|handle| handle.wrote = true);
            }
        }
    }

    /// What is being sent of `ino` may be wanted no more.
    pub fn look_again_at(&self, ino: Ino) {
        if let Some(progress) = self.uploading.get(&ino) {
            progress.news.notify_waiters();
        }
    }

    /// Lets a descriptor go, and tells what it was.
    pub fn release(&mut self, number: u64) -> Option<Handle> {
        let handle = self.handles.remove(&number)?;
        if let Ok(file) = self.tree.file_mut(handle.ino) {
            file.handles = file.handles.saturating_sub(1);
            if handle.writable {
                file.writers = file.writers.saturating_sub(1);
            }
        }
        Some(handle)
    }

    /// May whoever uses descriptor `number` go on with it?
    ///
    /// # Errors
    /// EIO once it may have been given bytes that are not the file's: what it reads from then on would make a whole
    /// of good and bad ones. Only opening the file again ends that.
    pub fn is_sound(&self, number: u64) -> Result<(), Failure> {
        let Some(handle) = self.handles.get(&number) else { return Ok(()) };
        match self.tree.file(handle.ino) {
            Ok(file) if file.fetch_failures.damages() != handle.damages => Err(Failure::new(
                libc::EIO,
                "bytes that were read of this file before were damaged on their way; close it and open it again",
            )),
            _ => Ok(()),
        }
    }

    /// Has somebody `ino` open whose descriptor is not sound any more?
    pub fn is_held_unsound(&self, ino: Ino) -> bool {
        let Ok(file) = self.tree.file(ino) else { return false };
        let damages = file.fetch_failures.damages();
        damages > 0 && self.handles.values().any(|handle| handle.ino == ino && handle.damages != damages)
    }

    /// Is `ino` a file whose close publishes? Not under a temporary name, nor in a folder that is only
    /// here, nor when it was unlinked.
    pub fn may_publish(&self, ino: Ino) -> bool {
        let Ok(node) = self.tree.node(ino) else { return false };
        let held_back = node.file().is_some_and(|file| file.temporary);
        node.parent.is_some() && !held_back && self.tree.is_rooted(ino)
    }

    /// Is a descriptor open that may write to `ino`? Then its close publishes.
    pub fn has_writer(&self, ino: Ino) -> bool {
        self.tree.file(ino).is_ok_and(|file| file.writers > 0)
    }

    /// Is somebody still at the file, who will publish it, or plan it, with a close? Half a file would be
    /// published over a whole one.
    pub fn is_in_use(&self, ino: Ino) -> bool {
        let file = self.tree.file(ino);
        file.is_ok_and(|file| file.is_being_written() || file.temporary && self.has_writer(ino))
    }

    /// Is `ino` owed only in so far as somebody is writing to it? What was closed, or refused, is owed whoever writes.
    pub fn is_only_open(&self, ino: Ino) -> bool {
        let Ok(file) = self.tree.file(ino) else { return false };
        let is_held = matches!(file.content.state(), State::Held(_));
        self.is_in_use(ino) && !file.content.owes_a_close() && !is_held
    }

    /// Is `ino` owed, and not kept from being sent by a writer or a refusal?
    pub fn is_sendable(&self, ino: Ino) -> bool {
        let Ok(node) = self.tree.node(ino) else { return false };
        // A folder that is only here: what is in it follows.
        let Some(file) = node.file() else { return node.parent.is_some() };
        let is_held = matches!(file.content.state(), State::Held(_));
        node.parent.is_some() && file.content.is_owed() && !is_held && !self.is_in_use(ino)
    }

    /// Steps that wait for a person, where anything waits for steps.
    pub fn stuck(&self) -> BTreeSet<u64> {
        if self.waiting.is_empty() { BTreeSet::new() } else { self.backlog.stuck() }
    }

    /// Has Files.com this folder, and all those above it?
    pub fn may_hold_published(&self, folder: Ino) -> bool {
        self.tree.folder(folder).is_ok_and(|known| known.published) && self.tree.is_rooted(folder)
    }

    /// The attributes of `ino` are others now. True when Files.com must be told on its own: what is
    /// owed anyway takes its attributes along.
    pub fn set_attributes(&mut self, ino: Ino, attributes: Attributes) -> Result<bool, Failure> {
        self.tree.node_mut(ino)?.attributes = attributes;
        self.owe_attributes(ino)
    }

    /// The same after extended attributes were changed.
    pub fn owe_attributes(&mut self, ino: Ino) -> Result<bool, Failure> {
        let node = self.tree.node_mut(ino)?;
        let (travels, is_there) = match &node.body {
            Body::File(file) => (file.published.is_none() || file.content.is_owed(), true),
            // Files.com makes folders without attributes.
            Body::Folder(folder) => (false, folder.published),
        };
        let owed = !travels && (node.parent.is_some() || ino == Ino::ROOT);
        node.attributes_owed |= owed;
        Ok(owed && is_there)
    }

    /// Files with something that Files.com does not hold, and how many bytes that is.
    pub fn owed(&self) -> impl Iterator<Item = (Ino, &File)> {
        self.tree.owed().filter_map(|(ino, node)| {
            let file = node.file()?;
            file.content.is_owed().then_some((ino, file))
        })
    }

    /// Folders and files that Files.com must still be told of, contents aside.
    pub fn owed_otherwise(&self) -> impl Iterator<Item = Ino> {
        self.tree.owed().filter_map(|(ino, node)| {
            let only_here = node.folder().is_some_and(|folder| !folder.published);
            (node.attributes_owed || only_here).then_some(ino)
        })
    }

    /// Lets the cached file go that was used longest ago and is not open; its bytes may be removed.
    pub fn evict(&mut self) -> Option<ContentId> {
        loop {
            let is_closed = |ino| self.tree.file(ino).map_or(true, |file| file.handles == 0);
            let victim = self.cached.oldest(is_closed)?;
            self.cached.remove(victim);
            if let Ok(file) = self.tree.file_mut(victim)
                && let Local::Cached(id, _) = file.local
            {
                file.local = Local::Nowhere;
                if !file.blocks.are_proven() || file.size < WORTH_REMEMBERING {
                    // What comes next time can only be compared as a whole: the kernel must not have a part of it.
                    file.blocks = Default::default();
                    file.stale_pages = true;
                }
                return Some(id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::attributes::{Defaults, Shape};
    use crate::model::moment::Moment;

    #[test]
    fn the_journal_is_told_the_new_path_of_what_is_on_its_way() {
        let path = |text: &str| text.split('/').fold(RemotePath::ROOT, |path, name| path.join(name));
        let defaults = Defaults::with_umask(0o022, 0, 0);
        let mut core = Core::new(Tree::new(path("backups"), defaults, Moment::default()));
        let attributes = defaults.new_entry(Shape::File, Moment::default());
        let [one, other] = ["a", "ab"].map(|name| {
            let body = Body::File(File::created(ContentId(1), false));
            core.tree.insert(Ino::ROOT, name.into(), name.into(), attributes, body).unwrap()
        });
        core.moving.push((path("backups/a"), path("backups/b")));
        assert_eq!(core.path_told(one), Some(path("backups/b")));
        assert_eq!(core.path_told(other), Some(path("backups/ab")));
        core.moving.clear();
        assert_eq!(core.path_told(one), Some(path("backups/a")));
    }
}
