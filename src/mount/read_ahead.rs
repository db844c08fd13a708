//! How much the kernel asks for at once when it reads ahead.
//!
//! It takes the smaller of what a mount offers and its own default, 128 KiB, until root says otherwise in sysfs
//! (`/sys/class/bdi/MAJOR:MINOR/read_ahead_kb`, the kernel's Documentation/ABI/testing/sysfs-class-bdi). One request
//! of 1 MiB costs less than eight of 128 KiB, and shows sooner that somebody is going to read on.

use std::io;
use std::path::Path;

use super::mountinfo::mounted;
use crate::fuse::MAX_REQUEST;

/// Lets the kernel read as far ahead as one request carries. Without root's rights, everything works as before, with
/// more requests.
pub(super) fn widen(mountpoint: &Path) {
    match widened(mountpoint) {
        Ok(()) => {}
        Err(error) => tracing::debug!("the kernel reads ahead by its own default: {error}"),
    }
}

fn widened(mountpoint: &Path) -> io::Result<()> {
    let mounts = std::fs::read("/proc/self/mountinfo")?;
    let found = mounted(&mounts, mountpoint).ok_or(io::ErrorKind::NotFound)?;
    let device = String::from_utf8_lossy(found.device);
    std::fs::write(format!("/sys/class/bdi/{device}/read_ahead_kb"), (MAX_REQUEST / 1024).to_string())
}
