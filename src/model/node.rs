//! One file or folder, as the mount knows it.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::time::{Duration, Instant};

use super::attributes::{Attributes, Shape};
use super::content::Content;
use super::digest::Md5;
use super::entry::Permissions;
use super::failure::Failure;
use super::ino::{ContentId, Ino};
use super::proof::Fingerprint;
use super::readahead::ReadAhead;
use super::siblings::Siblings;
use super::xattrs::Xattrs;

/// Where the bytes of a file are on this machine.
#[derive(Debug, Clone)]
pub enum Local {
    /// Not here: Files.com has them.
    Nowhere,
    /// In the cache, as far as they were fetched. May be let go at any time.
    Cached(ContentId, ReadAhead),
    /// In the spool, whole: owed, or being written.
    Spooled(ContentId),
}

impl Local {
    /// The local file, if there is one.
    pub fn id(&self) -> Option<ContentId> {
        match self {
            Self::Nowhere => None,
            Self::Cached(id, _) | Self::Spooled(id) => Some(*id),
        }
    }
}

/// What only files have.
#[derive(Debug, Clone)]
pub struct File {
    /// Bytes, as readers of the mount see them.
    pub size: u64,
    /// What is owed.
    pub content: Content,
    /// Where the bytes are.
    pub local: Local,
    /// The bytes that the journal knows as owed: those of before, while newer ones are not durable yet.
    pub noted: Option<ContentId>,
    /// The version that Files.com holds under this file's path; `None` when it holds none.
    pub published: Option<Fingerprint>,
    /// What Files.com may have under this file's path: a completion was asked for, and neither its answer
    /// nor a look told whether it was carried out.
    pub perhaps: Option<Box<Fingerprint>>,
    /// The MD5 of the bytes that we published ourselves, proven. The version itself keeps what the site
    /// states: a digest that is gone tells another version.
    pub proven: Option<Md5>,
    /// Open descriptors.
    pub handles: u32,
    /// It goes by a temporary name: closing it publishes nothing, the rename does.
    pub temporary: bool,
    /// Since when it is whole here and owed.
    pub owed_since: Option<Instant>,
    /// Why the last attempt to publish failed. Told at every close and fsync until it is resolved.
    pub failure: Option<Failure>,
    /// Somebody else took it away while it was open here: nothing that is written to it arrives anywhere.
    pub gone: bool,
    /// The kernel may have pages of an earlier version.
    pub stale_pages: bool,
    /// How many fetches failed, and why the last one did: for those who waited for it.
    pub fetch_failures: (u64, Option<Failure>),
}

impl File {
    /// A file that was created here just now.
    pub fn created(id: ContentId, temporary: bool) -> Self {
        Self {
            content: Content::created(),
            local: Local::Spooled(id),
            temporary,
            ..Self::listed(Fingerprint { size: 0, created: None, changed: None, md5: None, crc32: None })
        }
        .unpublished()
    }

    /// A file that Files.com holds.
    pub fn listed(version: Fingerprint) -> Self {
        Self {
            size: version.size,
            content: Content::clean(),
            local: Local::Nowhere,
            noted: None,
            published: Some(version),
            perhaps: None,
            proven: None,
            handles: 0,
            temporary: false,
            owed_since: None,
            failure: None,
            gone: false,
            stale_pages: false,
            fetch_failures: (0, None),
        }
    }

    /// Is more to come? Nobody who wrote the newest bytes has closed the file, and somebody has it open.
    pub fn is_being_written(&self) -> bool {
        self.handles > 0 && self.content.is_unfinished()
    }

    fn unpublished(mut self) -> Self {
        self.published = None;
        self
    }
}

/// What only folders have.
#[derive(Debug, Clone, Default)]
pub struct Folder {
    /// Entries by POSIX name.
    pub entries: HashMap<OsString, Ino>,
    /// Comparison keys of the entries; built when a name is about to be added.
    pub siblings: Option<Siblings>,
    /// When the listing that `entries` rest on was asked for; `None` before the first one.
    pub listed: Option<Instant>,
    /// Names that were taken away here, and when: a listing that was asked for earlier still shows
    /// them.
    pub removed: Vec<(OsString, Instant)>,
    /// It is shown as listed, and Files.com was never asked: names here may be names of others there.
    pub unseen: bool,
    /// Files.com has it. A folder under a temporary name is only here until it is renamed.
    pub published: bool,
}

impl Folder {
    /// What is known of it is believed no longer than until the next who asks; without a network, it is
    /// better than nothing. `ttl` is how long a listing is believed.
    pub fn grow_stale(&mut self, now: Instant, ttl: Duration) {
        self.listed = self.listed.and(now.checked_sub(ttl));
    }
}

/// File or folder.
#[derive(Debug, Clone)]
pub enum Body {
    /// Bytes with a name.
    File(File),
    /// Names.
    Folder(Folder),
}

/// Where a symbolic link leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// There.
    To(OsString),
    /// The bytes of the file say so.
    InContent,
}

/// A file or folder with its place in the tree.
#[derive(Debug, Clone)]
pub struct Node {
    /// The folder it is in; `None` for the root, and for what was unlinked.
    pub parent: Option<Ino>,
    /// Its POSIX name.
    pub name: OsString,
    /// Its name on Files.com.
    pub remote: String,
    /// Mode, owner, times.
    pub attributes: Attributes,
    /// Extended attributes of users.
    pub xattrs: Xattrs,
    /// Files.com has not been told the newest attributes yet.
    pub attributes_owed: bool,
    /// What Files.com allows us.
    pub permissions: Permissions,
    /// `custom_metadata` of others, sent back whenever ours is written: the service replaces all.
    pub foreign: BTreeMap<String, String>,
    /// When this entry last changed here: an older listing says nothing about it.
    pub touched: Option<Instant>,
    /// How often the kernel looked it up and has not forgotten it.
    pub lookups: u64,
    /// The target, for a symbolic link; it is the file's content too.
    pub link: Option<Link>,
    /// What it is.
    pub body: Body,
}

impl Node {
    /// The file, if it is one.
    pub fn file(&self) -> Option<&File> {
        match &self.body {
            Body::File(file) => Some(file),
            Body::Folder(_) => None,
        }
    }

    /// The file, if it is one.
    pub fn file_mut(&mut self) -> Option<&mut File> {
        match &mut self.body {
            Body::File(file) => Some(file),
            Body::Folder(_) => None,
        }
    }

    /// The folder, if it is one.
    pub fn folder(&self) -> Option<&Folder> {
        match &self.body {
            Body::Folder(folder) => Some(folder),
            Body::File(_) => None,
        }
    }

    /// The folder, if it is one.
    pub fn folder_mut(&mut self) -> Option<&mut Folder> {
        match &mut self.body {
            Body::Folder(folder) => Some(folder),
            Body::File(_) => None,
        }
    }

    /// What it is for POSIX.
    pub fn shape(&self) -> Shape {
        match (&self.body, &self.link) {
            (Body::Folder(_), _) => Shape::Folder,
            (Body::File(_), None) => Shape::File,
            (Body::File(_), Some(_)) => Shape::Link,
        }
    }

    /// Is it a folder?
    pub fn is_folder(&self) -> bool {
        matches!(self.body, Body::Folder(_))
    }

    /// Has Files.com a file or folder under this one's path?
    pub fn is_published(&self) -> bool {
        match &self.body {
            Body::File(file) => file.published.is_some(),
            Body::Folder(folder) => folder.published,
        }
    }
}
