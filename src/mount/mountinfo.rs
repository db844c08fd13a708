//! What the kernel says is mounted, in the words of `/proc/self/mountinfo` (proc(5)). To read it asks no filesystem
//! anything, and neither does [`View::of`].

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The type of our mounts.
pub const KIND: &[u8] = b"fuse.filescomfs";

/// A filesystem that is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted<'a> {
    /// The number of the mount, in the namespace that was looked at.
    pub id: u64,
    /// Major and minor number of its device, as `0:40`: the same in every namespace.
    pub device: &'a [u8],
    /// Which folder of the filesystem is mounted; `/` unless a part of one is bound there.
    pub root: &'a [u8],
    /// Where.
    pub path: PathBuf,
    /// Its type, as `fuse.filescomfs`.
    pub kind: &'a [u8],
    /// Of a FUSE filesystem, the user who mounted it.
    pub owner: Option<u32>,
}

/// What a process sees at a path.
#[derive(Debug, Clone)]
pub struct View {
    /// The whole mountinfo.
    mounts: Vec<u8>,
    /// The mount that the path leads to.
    top: Option<u64>,
}

impl View {
    /// What this process sees at `path`. A mount that hangs or is dead is seen, too: to open a path as a path asks
    /// nobody. A link is not followed; an automount is set off.
    ///
    /// # Errors
    /// A mountinfo that cannot be read. A path that cannot be reached leads to nothing.
    pub fn of(path: &Path) -> io::Result<Self> {
        let flags = libc::O_PATH | libc::O_NOFOLLOW | libc::O_DIRECTORY | libc::O_CLOEXEC;
        let top = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
            Ok(file) => Some(mount_of(&file)?),
            Err(_) => None,
        };
        Ok(Self { mounts: std::fs::read("/proc/self/mountinfo")?, top })
    }

    /// A view of the imagination.
    #[cfg(test)]
    pub fn invented(mounts: &[u8], top: Option<u64>) -> Self {
        Self { mounts: mounts.to_owned(), top }
    }

    /// The mount that the path leads to: at the path, or above it where nothing is mounted there.
    pub fn top(&self) -> Option<Mounted<'_>> {
        self.all().find(|mounted| Some(mounted.id) == self.top)
    }

    /// Everything that is mounted.
    pub fn all(&self) -> impl Iterator<Item = Mounted<'_>> {
        lines(&self.mounts)
    }
}

/// The number of the mount that an open file is in.
fn mount_of(file: &File) -> io::Result<u64> {
    let about = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd()))?;
    let id = about.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok());
    id.ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "the kernel does not say which mount a file is in")
    })
}

/// The uppermost filesystem that is mounted on exactly this path.
pub fn mounted<'a>(mounts: &'a [u8], mountpoint: &Path) -> Option<Mounted<'a>> {
    lines(mounts).filter(|mounted| mounted.path == mountpoint).last()
}

/// Where our filesystems are mounted, each path once.
pub fn ours(mounts: &[u8]) -> BTreeSet<PathBuf> {
    lines(mounts).filter(|mounted| mounted.kind == KIND).map(|mounted| mounted.path).collect()
}

/// Is the filesystem of ours on this device mounted anywhere?
pub fn ours_by_device(mounts: &[u8], device: &str) -> bool {
    lines(mounts).any(|mounted| mounted.kind == KIND && mounted.device == device.as_bytes())
}

/// The first five fields of a line are the number, its parent's, the device, the root and the path; behind `-` stand the
/// type, the source and the options of the filesystem.
fn lines(mounts: &[u8]) -> impl Iterator<Item = Mounted<'_>> {
    mounts.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
        let (device, root, path) = (fields.nth(1)?, fields.next()?, fields.next()?);
        let mut behind = fields.skip_while(|field| *field != b"-").skip(1);
        let (kind, options) = (behind.next()?, behind.nth(1).unwrap_or_default());
        let path = PathBuf::from(OsString::from_vec(unescaped(path)));
        Some(Mounted { id, device, root, path, kind, owner: owner(options) })
    })
}

fn owner(options: &[u8]) -> Option<u32> {
    let mut options = options.split(|byte| *byte == b',');
    let owner = options.find_map(|option| option.strip_prefix(b"user_id="))?;
    std::str::from_utf8(owner).ok()?.parse().ok()
}

/// Undoes the kernel's `\040` for blanks and the like.
pub(super) fn unescaped(field: &[u8]) -> Vec<u8> {
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

    const MOUNTS: &[u8] = br"22 1 8:1 / / rw - ext4 /dev/sda1 rw
40 22 0:40 / /mnt/my\040backup rw,nosuid shared:5 master:1 - fuse.filescomfs mysite rw,user_id=7,group_id=0
41 22 8:2 / /mnt/disk rw - ext4 /dev/sdb rw
42 22 0:41 /part /mnt/disk rw - fuse.sshfs host: rw";

    #[test]
    fn the_kernel_says_what_is_mounted() {
        let found = |path| mounted(MOUNTS, Path::new(path));
        let backup = found("/mnt/my backup").unwrap();
        assert_eq!((backup.id, backup.device, backup.root), (40, &b"0:40"[..], &b"/"[..]));
        assert_eq!((backup.kind, backup.owner), (KIND, Some(7)));
        let uppermost = found("/mnt/disk").unwrap();
        assert_eq!((uppermost.device, uppermost.root, uppermost.owner), (&b"0:41"[..], &b"/part"[..], None));
        assert_eq!(found("/mnt"), None);
        assert_eq!(ours(MOUNTS), [PathBuf::from("/mnt/my backup")].into());
    }

    #[test]
    fn a_path_leads_to_the_mount_that_is_there_or_above_it() {
        let root = View::of(Path::new("/")).unwrap();
        assert_eq!(root.top().unwrap().path, Path::new("/"));
        assert_eq!(View::of(Path::new("/proc")).unwrap().top().unwrap().kind, b"proc");
        assert_eq!(View::of(Path::new("/no/such/folder")).unwrap().top(), None);
    }
}
