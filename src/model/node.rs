//! Numbers of files and folders.

/// An inode number: names a file or folder for the life of the mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ino(pub u64);

impl Ino {
    /// The folder that is mounted.
    pub const ROOT: Self = Self(1);
}
