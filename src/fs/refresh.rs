//! Forgetting listings on request, so that changes made elsewhere are seen now.

use std::time::Instant;

use super::scope::Scope;
use super::{Filesystem, Stale};
use crate::model::ino::Ino;

impl Filesystem {
    /// Forgets the listings of the folders at and below `scope`, and of the folder that it is in. Asks
    /// nobody: who looks next does. Returns how many folders that are.
    pub fn refresh(&self, scope: &Scope) -> usize {
        let mut core = self.core();
        let (found, missing) = scope.known_way(&core);
        let last = found.last().copied().unwrap_or(Ino::ROOT);
        // What is not known may be new in the last folder that is.
        let subtree = if missing { vec![last] } else { core.tree.subtree(last) };
        let above = core.tree.node(last).ok().and_then(|node| node.parent);
        let folders: Vec<Ino> =
            above.into_iter().chain(subtree).filter(|ino| core.tree.folder(*ino).is_ok()).collect();
        let (now, ttl) = (Instant::now(), self.rules.dir_ttl);
        for ino in &folders {
            let Ok(folder) = core.tree.folder_mut(*ino) else { continue };
            folder.grow_stale(now, ttl);
            let entries: Vec<_> =
                folder.entries.iter().map(|(name, ino)| (name.to_os_string(), *ino)).collect();
            for (name, entry) in entries {
                let _ = self.stale.send(Stale::Inode(entry));
                // The kernel would tell programs in a folder whose name it forgets that it was removed.
                if core.tree.file(entry).is_ok() {
                    let _ = self.stale.send(Stale::Name(*ino, name));
                }
            }
            let _ = self.stale.send(Stale::Inode(*ino));
        }
        folders.len()
    }
}
