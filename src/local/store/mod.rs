//! The bytes of files on this machine: the spool holds what is owed, the cache what may go.
//!
//! A file keeps its number when it moves from one to the other; one rename lies between. Whoever
//! calls decides which of the two it belongs to: this room does not know what is owed.

mod places;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::num::NonZeroUsize;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use super::private::{self, NotPrivate};
use super::spares::Spares;
use super::trouble::Trouble;
use super::unnamed::Unnamed;
use super::{descriptors, durable, failpoint};
use crate::model::descriptors::Shares;
use crate::model::ino::ContentId;
use crate::model::room::{self, Answer, Room};

/// Open files that are kept for the next call, where there are descriptors enough.
const OPEN_FILES: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// The two folders.
#[derive(Debug)]
pub struct Store {
    spool: PathBuf,
    /// Open, so that its names can be synced when nothing else can be opened.
    spool_folder: File,
    cache: PathBuf,
    quarantine: PathBuf,
    next: AtomicU64,
    spares: Spares,
    /// Files of the spool whose names a power loss may take.
    unnamed: Unnamed,
    /// Files that the disk could not sync, with its answer.
    refusals: Mutex<HashMap<ContentId, i32>>,
    open: Mutex<LruCache<ContentId, Arc<File>>>,
    /// Counts the files that left the cache for the spool; changes under the lock of `open`.
    moves: AtomicU64,
    /// The files that were put into the cache, by their numbers on the disk: another one of that name is not ours.
    cached: Mutex<HashMap<ContentId, u64>>,
    room: Mutex<Room>,
}

/// Bytes that the spool may grow by. Let go when what was written is measured.
#[derive(Debug)]
pub struct Promise<'a> {
    store: &'a Store,
    bytes: u64,
}

impl Drop for Promise<'_> {
    fn drop(&mut self) {
        self.store.room().kept(self.bytes);
    }
}

/// What an earlier mount left.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Left {
    /// In the spool, with its size.
    pub spooled: HashMap<ContentId, u64>,
    /// In the cache: it came from Files.com, or was proven to be there.
    pub cached: HashSet<ContentId>,
}

impl Store {
    /// Opens the spool in `state_dir` and the cache in `cache_dir`, and tells what an earlier mount left.
    /// What is in the cache goes with [`Self::remove_cached`], once no fact speaks of it any more.
    pub fn open(state_dir: &Path, cache_dir: &Path) -> io::Result<(Self, Left)> {
        let [spool, quarantine] = ["spool", "quarantine"].map(|name| state_dir.join(name));
        let cache = cache_dir.join("content");
        let spool_folder = make(&spool)?;
        make(&quarantine)?;
        make(&cache)?;
        places::remove_halves(&spool)?;
        let mut left = Left::default();
        let mut room = Room::new(u64::MAX);
        left.cached.extend(numbered(&cache)?.into_keys());
        for (id, metadata) in numbered(&spool)? {
            left.spooled.insert(id, metadata.len());
            room.enter(id, taken(&metadata));
        }
        let last = left.spooled.keys().chain(&left.cached).map(|id| id.0).max();
        // What a process that died had not synced any more.
        durable::sync_names_in(&spool_folder)?;
        let (next, spares) = (AtomicU64::new(last.unwrap_or(0) + 1), Spares::default());
        let (open, unnamed) = (Mutex::new(LruCache::new(OPEN_FILES)), Unnamed::default());
        let (refusals, room) = (Mutex::default(), Mutex::new(room));
        let (moves, cached) = (AtomicU64::new(0), Mutex::default());
        let store = Self {
            spool,
            spool_folder,
            cache,
            quarantine,
            next,
            spares,
            unnamed,
            refusals,
            open,
            moves,
            cached,
            room,
        };
        Ok((store, left))
    }

