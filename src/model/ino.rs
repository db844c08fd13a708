//! Numbers: of files and folders, and of local bytes.

/// An inode number: names a file or folder for the life of the mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ino(pub u64);

impl Ino {
    /// The folder that is mounted.
    pub const ROOT: Self = Self(1);
}

/// Names the local bytes of one file, in the spool and in the cache alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId(pub u64);
