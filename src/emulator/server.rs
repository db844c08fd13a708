//! The emulator as a whole: two listeners, one state, and the handle by which tests hold it.
//!
//! It runs on threads of its own, so that tests without a runtime can use it, and stops when its handle
//! goes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::auth::Author;
use super::clock::Time;
use super::connection::{Cuttable, Line};
use super::faults::Fault;
use super::log::LoggedRequest;
use super::object::Depot;
use super::persist::Index;
use super::settings::Settings;
use super::shared::{Shared, StoredFile};
use super::signing::Signer;
use super::tree::{Kind, Tree};
use super::{api, storage};

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
    pub fn start(mut settings: Settings) -> io::Result<Self> {
        let api = std::net::TcpListener::bind(&settings.listen)?;
        let store = std::net::TcpListener::bind(&settings.storage_listen)?;
        let (address, storage_address) = (api.local_addr()?, store.local_addr()?);
        // Whoever asked for free ports may read here which they are.
        (settings.listen, settings.storage_listen) = (address.to_string(), storage_address.to_string());

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
        let shared = Arc::new(Shared::new(
            settings,
            tree,
            index,
            depot,
            Signer::new(format!("http://{storage_address}")),
        ));
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
        let _ = self.shared.delete(path);
    }

    /// Another client's metadata of a file or folder, in place of what is there. Nothing happens where
    /// nothing is.
    pub fn set_metadata(&self, path: &str, metadata: BTreeMap<String, String>) {
        let mut world = self.shared.settled();
        if let Some(id) = world.tree.find(path)
            && let Some(node) = world.tree.edit(id)
        {
            node.metadata = metadata;
        }
        world.commit();
    }

    /// What callers may do under `path`: letters as in [`Key::permissions`](super::Key::permissions).
    pub fn set_permissions(&self, path: &str, letters: &str) {
        let (path, letters) = (path.trim_matches('/').to_owned(), letters.to_owned());
        self.change(|settings| drop(settings.permissions.insert(path, letters)));
    }

    /// The requests since the start or the last clearing, in the order of their answers.
    pub fn requests(&self) -> Vec<LoggedRequest> {
        self.shared.log_book().requests()
    }

    /// Forgets requests and counters.
    pub fn clear_requests(&self) {
        self.shared.log_book().clear();
    }

    /// Requests by kind, `api_requests`, `storage_requests`, `refused`, `bytes_uploaded`,
    /// `bytes_downloaded`.
    pub fn stats(&self) -> BTreeMap<String, u64> {
        self.shared.log_book().counts()
    }

    /// Bytes of uploads that came in so far, of those that were broken off, too.
    pub fn line_in(&self) -> u64 {
        self.shared.up.passed()
    }

    /// Orders a fault.
    ///
    /// # Panics
    /// Where [`Fault::check`] says that no request could ever meet it: the test that orders it would show
    /// nothing.
    pub fn inject(&self, fault: Fault) {
        if let Err(error) = fault.check() {
            panic!("{error}");
        }
        self.shared.faults.inject(fault);
    }

    /// Cancels the faults that were not spent, and lets go what is held.
    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }

    /// How many requests [`Effect::Hold`](super::Effect::Hold) holds now.
    pub fn held(&self) -> usize {
        self.shared.faults.held()
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
