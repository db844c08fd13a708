//! Tells the kernel what it believes and should not: names and attributes that others changed.
//!
//! A thread of its own does it: the kernel may hold a folder until a request on it is answered, and
//! whoever answers must not wait for the kernel meanwhile.

use fuser::{INodeNo, Notifier};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::fs::Stale;

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
