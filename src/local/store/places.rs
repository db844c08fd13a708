//! Where the bytes of a number are: in the spool, in the cache, or on the way from one to the other.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};

use lru::LruCache;

use super::{Store, open_file, place, taken};
use crate::local::{failpoint, holes};
use crate::model::ino::ContentId;

/// How the name of a copy ends that is not whole yet.
const HALF: &str = "half";

impl Store {
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
            let opened = self.opening(|| self.open_anywhere(id));
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
        match open_file(&self.spool, id) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let file = open_file(&self.cache, id)?;
                self.is_ours(id, &file)?;
                Ok(file)
            }
            other => other,
        }
    }

    /// Is it the file that was put into the cache? What others put there under its name is nobody's bytes.
    fn is_ours(&self, id: ContentId, file: &File) -> io::Result<()> {
        let found = file.metadata()?.ino();
        match self.cached().get(&id) {
            Some(ours) if *ours == found => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "it is not the one that was put there")),
        }
    }

    pub(super) fn opened(&self) -> MutexGuard<'_, LruCache<ContentId, Arc<File>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn keep(&self, id: ContentId, file: Arc<File>) {
        self.opened().put(id, file);
    }

    /// From the spool to the cache: nothing of it is owed any more. False when the two are on
    /// different disks and it is cheaper to fetch it again than to copy it.
    pub fn to_cache(&self, id: ContentId) -> io::Result<bool> {
        let (from, to) = (place(&self.spool, id), place(&self.cache, id));
        self.cached().insert(id, fs::symlink_metadata(&from)?.ino());
        match fs::rename(from, to) {
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
        let copied = File::open(from).and_then(|from| {
            let mut options = OpenOptions::new();
            let half = options.write(true).create(true).truncate(true).mode(0o600).open(&half)?;
            holes::copy(&from, &half)
        });
        copied.inspect_err(|_| drop(fs::remove_file(&half)))?;
        let mut open = self.opened();
        self.moves.fetch_add(1, Ordering::Relaxed);
        fs::rename(&half, to)?;
        open.pop(&id);
        fs::remove_file(from)
    }
}

/// Copies that were not done when a mount ended: what they are copies of is still in the cache.
pub(super) fn remove_halves(spool: &Path) -> io::Result<()> {
    for entry in fs::read_dir(spool)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == HALF) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}
