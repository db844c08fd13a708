//! The emulator as a whole: two listeners, one state, and the handle by which tests hold it.
//!
//! It runs on threads of its own, so that tests without a runtime can use it, and stops when its handle
//! goes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::auth::Author;
use super::clock::{Time, rfc3339};
use super::connection::{Cuttable, Line};
use super::faults::{Fault, Faults};
use super::hex::hex;
use super::log::{Log, LoggedRequest};
use super::object::{Depot, Object};
use super::persist::Index;
use super::settings::Settings;
use super::signing::Signer;
use super::state::{World, split};
use super::throttle::{Door, Pipe};
use super::tree::{Kind, Tree};
use super::{api, storage};

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
    fn settled(&self) -> MutexGuard<'_, World> {
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
        let object = Arc::new(Object::new(vec![part], settings.opaque_etags));
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

    pub(super) fn delete(&self, path: &str) {
        let now = self.now();
        let mut world = self.settled();
        if let Some(id) = world.tree.find(path) {
            world.remove(id, now);
        }
        world.commit();
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

/// A running emulator. It stops when this value goes.
pub struct Emulator {
    shared: Arc<Shared>,
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Emulator {
    /// Starts an emulator.
    ///
    /// # Errors
    /// When an address cannot be bound, or the data folder cannot be used.
    pub fn start(settings: Settings) -> io::Result<Self> {
        let api = std::net::TcpListener::bind(&settings.listen)?;
        let store = std::net::TcpListener::bind(&settings.storage_listen)?;
        let (address, storage_address) = (api.local_addr()?, store.local_addr()?);
        let base = settings.storage_url.clone().unwrap_or_else(|| format!("http://{storage_address}"));

        let mut tree = Tree::new(settings.names, Time::now(settings.clock_offset_ms));
        let mut depot = Depot::default();
        let mut index = None;
        if let Some(dir) = &settings.data {
            let content = dir.join("content");
            std::fs::create_dir_all(&content)?;
            depot.dir = Some(content);
            index = Some(Index::open(dir, &mut tree, &depot).map_err(io::Error::other)?);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("emulator")
            .enable_all()
            .build()?;
        let shared = Arc::new(Shared {
            settings: RwLock::new(Arc::new(settings)),
            world: Mutex::new(World::new(tree, index)),
            faults: Faults::default(),
            log: Log::default(),
            signer: Signer::new(base),
            depot,
            up: Pipe::default(),
            down: Pipe::default(),
            door: Door::default(),
            inside: AtomicUsize::new(0),
        });
        let api_routes = Router::new().fallback(api::serve).with_state(shared.clone());
        let storage_routes = Router::new().fallback(storage::serve).with_state(shared.clone());
        for (listener, routes) in [(api, api_routes), (store, storage_routes)] {
            listener.set_nonblocking(true)?;
            let listener = {
                let _inside = runtime.enter();
                Cuttable(TcpListener::from_std(listener)?)
            };
            runtime.spawn(async move {
                let service = routes.into_make_service_with_connect_info::<Line>();
                if let Err(error) = axum::serve(listener, service).await {
                    tracing::error!("a listener of the emulator ended: {error}");
                }
            });
        }
        Ok(Self { shared, address, runtime: Some(runtime) })
    }

    /// Such as `http://127.0.0.1:4041`, without `/api/rest/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes the settings from now on.
    pub fn change(&self, change: impl FnOnce(&mut Settings)) {
        self.shared.change(change);
    }

    /// Turns the emulator's clock forward: what expires or appears later does so now.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.change(|settings| settings.clock_offset_ms = settings.clock_offset_ms.saturating_add(by));
    }

    /// All files by their stored path.
    pub fn files(&self) -> BTreeMap<String, StoredFile> {
        self.shared.files()
    }

    /// Paths of all folders but the root.
    pub fn folders(&self) -> BTreeSet<String> {
        let world = self.shared.settled();
        let tree = &world.tree;
        tree.ids().filter(|id| tree.children(*id).is_some()).map(|id| tree.path(id)).collect()
    }

    /// Content of a file; `None` where there is no file.
    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        let object = {
            let world = self.shared.settled();
            match &world.tree.get(world.tree.find(path)?)?.kind {
                Kind::File(object) => object.clone(),
                Kind::Folder(_) => return None,
            }
        };
        Some(object.bytes())
    }

    /// Another client's upload, parents included. Nothing happens where a folder is in the way.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        if let Err(error) = self.shared.put(path, bytes) {
            tracing::error!("nothing was put at {path:?}: {error}");
        }
    }

    /// Another client's new folder, parents included.
    pub fn mkdir(&self, path: &str) {
        let now = self.shared.now();
        let mut world = self.shared.settled();
        let _ = world.make_folders(path, now, Author { user: Some(2), key: None });
        world.commit();
    }

    /// Another client's deletion, of a file or of a folder with all that is in it.
    pub fn delete(&self, path: &str) {
        self.shared.delete(path);
    }

    /// What callers may do under `path`: letters as in [`Key::permissions`](super::Key::permissions).
    pub fn set_permissions(&self, path: &str, letters: &str) {
        let (path, letters) = (path.trim_matches('/').to_owned(), letters.to_owned());
        self.change(|settings| drop(settings.permissions.insert(path, letters)));
    }

    /// The requests since the start or the last clearing, in the order of their answers.
    pub fn requests(&self) -> Vec<LoggedRequest> {
        self.shared.log.requests()
    }

    /// Forgets requests and counters.
    pub fn clear_requests(&self) {
        self.shared.log.clear();
    }

    /// Requests by kind, `api_requests`, `storage_requests`, `refused`, `bytes_uploaded`,
    /// `bytes_downloaded`.
    pub fn stats(&self) -> BTreeMap<String, u64> {
        self.shared.log.counts()
    }

    /// Orders a fault.
    pub fn inject(&self, fault: Fault) {
        self.shared.faults.inject(fault);
    }

    /// Cancels the faults that were not spent.
    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }

    /// The faults that were not spent yet.
    pub fn waiting_faults(&self) -> Vec<Fault> {
        self.shared.faults.waiting()
    }
}

impl std::fmt::Debug for Emulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Emulator").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.shared.depot.keep.store(true, Ordering::Release);
        if let Some(runtime) = self.runtime.take() {
            // Also right inside of another runtime, where waiting is forbidden.
            runtime.shutdown_background();
        }
    }
}