    /// No more is kept open than these shares say.
    pub fn share(&self, shares: &Shares) {
        self.opened().resize(NonZeroUsize::new(shares.kept).unwrap_or(NonZeroUsize::MIN));
        self.spares.share(shares.spares);
    }

    /// Opens something, with the descriptors that are only kept where there are no others.
    fn opening<T>(&self, attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        descriptors::open(attempt, || {
            self.opened().clear();
            self.spares.give_back();
        })
    }

    /// Spool and cache may take `bytes` together.
    pub fn limit(&self, bytes: u64) {
        self.room().set_limit(bytes);
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that all files in the spool take.
    pub fn spooled(&self) -> u64 {
        self.room().used()
    }

    /// Bytes that a file in the spool takes.
    pub fn taken(&self, id: ContentId) -> u64 {
        self.room().taken(id)
    }

    /// By how much spool and `cached` bytes exceed the limit.
    pub fn excess(&self, cached: u64) -> u64 {
        self.room().excess(cached)
    }

    /// Asks for `bytes` more in the spool while the cache takes `cached`.
    ///
    /// # Errors
    /// Why they are not promised.
    pub fn ask(&self, id: Option<ContentId>, bytes: u64, cached: u64) -> Result<Promise<'_>, Answer> {
        match self.room().ask(id, bytes, cached) {
            Answer::Promised => Ok(Promise { store: self, bytes }),
            refused => Err(refused),
        }
    }

    /// Promises `bytes` although there is no room for them.
    pub fn exceed(&self, bytes: u64) -> Promise<'_> {
        self.room().promise(bytes);
        Promise { store: self, bytes }
    }

    /// A file may take `bytes` more than it takes now, beyond the limit. True the first time.
    pub fn allow(&self, id: ContentId, bytes: u64) -> bool {
        self.room().allow(id, bytes)
    }

    /// Looks how much a spooled file takes now.
    pub fn measure(&self, id: ContentId, file: &File) {
        // Under the lock: of two that look, the later one is right.
        let mut room = self.room();
        if let Ok(metadata) = file.metadata() {
            room.measured(id, taken(&metadata));
        }
    }

    /// None of these numbers is given to new bytes: a journal may know numbers whose files are gone.
    pub fn keep_from(&self, ids: impl Iterator<Item = ContentId>) {
        for id in ids {
            self.next.fetch_max(id.0 + 1, Ordering::Relaxed);
        }
    }

    /// A new, empty file in the spool.
    pub fn create(&self) -> io::Result<ContentId> {
        let (id, file) = self.opening(|| self.spares.take(&self.spool, &self.next, &self.unnamed))?;
        self.keep(id, file);
        self.room().enter(id, 0);
        failpoint::reach("store.created");
        Ok(id)
    }

    /// A new, empty file in the cache.
    pub fn create_cached(&self) -> io::Result<ContentId> {
        let (id, file) = self.opening(|| create_new(&self.cache, &self.next))?;
        self.cached().insert(id, file.metadata()?.ino());
        self.keep(id, file);
        failpoint::reach("store.created");
        Ok(id)
    }

    /// Waits until the bytes of a spooled file and its name are on the disk.
    ///
    /// # Errors
    /// A disk that could not do it once is not asked again: it would answer for what it has dropped. What kept this
    /// process from asking it is no answer of the disk's.
    pub fn sync(&self, id: ContentId) -> io::Result<()> {
        if let Some(error) = self.unsynced(id) {
            return Err(error);
        }
        let file = self.file(id)?;
        let synced = durable::sync_bytes(&file);
        // Some disks give the blocks only now.
        self.measure(id, &file);
        synced.and_then(|()| self.sync_name(id)).inspect_err(|error| {
            if Trouble::of_io(error) != Trouble::Short {
                self.refusals().insert(id, error.raw_os_error().unwrap_or(libc::EIO));
            }
        })
    }

    fn sync_name(&self, id: ContentId) -> io::Result<()> {
        if !self.unnamed.has(id) {
            return Ok(());
        }
        self.spares.top_up(&self.spool, &self.next, &self.unnamed);
        self.unnamed.sync(&self.spool_folder)
    }

    /// What the disk said when it could not sync this file: it may have dropped bytes of it.
    pub fn unsynced(&self, id: ContentId) -> Option<io::Error> {
        self.refusals().get(&id).copied().map(io::Error::from_raw_os_error)
    }

    fn refusals(&self) -> MutexGuard<'_, HashMap<ContentId, i32>> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cached(&self) -> MutexGuard<'_, HashMap<ContentId, u64>> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the bytes go. Descriptors that are still in use keep theirs.
    pub fn remove(&self, id: ContentId) {
        self.opened().pop(&id);
        self.cached().remove(&id);
        self.room().leave(id);
        self.unnamed.left(id);
        self.refusals().remove(&id);
        for folder in [&self.spool, &self.cache] {
            match fs::remove_file(place(folder, id)) {
                Ok(()) => return failpoint::reach("store.removed"),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => tracing::warn!("cannot remove {}: {error}", place(folder, id).display()),
            }
        }
    }

    /// Lets go of what an earlier mount left in the cache.
    pub fn remove_cached(&self, id: ContentId) -> io::Result<()> {
        fs::remove_file(place(&self.cache, id))
    }

    /// Sets a spooled file aside that nothing is known of, and says where it is now.
    pub fn set_aside(&self, id: ContentId) -> io::Result<PathBuf> {
        let aside = move_aside(&self.spool, &self.quarantine, id)?;
        self.room().leave(id);
        Ok(aside)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.spares.remove(&self.spool);
    }
}

