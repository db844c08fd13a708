//! What the kernel says is mounted, in the words of `/proc/self/mountinfo` (proc(5)). To read it asks no filesystem
//! anything.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A filesystem that is mounted.
#[derive(Debug, PartialEq, Eq)]
pub struct Mounted<'a> {
    /// Major and minor number of its device, as `0:40`.
    pub device: &'a [u8],
    /// Its type, as `fuse.filescomfs`.
    pub kind: &'a [u8],
}

/// The uppermost filesystem that is mounted on exactly this path. The third field of a line is the device, the fifth the
/// path, the one behind `-` the type.
pub fn mounted<'a>(mounts: &'a [u8], mountpoint: &Path) -> Option<Mounted<'a>> {
    let of_line = |line: &'a [u8]| {
        let mut fields = line.split(|byte| *byte == b' ');
        let device = fields.nth(2)?;
        let path = fields.nth(1)?;
        let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
        (unescaped(path) == mountpoint.as_os_str().as_bytes()).then_some(Mounted { device, kind })
    };
    mounts.split(|byte| *byte == b'\n').rev().find_map(of_line)
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
    }
}
