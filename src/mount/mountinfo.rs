//! What the kernel says is mounted, in the words of `/proc/self/mountinfo` (proc(5)). To read it asks no filesystem
//! anything.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The type of our mounts.
pub const KIND: &[u8] = b"fuse.filescomfs";

/// A filesystem that is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mounted<'a> {
    /// Major and minor number of its device, as `0:40`.
    pub device: &'a [u8],
    /// Its type, as `fuse.filescomfs`.
    pub kind: &'a [u8],
}

/// The uppermost filesystem that is mounted on exactly this path.
pub fn mounted<'a>(mounts: &'a [u8], mountpoint: &Path) -> Option<Mounted<'a>> {
    let wanted = mountpoint.as_os_str().as_bytes();
    let found = lines(mounts).filter(|(path, _)| path == wanted).last();
    found.map(|(_, mounted)| mounted)
}

/// Where our filesystems are mounted, each path once.
pub fn ours(mounts: &[u8]) -> BTreeSet<PathBuf> {
    let ours = lines(mounts).filter(|(_, mounted)| mounted.kind == KIND);
    ours.map(|(path, _)| PathBuf::from(OsString::from_vec(path))).collect()
}

/// The third field of a line is the device, the fifth the path, the one behind `-` the type.
fn lines(mounts: &[u8]) -> impl Iterator<Item = (Vec<u8>, Mounted<'_>)> {
    mounts.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        let device = fields.nth(2)?;
        let path = fields.nth(1)?;
        let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
        Some((unescaped(path), Mounted { device, kind }))
    })
}

/// Undoes the kernel's `\040` for blanks and the like.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if *first == b'\\' => {
                bytes.push(byte);
                rest = &after[3..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_what_is_mounted() {
        let mounts = br"22 1 8:1 / / rw - ext4 /dev/sda1 rw
40 22 0:40 / /mnt/my\040backup rw,nosuid shared:5 master:1 - fuse.filescomfs mysite rw,user_id=0
41 22 8:2 / /mnt/disk rw - ext4 /dev/sdb rw
42 22 0:41 / /mnt/disk rw - fuse.sshfs host: rw";
        let found = |path| mounted(mounts, Path::new(path));
        assert_eq!(found("/mnt/my backup"), Some(Mounted { device: b"0:40", kind: b"fuse.filescomfs" }));
        let uppermost = Mounted { device: b"0:41", kind: b"fuse.sshfs" };
        assert_eq!(found("/mnt/disk"), Some(uppermost), "the uppermost counts");
        assert_eq!(found("/mnt"), None);
        assert_eq!(ours(mounts), [PathBuf::from("/mnt/my backup")].into());
    }
}
