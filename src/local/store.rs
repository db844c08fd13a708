//! The bytes of files on this machine: the spool holds what is owed, the cache what may go.
//!
//! A file keeps its number when it moves from one to the other; one rename lies between. Whoever
//! calls decides which of the two it belongs to: this room does not know what is owed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::num::NonZeroUsize;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use super::spares::Spares;
use super::unnamed::Unnamed;
use super::{durable, failpoint};
use crate::model::ino::ContentId;
use crate::model::room::{self, Answer, Room};

/// How the name of a copy ends that is not whole yet.
const HALF: &str = "half";

/// Open files that are kept for the next call.
const OPEN_FILES: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// The two folders.
#[derive(Debug)]
pub struct Store {
    spool: PathBuf,
    cache: PathBuf,
    quarantine: PathBuf,
    next: AtomicU64,
    spares: Spares,
    /// Files of the spool whose names a power loss may take.
    unnamed: Unnamed,
    /// Files that the disk could not sync, with its answer.
    refusals: Mutex<BTreeMap<ContentId, i32>>,
    open: Mutex<LruCache<ContentId, Arc<File>>>,
    /// Counts the files that left the cache for the spool; changes under the lock of `open`.
    moves: AtomicU64,
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
    pub spooled: BTreeMap<ContentId, u64>,
    /// In the cache: it came from Files.com, or was proven to be there.
    pub cached: BTreeSet<ContentId>,
}

impl Store {
    /// Opens the spool in `state_dir` and the cache in `cache_dir`, and tells what an earlier mount left.
    /// What is in the cache goes with [`Self::remove_cached`], once no fact speaks of it any more.
    pub fn open(state_dir: &Path, cache_dir: &Path) -> io::Result<(Self, Left)> {
        let [spool, quarantine] = ["spool", "quarantine"].map(|name| state_dir.join(name));
        let cache = cache_dir.join("content");
        for folder in [&spool, &quarantine, &cache] {
            durable::make_private_folder(folder)?;
        }
        remove_halves(&spool)?;
        let mut left = Left::default();
        let mut room = Room::new(u64::MAX);
        left.cached.extend(numbered(&cache)?.into_keys());
        for (id, metadata) in numbered(&spool)? {
            left.spooled.insert(id, metadata.len());
            room.enter(id, taken(&metadata));
        }
        let last = left.spooled.keys().chain(&left.cached).map(|id| id.0).max();
        // What a process that died had not synced any more.
        durable::sync_names(&spool)?;
        let (next, spares) = (AtomicU64::new(last.unwrap_or(0) + 1), Spares::default());
        let (open, unnamed) = (Mutex::new(LruCache::new(OPEN_FILES)), Unnamed::default());
        let (refusals, room) = (Mutex::default(), Mutex::new(room));
        let moves = AtomicU64::new(0);
        Ok((Self { spool, cache, quarantine, next, spares, unnamed, refusals, open, moves, room }, left))
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

    /// Numbers from now on are larger than `id`: a journal may know numbers whose files are gone.
    pub fn start_after(&self, id: ContentId) {
        self.next.fetch_max(id.0 + 1, Ordering::Relaxed);
    }

    /// A new, empty file in the spool.
    pub fn create(&self) -> io::Result<ContentId> {
        let (id, file) = self.spares.take(&self.spool, &self.next, &self.unnamed)?;
        self.keep(id, file);
        self.room().enter(id, 0);
        failpoint::reach("store.created");
        Ok(id)
    }

    /// A new, empty file in the cache.
    pub fn create_cached(&self) -> io::Result<ContentId> {
        let (id, file) = create_new(&self.cache, &self.next)?;
        self.keep(id, file);
        failpoint::reach("store.created");
        Ok(id)
    }

    /// The file itself, to be read and written at any offset.
    pub fn file(&self, id: ContentId) -> io::Result<Arc<File>> {
        loop {
            let moves = {
                let mut open = self.opened();
                if let Some(file) = open.get(&id) {
                    return Ok(file.clone());
                }
                self.moves.load(Ordering::Relaxed)
            };
            let opened = self.open_anywhere(id);
            let mut open = self.opened();
            if self.moves.load(Ordering::Relaxed) != moves {
                // It may have moved between the two looks, or be the one that was left behind.
                continue;
            }
            let file = Arc::new(opened?);
            open.put(id, file.clone());
            return Ok(file);
        }
    }

    fn open_anywhere(&self, id: ContentId) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        match options.open(place(&self.spool, id)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => options.open(place(&self.cache, id)),
            other => other,
        }
    }

