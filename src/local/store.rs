//! The bytes of files on this machine: the spool holds what is owed, the cache what may go.
//!
//! A file keeps its number when it moves from one to the other; one rename lies between. Whoever
//! calls decides which of the two it belongs to: this room does not know what is owed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::num::NonZeroUsize;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;

use super::{durable, failpoint};
use crate::model::ino::ContentId;

/// Open files that are kept for the next call.
const OPEN_FILES: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// The two folders.
#[derive(Debug)]
pub struct Store {
    spool: PathBuf,
    cache: PathBuf,
    quarantine: PathBuf,
    next: AtomicU64,
    open: Mutex<LruCache<ContentId, Arc<File>>>,
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
        let mut left = Left::default();
        left.cached.extend(numbered(&cache)?.into_iter().map(|(_, id)| id));
        for (path, id) in numbered(&spool)? {
            left.spooled.insert(id, fs::metadata(path)?.len());
        }
        let last = left.spooled.keys().chain(&left.cached).map(|id| id.0).max();
        let next = last.unwrap_or(0) + 1;
        let open = Mutex::new(LruCache::new(OPEN_FILES));
        Ok((Self { spool, cache, quarantine, next: AtomicU64::new(next), open }, left))
    }

    /// Numbers from now on are larger than `id`: a journal may know numbers whose files are gone.
    pub fn start_after(&self, id: ContentId) {
        self.next.fetch_max(id.0 + 1, Ordering::Relaxed);
    }

    /// A new, empty file in the spool.
    pub fn create(&self) -> io::Result<ContentId> {
        self.create_in(&self.spool)
    }

    /// A new, empty file in the cache.
    pub fn create_cached(&self) -> io::Result<ContentId> {
        self.create_in(&self.cache)
    }

    fn create_in(&self, folder: &Path) -> io::Result<ContentId> {
        let id = ContentId(self.next.fetch_add(1, Ordering::Relaxed));
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(place(folder, id))?;
        self.keep(id, Arc::new(file));
        failpoint::reach("store.created");
        Ok(id)
    }

    /// The file itself, to be read and written at any offset.
    pub fn file(&self, id: ContentId) -> io::Result<Arc<File>> {
        if let Some(file) = self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&id) {
            return Ok(file.clone());
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let file = match options.open(place(&self.spool, id)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => options.open(place(&self.cache, id))?,
            other => other?,
        };
        let file = Arc::new(file);
        self.keep(id, file.clone());
        Ok(file)
    }

    fn keep(&self, id: ContentId, file: Arc<File>) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).put(id, file);
    }

    /// Waits until the bytes of a spooled file and its name are on the disk.
    pub fn sync(&self, id: ContentId) -> io::Result<()> {
        durable::sync_bytes(&*self.file(id)?)?;
        durable::sync_names(&self.spool)
    }

    /// From the spool to the cache: nothing of it is owed any more. False when the two are on
    /// different disks and it is cheaper to fetch it again than to copy it.
    pub fn to_cache(&self, id: ContentId) -> io::Result<bool> {
        match fs::rename(place(&self.spool, id), place(&self.cache, id)) {
            Ok(()) => {
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
        match fs::rename(&from, &to) {
            Ok(()) => {
                failpoint::reach("store.moved-to-spool");
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                fs::copy(&from, &to)?;
                self.open.lock().unwrap_or_else(PoisonError::into_inner).pop(&id);
                fs::remove_file(&from)
            }
            // It never left.
            Err(error) if error.kind() == io::ErrorKind::NotFound && to.exists() => Ok(()),
            other => other,
        }
    }

    /// Lets the bytes go. Descriptors that are still in use keep theirs.
    pub fn remove(&self, id: ContentId) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).pop(&id);
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
        move_aside(&self.spool, &self.quarantine, id)
    }
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

pub(super) fn place(folder: &Path, id: ContentId) -> PathBuf {
    folder.join(format!("{:016x}", id.0))
}

/// The files in `folder` whose names are numbers of ours.
pub(super) fn numbered(folder: &Path) -> io::Result<Vec<(PathBuf, ContentId)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).filter(|name| name.len() == 16);
        if let Some(id) = name.and_then(|name| u64::from_str_radix(name, 16).ok()) {
            found.push((path, ContentId(id)));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

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
