//! What Files.com says of one file or folder.

use std::collections::BTreeMap;

use super::digest::{Crc32, Md5};
use super::moment::Moment;
use super::proof::Fingerprint;

/// A file, or a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bytes with a name.
    File,
    /// Names.
    Folder,
    /// Something that this version does not understand. It has a name, and is left alone.
    Unknown,
}

/// What the caller may do with an entry: the letters `lrwd` of the API. An entry that states none
/// (old shapes) allows everything until a call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permissions {
    /// `l`: its names may be listed.
    pub list: bool,
    /// `r`: its bytes may be read.
    pub read: bool,
    /// `w`: it may be written, or written into.
    pub write: bool,
    /// `d`: it may be deleted.
    pub delete: bool,
}

impl Permissions {
    /// Everything.
    pub const ALL: Self = Self { list: true, read: true, write: true, delete: true };

    /// Reads the letters of the API.
    pub fn parse(letters: &str) -> Self {
        let has = |letter| letters.contains(letter);
        Self { list: has('l'), read: has('r'), write: has('w'), delete: has('d') }
    }
}

/// One file or folder as a listing, a stat or a completed upload shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The last component of its path, spelled as stored. Not yet checked: it may be a name that no
    /// POSIX folder can hold ([`super::name::from_remote`]).
    pub name: String,
    /// File or folder.
    pub kind: Kind,
    /// Bytes; 0 for folders.
    pub size: u64,
    /// `created_at`: reset when a file is replaced.
    pub created: Option<Moment>,
    /// `mtime`: server time of the last change.
    pub changed: Option<Moment>,
    /// `provided_mtime`: the time that a client gave.
    pub provided: Option<Moment>,
    /// MD5, where the site states one (it may come some seconds after the upload).
    pub md5: Option<Md5>,
    /// CRC32, likewise.
    pub crc32: Option<Crc32>,
    /// What the caller may do with it.
    pub permissions: Permissions,
    /// `custom_metadata`.
    pub metadata: BTreeMap<String, String>,
}

impl Entry {
    /// A folder of which nothing is known but its name.
    pub fn folder(name: String) -> Self {
        Self {
            name,
            kind: Kind::Folder,
            size: 0,
            created: None,
            changed: None,
            provided: None,
            md5: None,
            crc32: None,
            permissions: Permissions::ALL,
            metadata: BTreeMap::new(),
        }
    }

    /// Something of which nothing is understood but its name.
    pub fn unknown(name: String) -> Self {
        Self { kind: Kind::Unknown, ..Self::folder(name) }
    }

    /// Which version of a file this is.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint {
            size: self.size,
            created: self.created,
            changed: self.changed,
            md5: self.md5,
            crc32: self.crc32,
        }
    }
}