    fn opened(&self) -> MutexGuard<'_, LruCache<ContentId, Arc<File>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, id: ContentId, file: Arc<File>) {
        self.opened().put(id, file);
    }

    /// Waits until the bytes of a spooled file and its name are on the disk.
    ///
    /// # Errors
    /// A disk that could not do it once is not asked again: it would answer for what it has dropped.
    pub fn sync(&self, id: ContentId) -> io::Result<()> {
        if let Some(error) = self.unsynced(id) {
            return Err(error);
        }
        let file = self.file(id)?;
        let synced = durable::sync_bytes(&file);
        // Some disks give the blocks only now.
        self.measure(id, &file);
        synced.and_then(|()| self.sync_name(id)).inspect_err(|error| {
            self.refusals().insert(id, error.raw_os_error().unwrap_or(libc::EIO));
        })
    }

    fn sync_name(&self, id: ContentId) -> io::Result<()> {
        if !self.unnamed.has(id) {
            return Ok(());
        }
        self.spares.top_up(&self.spool, &self.next, &self.unnamed);
        self.unnamed.sync(&self.spool)
    }

    /// What the disk said when it could not sync this file: it may have dropped bytes of it.
    pub fn unsynced(&self, id: ContentId) -> Option<io::Error> {
        self.refusals().get(&id).copied().map(io::Error::from_raw_os_error)
    }

    fn refusals(&self) -> MutexGuard<'_, BTreeMap<ContentId, i32>> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From the spool to the cache: nothing of it is owed any more. False when the two are on
    /// different disks and it is cheaper to fetch it again than to copy it.
    pub fn to_cache(&self, id: ContentId) -> io::Result<bool> {
        match fs::rename(place(&self.spool, id), place(&self.cache, id)) {
            Ok(()) => {
                self.room().leave(id);
                self.unnamed.left(id);
                failpoint::reach("store.moved-to-cache");
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// From the cache to the spool: it is about to be owed.
    pub fn to_spool(&self, id: ContentId) -> io::Result<()> {
        let (from, to) = (place(&self.cache, id), place(&self.spool, id));
        let renamed = {
            let _open = self.opened();
            self.moves.fetch_add(1, Ordering::Relaxed);
            fs::rename(&from, &to)
        };
        match renamed {
            Ok(()) => failpoint::reach("store.moved-to-spool"),
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                self.copy_to_spool(id, &from, &to)?
            }
            // It never left.
            Err(error) if error.kind() == io::ErrorKind::NotFound && to.exists() => {}
            Err(error) => return Err(error),
        }
        self.unnamed.came(id);
        let file = self.file(id)?;
        let metadata = file.metadata()?;
        self.room().enter(id, taken(&metadata));
        Ok(())
    }

    /// Nobody finds half of it: it has its name when it is whole.
    fn copy_to_spool(&self, id: ContentId, from: &Path, to: &Path) -> io::Result<()> {
        let half = to.with_extension(HALF);
        fs::copy(from, &half).inspect_err(|_| drop(fs::remove_file(&half)))?;
        let mut open = self.opened();
        self.moves.fetch_add(1, Ordering::Relaxed);
        fs::rename(&half, to)?;
        open.pop(&id);
        fs::remove_file(from)
    }

    /// Lets the bytes go. Descriptors that are still in use keep theirs.
    pub fn remove(&self, id: ContentId) {
        self.opened().pop(&id);
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

/// Copies that were not done when a mount ended: what they are copies of is still in the cache.
fn remove_halves(spool: &Path) -> io::Result<()> {
    for entry in fs::read_dir(spool)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == HALF) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
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

pub(super) fn place(folder: &Path, id: ContentId) -> PathBuf {
    folder.join(format!("{:016x}", id.0))
}

/// The files in `folder` whose names are numbers of ours.
pub(super) fn numbered(folder: &Path) -> io::Result<BTreeMap<ContentId, fs::Metadata>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().filter(|name| name.len() == 16);
        let Some(id) = name.and_then(|name| u64::from_str_radix(name, 16).ok()) else { continue };
        match entry.metadata() {
            Ok(metadata) => drop(found.insert(ContentId(id), metadata)),
            // A mount that ends takes away what it had made in advance.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_disk_that_could_not_sync_a_file_is_not_believed_when_it_is_asked_again() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(dir.path(), dir.path()).unwrap();
        let [bad, good] = [(); 2].map(|()| store.create().unwrap());
        let file = store.file(bad).unwrap();
        // What cannot be synced at all.
        store.keep(bad, Arc::new(File::open("/dev/null").unwrap()));
        let first = store.sync(bad).unwrap_err();
        store.keep(bad, file);
        assert_eq!(store.sync(bad).unwrap_err().raw_os_error(), first.raw_os_error());
        store.sync(good).unwrap();
        store.remove(bad);
        assert!(store.unsynced(bad).is_none() && store.unsynced(good).is_none());
    }

    #[test]
    fn what_is_owed_survives_a_restart_and_what_is_cached_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let (state, cache) = (dir.path().join("state"), dir.path().join("cache"));
        let (store, left) = Store::open(&state, &cache).unwrap();
        assert_eq!(left, Left::default());
        let [owed, proven] = [(); 2].map(|()| store.create().unwrap());
        for id in [owed, proven] {
            store.file(id).unwrap().write_all_at(b"bytes", 0).unwrap();
        }
        assert!(store.to_cache(proven).unwrap());
        drop(store);
        let (store, left) = Store::open(&state, &cache).unwrap();
        assert_eq!((left.spooled, left.cached), (BTreeMap::from([(owed, 5)]), BTreeSet::from([proven])));
        store.remove_cached(proven).unwrap();
        assert!(store.file(proven).is_err());
        let aside = store.set_aside(owed).unwrap();
        assert_eq!(fs::read(aside).unwrap(), b"bytes");
    }

    proptest! {
        #[test]
        fn the_books_of_the_spool_are_what_the_disk_says(
            steps in prop::collection::vec((0usize..4, 0u8..7, 0u64..300_000, 0usize..50_000), 1..60)
        ) {
            let dir = tempfile::tempdir().unwrap();
            let (store, _) = Store::open(dir.path(), dir.path()).unwrap();
            let mut ids = [(); 4].map(|()| store.create().unwrap());
            for (at, what, offset, count) in steps {
                let id = ids[at];
                let file = store.file(id).unwrap();
                match what {
                    0 | 1 => file.write_all_at(&vec![1; count], offset).unwrap(),
                    2 => file.set_len(offset).unwrap(),
                    3 => {
                        store.remove(id);
                        store.remove(id);
                        ids[at] = store.create().unwrap();
                    }
                    4 => drop(store.to_cache(id)),
                    5 => store.to_spool(id).unwrap(),
                    _ => store.sync(id).unwrap_or(()),
                }
                store.measure(id, &file);
            }
            let there = |folder: &Path| -> u64 {
                let found = fs::read_dir(folder).unwrap();
                found.map(|entry| super::taken(&entry.unwrap().metadata().unwrap())).sum()
            };
            prop_assert_eq!(store.spooled(), there(&store.spool));
            drop(store);
            let (store, _) = Store::open(dir.path(), dir.path()).unwrap();
            prop_assert_eq!(store.spooled(), there(&store.spool), "after a restart");
        }
    }

    #[test]
    fn what_is_copied_to_another_disk_is_found_whole_and_by_its_new_name() {
        let (memory, dir) = (tempfile::tempdir_in("/dev/shm").unwrap(), tempfile::tempdir().unwrap());
        let devices = [&memory, &dir].map(|dir| dir.path().metadata().unwrap().dev());
        assert_ne!(devices[0], devices[1], "this test wants two disks");
        fs::create_dir(memory.path().join("spool")).unwrap();
        fs::write(memory.path().join("spool/0000000000000001.half"), "of a mount that died").unwrap();
        let (store, _) = Store::open(memory.path(), dir.path()).unwrap();
        assert_eq!(fs::read_dir(&store.spool).unwrap().count(), 0);
        let bytes = vec![7; 8 << 20];
        for _ in 0..20 {
            let id = store.create_cached().unwrap();
            store.file(id).unwrap().write_all_at(&bytes, 0).unwrap();
            let is_over = std::sync::atomic::AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        store.opened().pop(&id);
                        assert_eq!(store.file(id).unwrap().metadata().unwrap().len(), bytes.len() as u64);
                    }
                });
                store.to_spool(id).unwrap();
                is_over.store(true, Ordering::Relaxed);
            });
            store.file(id).unwrap().write_all_at(b"new", 0).unwrap();
            assert!(fs::read(place(&store.spool, id)).unwrap().starts_with(b"new"));
            store.remove(id);
        }
    }

    #[test]
    fn an_open_file_follows_its_move() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(dir.path(), dir.path()).unwrap();
        let id = store.create_cached().unwrap();
        let file = store.file(id).unwrap();
        store.to_spool(id).unwrap();
        store.to_spool(id).unwrap();
        file.write_all_at(b"x", 0).unwrap();
        assert_eq!(fs::read(place(&store.spool, id)).unwrap(), b"x");
    }
}
