//! Tells the kernel what it believes and should not: names and attributes that others changed, and what a request
//! changed that its own answer does not show.
//!
//! A thread of its own does it: the kernel may hold a folder until a request on it is answered, and
//! whoever answers must not wait for the kernel meanwhile.

use std::sync::OnceLock;

use fuser::{INodeNo, Notifier};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::fs::Stale;
use crate::model::ino::Ino;

/// The way to the kernel for whoever answers a request.
#[derive(Debug, Default)]
pub struct Kernel(OnceLock<Notifier>);

impl Kernel {
    /// Nothing is told before this.
    pub fn listens(&self, notifier: Notifier) {
        let _ = self.0.set(notifier);
    }

    /// Attributes of `ino` are others now. Waits for nobody: no bytes are forgotten, and the kernel takes none of its
    /// locks for that, so that it may be told before the request is answered.
    pub fn attributes_changed(&self, ino: Ino) {
        if let Some(notifier) = self.0.get() {
            let _ = notifier.inval_inode(INodeNo(ino.0), -1, 0);
        }
    }
}

/// Runs until the filesystem is gone.
pub fn tell_kernel(notifier: Notifier, mut stale: UnboundedReceiver<Stale>) -> std::io::Result<()> {
    std::thread::Builder::new().name("forget".into()).spawn(move || {
        while let Some(stale) = stale.blocking_recv() {
            // ENOENT: the kernel did not know it. Nothing else matters either: its knowledge ages.
            match stale {
                Stale::Name(folder, name) => drop(notifier.inval_entry(INodeNo(folder.0), &name)),
                Stale::Inode(ino) => drop(notifier.inval_inode(INodeNo(ino.0), 0, 0)),
                Stale::Until(told) => drop(told.send(())),
            }
        }
    })?;
    Ok(())
}