fn taken(metadata: &fs::Metadata) -> u64 {
    room::taken(metadata.len(), metadata.blocks() * 512)
}

fn make(folder: &Path) -> io::Result<File> {
    private::make(folder).map_err(|error| match error {
        NotPrivate::Io { error, .. } => error,
        refused => io::Error::other(refused),
    })
}

/// Moves a file of the spool to the quarantine, under a name that is free there.
pub(super) fn move_aside(spool: &Path, quarantine: &Path, id: ContentId) -> io::Result<PathBuf> {
    let to = (0u32..)
        .map(|n| quarantine.join(format!("{:016x}.{n}", id.0)))
        .find(|path| !path.exists())
        .ok_or(io::ErrorKind::AlreadyExists)?;
    fs::rename(place(spool, id), &to)?;
    failpoint::reach("store.set-aside");
    durable::sync_names(quarantine)?;
    durable::sync_names(spool)?;
    Ok(to)
}

/// A new, empty file in `folder` with the next number.
pub(super) fn create_new(folder: &Path, next: &AtomicU64) -> io::Result<(ContentId, Arc<File>)> {
    let id = ContentId(next.fetch_add(1, Ordering::Relaxed));
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create_new(true).mode(0o600).open(place(folder, id))?;
    Ok((id, Arc::new(file)))
}

/// A file of ours that is there; a link that somebody has put in its place is none.
pub(super) fn open_file(folder: &Path, id: ContentId) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOFOLLOW).open(place(folder, id))
}

pub(super) fn place(folder: &Path, id: ContentId) -> PathBuf {
    folder.join(format!("{:016x}", id.0))
}

/// The files in `folder` whose names are numbers of ours.
pub(super) fn numbered(folder: &Path) -> io::Result<HashMap<ContentId, fs::Metadata>> {
    let mut found = HashMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().filter(|name| name.len() == 16);
        let Some(id) = name.and_then(|name| u64::from_str_radix(name, 16).ok()) else { continue };
        match entry.metadata() {
            Ok(metadata) if metadata.is_file() => drop(found.insert(ContentId(id), metadata)),
            Ok(_) => tracing::warn!("{} is no file of ours, and left alone", entry.path().display()),
            // A mount that ends takes away what it had made in advance.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}
