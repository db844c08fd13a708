//! The tree of files and folders.
//!
//! Nodes have numbers; paths are looked up component by component under the comparison in force, and are
//! put together from the stored spellings. Every change moves the `mtime` of all folders above it. What
//! changed is noted, so that an index on disk can follow.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::auth::Author;
use super::clock::Time;
use super::names::{Key, components, key};
use super::object::Object;
use super::settings::NameRule;

/// Number of the root.
pub(super) const ROOT: u64 = 0;

#[derive(Debug)]
pub(super) enum Kind {
    Folder(BTreeMap<Key, u64>),
    File(Arc<Object>),
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) parent: u64,
    pub(super) name: String,
    pub(super) key: Key,
    pub(super) kind: Kind,
    pub(super) created_at: Time,
    pub(super) mtime: Time,
    /// Unix seconds.
    pub(super) provided_mtime: Option<i64>,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) priority_color: Option<String>,
    pub(super) created_by: Author,
    pub(super) modified_by: Author,
}

impl Node {
    pub(super) fn new(kind: Kind, now: Time, author: Author) -> Self {
        Self {
            parent: ROOT,
            name: String::new(),
            key: Key::new(),
            kind,
            created_at: now,
            mtime: now,
            provided_mtime: None,
            metadata: BTreeMap::new(),
            priority_color: None,
            created_by: author,
            modified_by: author,
        }
    }

    pub(super) fn is_folder(&self) -> bool {
        matches!(self.kind, Kind::Folder(_))
    }
}

#[derive(Debug)]
pub(super) struct Tree {
    nodes: HashMap<u64, Node>,
    next: u64,
    rule: NameRule,
    /// Numbers of nodes that were added, changed or removed.
    pub(super) changed: BTreeSet<u64>,
}

impl Tree {
    pub(super) fn new(rule: NameRule, now: Time) -> Self {
        let root = Node::new(Kind::Folder(BTreeMap::new()), now, Author::default());
        Self { nodes: HashMap::from([(ROOT, root)]), next: 1, rule, changed: BTreeSet::new() }
    }

    pub(super) fn rule(&self) -> NameRule {
        self.rule
    }

    pub(super) fn get(&self, id: u64) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// For changes of attributes; the caller moves the mtimes where that is due.
    pub(super) fn edit(&mut self, id: u64) -> Option<&mut Node> {
        self.changed.insert(id);
        self.nodes.get_mut(&id)
    }

    pub(super) fn children(&self, id: u64) -> Option<&BTreeMap<Key, u64>> {
        match &self.nodes.get(&id)?.kind {
            Kind::Folder(children) => Some(children),
            Kind::File(_) => None,
        }
    }

    pub(super) fn find(&self, path: &str) -> Option<u64> {
        self.find_from(ROOT, components(path))
    }

    pub(super) fn child(&self, parent: u64, name: &str) -> Option<u64> {
        self.children(parent)?.get(&key(self.rule, name)).copied()
    }

    fn find_from<'a>(&self, from: u64, names: impl Iterator<Item = &'a str>) -> Option<u64> {
        let mut at = from;
        for name in names {
            at = self.child(at, name)?;
        }
        Some(at)
    }

    /// Path in the stored spelling.
    pub(super) fn path(&self, id: u64) -> String {
        let mut names = Vec::new();
        let mut at = id;
        while at != ROOT
            && let Some(node) = self.nodes.get(&at)
        {
            names.push(node.name.as_str());
            at = node.parent;
        }
        names.reverse();
        names.join("/")
    }

    /// Puts a node under a name that is free. `id` is kept where one is given: a move.
    pub(super) fn attach(&mut self, parent: u64, name: &str, mut node: Node, id: Option<u64>) -> u64 {
        let id = id.unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        });
        node.parent = parent;
        node.name = name.to_owned();
        node.key = key(self.rule, name);
        if let Some(Kind::Folder(children)) = self.nodes.get_mut(&parent).map(|node| &mut node.kind) {
            children.insert(node.key.clone(), id);
        }
        self.nodes.insert(id, node);
        self.next = self.next.max(id + 1);
        self.changed.insert(id);
        id
    }

    /// Takes a node out of its folder, its children with it: they stay reachable from the node alone.
    pub(super) fn detach(&mut self, id: u64) -> Option<Node> {
        if id == ROOT {
            return None;
        }
        let node = self.nodes.remove(&id)?;
        if let Some(Kind::Folder(children)) = self.nodes.get_mut(&node.parent).map(|node| &mut node.kind)
            && children.get(&node.key) == Some(&id)
        {
            children.remove(&node.key);
        }
        self.changed.insert(id);
        Some(node)
    }

    /// Removes a node and all below it.
    pub(super) fn remove(&mut self, id: u64) {
        let Some(node) = self.detach(id) else { return };
        let mut below = vec![node];
        while let Some(node) = below.pop() {
            if let Kind::Folder(children) = &node.kind {
                below.extend(children.values().filter_map(|id| self.nodes.remove(id)));
                self.changed.extend(children.values());
            }
        }
    }

    /// Something changed in folder `id`: its mtime moves, and that of all folders above.
    pub(super) fn touch(&mut self, id: u64, now: Time) {
        let mut at = id;
        while at != ROOT
            && let Some(node) = self.nodes.get_mut(&at)
        {
            node.mtime = now;
            self.changed.insert(at);
            at = node.parent;
        }
    }

    /// Is `id` the folder `folder` or below it?
    pub(super) fn is_below(&self, id: u64, folder: u64) -> bool {
        let mut at = id;
        loop {
            if at == folder {
                return true;
            }
            match self.nodes.get(&at) {
                Some(node) if at != ROOT => at = node.parent,
                _ => return false,
            }
        }
    }

    /// All nodes but the root, in no order.
    pub(super) fn ids(&self) -> impl Iterator<Item = u64> {
        self.nodes.keys().copied().filter(|id| *id != ROOT)
    }

    /// Another comparison from now on. Names that become one keep the entry met last, as a site that
    /// changes its rule would have no better way.
    pub(super) fn compare_by(&mut self, rule: NameRule) {
        if rule == self.rule {
            return;
        }
        self.rule = rule;
        self.rebuild();
    }

    /// Puts every node under its parent again, after nodes were attached in any order.
    pub(super) fn rebuild(&mut self) {
        let rule = self.rule;
        let ids: Vec<(u64, u64, Key)> = self
            .nodes
            .iter_mut()
            .map(|(id, node)| {
                node.key = key(rule, &node.name);
                if let Kind::Folder(children) = &mut node.kind {
                    children.clear();
                }
                (*id, node.parent, node.key.clone())
            })
            .collect();
        for (id, parent, key) in ids {
            if id != ROOT
                && let Some(Kind::Folder(children)) = self.nodes.get_mut(&parent).map(|node| &mut node.kind)
            {
                children.insert(key, id);
            }
        }
    }
}
