//! The state of a site: its tree, and all that is under way.
//!
//! One value behind one lock. Nothing happens in the background: what is due is carried out when somebody
//! looks, before they see anything.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::auth::{Author, Session};
use super::call::Reply;
use super::clock::Time;
use super::errors::ApiError;
use super::locks::Lock;
use super::migrations::Migration;
use super::names::{Key, components};
use super::object::Object;
use super::persist::Index;
use super::settings::Settings;
use super::storage::Grants;
use super::tree::{Kind, Node, ROOT, Tree};
use super::uploads::Uploads;

/// A deletion of a folder that was accepted and not carried out yet.
#[derive(Debug)]
pub(super) struct Deletion {
    pub(super) due: Time,
    pub(super) id: u64,
    pub(super) recursive: bool,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) tree: Tree,
    pub(super) uploads: Uploads,
    pub(super) grants: Grants,
    pub(super) sessions: HashMap<String, Session>,
    /// Logins that wait for their second step, by the id that names them: the user's place in the list.
    pub(super) half_sessions: HashMap<String, usize>,
    pub(super) revoked: HashSet<String>,
    pub(super) migrations: BTreeMap<u64, Migration>,
    pub(super) deletions: Vec<Deletion>,
    pub(super) locks: HashMap<Vec<Key>, Lock>,
    /// Listings that may be answered again.
    pub(super) listings: HashMap<String, (Time, Reply)>,
    pub(super) index: Option<Index>,
}

impl World {
    pub(super) fn new(tree: Tree, index: Option<Index>) -> Self {
        Self {
            tree,
            uploads: Uploads::default(),
            grants: Grants::default(),
            sessions: HashMap::new(),
            half_sessions: HashMap::new(),
            revoked: HashSet::new(),
            migrations: BTreeMap::new(),
            deletions: Vec::new(),
            locks: HashMap::new(),
            listings: HashMap::new(),
            index,
        }
    }

    /// Carries out what is due. Called before anything else looks at the state.
    pub(super) fn settle(&mut self, settings: &Settings, now: Time) {
        self.tree.compare_by(settings.names);
        if self.deletions.iter().any(|deletion| now >= deletion.due) {
            let due: Vec<Deletion> = self.deletions.extract_if(.., |deletion| now >= deletion.due).collect();
            for deletion in due {
                let is_empty = self.tree.children(deletion.id).is_none_or(BTreeMap::is_empty);
                if deletion.recursive || is_empty {
                    self.remove(deletion.id, now);
                }
            }
        }
        self.settle_migrations(settings, now);
    }

    /// Writes what changed to the index, if there is one.
    pub(super) fn commit(&mut self) {
        let changed = std::mem::take(&mut self.tree.changed);
        if let Some(index) = &mut self.index
            && !changed.is_empty()
            && let Err(error) = index.write(&self.tree, &changed)
        {
            tracing::error!("the index of the emulator could not be written: {error}");
        }
    }

    /// Removes a node and all below it; the folders above change.
    pub(super) fn remove(&mut self, id: u64, now: Time) {
        if let Some(parent) = self.tree.get(id).map(|node| node.parent) {
            self.tree.remove(id);
            self.tree.touch(parent, now);
        }
    }

    /// The folder at `path`, made with all its parents where something is missing.
    pub(super) fn make_folders(&mut self, path: &str, now: Time, author: Author) -> Result<u64, ApiError> {
        let mut at = ROOT;
        for name in components(path) {
            at = match self.tree.child(at, name) {
                Some(id) if self.tree.get(id).is_some_and(Node::is_folder) => id,
                Some(_) => {
                    return Err(ApiError::new(
                        "processing-failure/could-not-create-parent",
                        "A parent folder could not be created.",
                    ));
                }
                None => {
                    let folder = Node::new(Kind::Folder(BTreeMap::new()), now, author);
                    let id = self.tree.attach(at, name, folder, None);
                    self.tree.touch(at, now);
                    id
                }
            };
        }
        Ok(at)
    }

    /// The folder that something new at `path` goes into; made if `make` says so.
    pub(super) fn parent_for(
        &mut self,
        path: &str,
        make: bool,
        now: Time,
        author: Author,
    ) -> Result<u64, ApiError> {
        let (parent, _) = split(path);
        match self.tree.find(parent) {
            Some(id) if self.tree.get(id).is_some_and(Node::is_folder) => Ok(id),
            None if !make => Err(ApiError::parent_missing()),
            _ => self.make_folders(parent, now, author),
        }
    }

    /// Makes the file at `path` consist of `object`: a new record, even where one was replaced. True when
    /// one was.
    pub(super) fn put_file(
        &mut self,
        parent: u64,
        name: &str,
        object: Arc<Object>,
        respell: bool,
        (now, author): (Time, Author),
    ) -> (u64, bool) {
        let file = Node::new(Kind::File(object), now, author);
        let old = self.tree.child(parent, name).and_then(|id| self.tree.detach(id));
        let replaced = old.is_some();
        let name = match &old {
            Some(old) if !respell => old.name.as_str(),
            _ => name,
        };
        let id = self.tree.attach(parent, name, file, None);
        self.tree.touch(parent, now);
        (id, replaced)
    }
}

/// Folder and name of a path.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.trim_matches('/').rsplit_once('/').unwrap_or(("", path.trim_matches('/')))
}
