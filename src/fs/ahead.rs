//! Listings ahead of somebody who walks through a tree.

use std::sync::Arc;
use std::time::Instant;

use super::Filesystem;
use crate::model::ino::Ino;
use crate::model::walk::Walk;

impl Filesystem {
    /// `folder` is being read: the neighbours that a walker will read next are listed meanwhile.
    pub(super) fn look_ahead(self: &Arc<Self>, folder: Ino) {
        let now = Instant::now();
        let ahead: Vec<Ino> = {
            let mut core = self.core();
            let ttl = self.rules.dir_ttl;
            let Some(parent) = core.tree.node(folder).ok().and_then(|node| node.parent) else { return };
            let Some(walk) = core.walks.get_mut(&parent) else { return };
            let next = walk.read(folder, now, ttl);
            next.into_iter().filter(|ino| core.is_fresh(*ino, ttl, now).is_ok_and(|fresh| !fresh)).collect()
        };
        for folder in ahead {
            let filesystem = self.clone();
            // What fails is asked for again by whoever needs it, and then told.
            tokio::spawn(async move { filesystem.list(folder).await });
        }
    }

    /// Somebody looks for a name in `folder`, or reads it, and has never read what it is in, as the receiving side of
    /// rsync and restic do: it goes through the neighbours in the order of their names.
    pub(super) fn may_walk_by_names(&self, folder: Ino) {
        let (parent, order) = {
            let core = self.core();
            let Some(parent) = core.tree.node(folder).ok().and_then(|node| node.parent) else { return };
            let Ok(known) = core.tree.folder(parent) else { return };
            if core.walks.contains(&parent) {
                return;
            }
            let is_folder = |ino: &Ino| core.tree.node(*ino).is_ok_and(|node| node.is_folder());
            let order: Vec<Ino> = known.entries.values().copied().filter(is_folder).collect();
            (parent, order)
        };
        self.may_be_walked(parent, order);
    }

    /// A reader was told of the subfolders of `folder` in this order.
    pub(super) fn may_be_walked(&self, folder: Ino, order: Vec<Ino>) {
        if order.len() > 2 {
            self.core().walks.put(folder, Walk::new(order, Instant::now()));
        }
    }
}
