//! What all requests share: the settings, the state behind its lock, the faults and the log.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use serde::Serialize;

use super::auth::Author;
use super::clock::{Time, rfc3339};
use super::faults::Faults;
use super::hex::hex;
use super::log::{Log, LoggedRequest};
use super::object::{Depot, Object};
use super::persist::Index;
use super::settings::Settings;
use super::signing::Signer;
use super::state::{World, split};
use super::throttle::{Door, Pipe};
use super::tree::{Kind, Tree};

/// Everything that requests share.
pub(super) struct Shared {
    settings: RwLock<Arc<Settings>>,
    world: Mutex<World>,
    pub(super) faults: Faults,
    log: Log,
    pub(super) signer: Signer,
    pub(super) depot: Depot,
    pub(super) up: Pipe,
    pub(super) down: Pipe,
    pub(super) door: Door,
    pub(super) inside: AtomicUsize,
}

impl Shared {
    pub(super) fn new(
        settings: Settings,
        tree: Tree,
        index: Option<Index>,
        depot: Depot,
        signer: Signer,
    ) -> Self {
        Self {
            settings: RwLock::new(Arc::new(settings)),
            world: Mutex::new(World::new(tree, index)),
            faults: Faults::default(),
            log: Log::default(),
            signer,
            depot,
            up: Pipe::default(),
            down: Pipe::default(),
            door: Door::default(),
            inside: AtomicUsize::new(0),
        }
    }

    pub(super) fn settings(&self) -> Arc<Settings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Settings)) {
        change(Arc::make_mut(&mut self.settings.write().unwrap_or_else(PoisonError::into_inner)));
    }

    pub(super) fn now(&self) -> Time {
        Time::now(self.settings().clock_offset_ms)
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state as somebody sees it who looks now.
    pub(super) fn settled(&self) -> MutexGuard<'_, World> {
        let (settings, now) = (self.settings(), self.now());
        let mut world = self.world();
        world.settle(&settings, now);
        world.commit();
        world
    }

    pub(super) fn log(&self, request: LoggedRequest, settings: &Settings) {
        if settings.log_to_stderr {
            let LoggedRequest { method, path, status, kind, bytes, .. } = &request;
            tracing::info!("{kind} {method} {path:?} {status} {bytes}");
        }
        self.log.add(request, settings.log_length);
    }

    pub(super) fn log_book(&self) -> &Log {
        &self.log
    }

    pub(super) fn files(&self) -> BTreeMap<String, StoredFile> {
        let found: Vec<_> = {
            let world = self.settled();
            let tree = &world.tree;
            let file = |id| match tree.get(id) {
                Some(node) if let Kind::File(object) = &node.kind => Some((
                    tree.path(id),
                    object.clone(),
                    node.provided_mtime,
                    node.metadata.clone(),
                    node.created_at.seconds(),
                )),
                _ => None,
            };
            tree.ids().filter_map(file).collect()
        };
        // Hashing large files is left until the lock is free.
        found
            .into_iter()
            .map(|(path, object, provided_mtime, custom_metadata, created_at)| {
                let file = StoredFile {
                    size: object.size,
                    md5: hex(&object.md5()),
                    crc32: format!("{:x}", object.crc32),
                    parts: object.parts.len(),
                    provided_mtime: provided_mtime.map(rfc3339),
                    custom_metadata,
                    created_at: rfc3339(created_at),
                };
                (path, file)
            })
            .collect()
    }

    pub(super) fn put(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let (settings, now) = (self.settings(), self.now());
        let part = Arc::new(self.depot.store(bytes)?);
        let object = Arc::new(Object::new(vec![part], &settings, now));
        let mut world = self.settled();
        let author = Author { user: Some(2), key: None };
        let (folder, name) = split(path);
        let parent = world.make_folders(folder, now, author).map_err(|error| io::Error::other(error.text))?;
        if let Some(there) = world.tree.child(parent, name)
            && world.tree.children(there).is_some()
        {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        world.put_file(parent, name, object, settings.overwrite_respells, (now, author));
        world.commit();
        Ok(())
    }

    /// Folders of files that all have the same bytes, which are kept once.
    pub(super) fn plant(&self, path: &str, folders: usize, files: usize, bytes: usize) -> io::Result<()> {
        let (settings, now) = (self.settings(), self.now());
        let part = Arc::new(self.depot.store(&vec![b'x'; bytes])?);
        let object = Arc::new(Object::new(vec![part], &settings, now));
        let author = Author { user: Some(2), key: None };
        for n in 0..folders {
            let mut world = self.settled();
            let folder = format!("{path}/folder-{n:06}");
            let parent =
                world.make_folders(&folder, now, author).map_err(|error| io::Error::other(error.text))?;
            for file in n * files..(n + 1) * files {
                let name = format!("file-{file:010}.dat");
                let (id, _) = world.put_file(parent, &name, object.clone(), false, (now, author));
                if let Some(node) = world.tree.edit(id) {
                    node.provided_mtime = Some(1_700_000_000 + file as i64);
                }
            }
            world.commit();
        }
        Ok(())
    }

    /// Tells whether there was anything.
    pub(super) fn delete(&self, path: &str) -> bool {
        let now = self.now();
        let mut world = self.settled();
        let found = world.tree.find(path);
        if let Some(id) = found {
            world.remove(id, now);
        }
        world.commit();
        found.is_some()
    }
}

/// A file as it really is, whatever the API says of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredFile {
    /// Bytes.
    pub size: u64,
    /// Of the stored bytes, in lower-case hex; computed whether the site states it or not.
    pub md5: String,
    /// Of the stored bytes, in hex without leading zeros.
    pub crc32: String,
    /// Of how many parts it was made.
    pub parts: usize,
    /// As the API states it.
    pub provided_mtime: Option<String>,
    /// Metadata.
    pub custom_metadata: BTreeMap<String, String>,
    /// As the API states it.
    pub created_at: String,
}
