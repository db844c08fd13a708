//! The daemon's knowledge of its own mount: which one it is, and whether it is mounted still.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::identity::Said;
use super::mountinfo::{KIND, View, ours_by_device};

/// One mount, from its entrance to its end.
#[derive(Debug)]
pub(super) struct Presence {
    mountpoint: PathBuf,
    instance: String,
    device: Option<String>,
    /// The kernel has not ended the session yet.
    is_served: AtomicBool,
}

impl Presence {
    /// The mount that has just entered the tree at `mountpoint`.
    pub fn entered(mountpoint: &Path) -> Self {
        let view = View::of(mountpoint);
        let device = view.ok().and_then(|view| {
            let here = view.top().filter(|top| top.path == mountpoint && top.kind == KIND)?;
            Some(String::from_utf8_lossy(here.device).into_owned())
        });
        if device.is_none() {
            tracing::warn!(
                "the mount cannot find itself: `run` and `sync` will not believe that it is there"
            );
        }
        let instance = format!("{:032x}", rand::random::<u128>());
        Self { mountpoint: mountpoint.to_owned(), instance, device, is_served: AtomicBool::new(true) }
    }

    /// The session with the kernel is over.
    pub fn left(&self) {
        self.is_served.store(false, Ordering::Relaxed);
    }

    /// Is the session with the kernel still going on?
    pub fn is_served(&self) -> bool {
        self.is_served.load(Ordering::Relaxed)
    }

    /// What it says of itself at this moment.
    pub fn said(&self) -> Said {
        let device = self.device.as_deref();
        let is_listed = || {
            let mounts = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
            device.is_some_and(|device| ours_by_device(&mounts, device))
        };
        let mounted = self.is_served() && is_listed();
        Said { instance: self.instance.clone(), device: self.device.clone(), mounted }
    }

    /// Does the mountpoint lead to this mount, so that to unmount there takes away no other one?
    pub fn is_uppermost(&self) -> bool {
        let view = View::of(&self.mountpoint);
        view.is_ok_and(|view| {
            let device = self.device.as_deref().map(str::as_bytes);
            view.top().is_some_and(|top| top.path == self.mountpoint && Some(top.device) == device)
        })
    }
}
