//! One file or folder, as the mount knows it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::ops::{Deref, DerefMut};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use super::attributes::{Attributes, Defaults, Shape, Time, to_metadata};
use super::blocks::Blocks;
use super::comparison::Keys;
use super::content::{Content, Revision};
use super::digest::{Crc32, Md5};
use super::entry::Permissions;
use super::failure::Failure;
use super::ino::{ContentId, Ino};
use super::label::{Label, Name};
use super::proof::{Contradiction, Fingerprint};
use super::readahead::ReadAhead;
use super::seldom::{Rest, Seldom};
use super::xattrs::Xattrs;

/// Has Files.com something under the path of an entry? Whoever decides by that has three answers to think of: what may be
/// there has to go when the entry goes, and stands in the way of others, but cannot be relied upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnSite {
    /// It has not.
    No,
    /// Nobody knows: a completion was asked for and its outcome never heard, or nobody has looked.
    Perhaps,
    /// It has.
    Yes,
}

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

/// Bytes that the journal knows as owed, and of which revision they are: it alone tells whether they are newer than
/// others. Numbers of contents are made in advance and say nothing of age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noted {
    /// The bytes.
    pub id: ContentId,
    /// The newest revision that was durable when the journal was told.
    pub revision: Revision,
}

/// What only files have. The fields of [`Work`] read as if they were its own.
#[derive(Debug, Clone)]
pub struct File {
    /// Bytes, as readers of the mount see them.
    pub size: u64,
    /// The version that Files.com holds under this file's path; `None` when it holds none.
    pub published: Option<Fingerprint>,
    /// Open descriptors.
    pub handles: u32,
    /// It goes by a temporary name: closing it publishes nothing, the rename does.
    pub temporary: bool,
    /// Somebody else took it away while it was open here: nothing that is written to it arrives anywhere.
    pub gone: bool,
    /// The kernel may have pages of an earlier version.
    pub stale_pages: bool,
    work: Seldom<Work>,
}

/// What only files have that are written, owed, read or kept here.
#[derive(Debug, Clone)]
pub struct Work {
    /// What is owed.
    pub content: Content,
    /// Where the bytes are.
    pub local: Local,
    /// The bytes that the journal knows as owed: those of before, while newer ones are not durable yet.
    pub noted: Option<Noted>,
    /// What Files.com may have under this file's path: a completion was asked for, and neither its answer
    /// nor a look told whether it was carried out.
    pub perhaps: Option<Box<Fingerprint>>,
    /// The MD5 of the bytes that we published ourselves, proven. The version itself keeps what the site
    /// states: a digest that is gone tells another version.
    pub proven: Option<Md5>,
    /// Their CRC32, likewise.
    pub proven_crc32: Option<Crc32>,
    /// Files.com states something else of them by now.
    pub contradicted: Option<Box<Contradiction>>,
    /// Those of the open descriptors that may write.
    pub writers: u32,
    /// It was created exclusively and for its owner alone, as what is about to be renamed or removed is, and has that
    /// name still.
    pub private: bool,
    /// Since when it is whole here and owed.
    pub owed_since: Option<Instant>,
    /// Why the last attempt to publish failed. Told at every close and fsync until it is resolved.
    pub failure: Option<Failure>,
    /// Fetches that failed.
    pub fetch_failures: FetchFailures,
    /// What was handed out of the version that Files.com holds, as far as it was fetched.
    pub blocks: Blocks,
}

/// How many fetches of a file failed, and why the last one did: for those who waited for one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FetchFailures {
    count: u64,
    last: Option<Failure>,
    /// How often what had been handed out turned out to be other bytes than those of the file.
    damages: u64,
}

impl FetchFailures {
    /// One more failed.
    pub fn failed(&mut self, failure: Failure) {
        self.count += 1;
        self.last = Some(failure);
    }

    /// One failed by a comparison, when some of the bytes had been handed out.
    pub fn damaged(&mut self, failure: Failure) {
        self.damages += 1;
        self.failed(failure);
    }

    /// How many did so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How often readers were given bytes that were not the file's. Whoever had it open before the last time may
    /// have some of them.
    pub fn damages(&self) -> u64 {
        self.damages
    }

    /// Why the last one did, if there are more than `seen`.
    pub fn since(&self, seen: u64) -> Option<&Failure> {
        self.last.as_ref().filter(|_| self.count > seen)
    }
}

impl Rest for Work {
    fn rest() -> &'static Self {
        static REST: LazyLock<Work> = LazyLock::new(|| Work {
            content: Content::clean(),
            local: Local::Nowhere,
            noted: None,
            perhaps: None,
            proven: None,
            proven_crc32: None,
            contradicted: None,
            writers: 0,
            private: false,
            owed_since: None,
            failure: None,
            fetch_failures: FetchFailures::default(),
            blocks: Blocks::default(),
        });
        &REST
    }

    fn is_at_rest(&self) -> bool {
        let Self {
            content,
            local,
            noted,
            perhaps,
            proven,
            proven_crc32,
            contradicted,
            writers,
            private,
            owed_since,
            failure,
            fetch_failures,
            blocks,
        } = self;
        content.is_at_rest()
            && matches!(local, Local::Nowhere)
            && noted.is_none()
            && perhaps.is_none()
            && proven.is_none()
            && proven_crc32.is_none()
            && contradicted.is_none()
            && *writers == 0
            && !private
            && owed_since.is_none()
            && failure.is_none()
            && *fetch_failures == FetchFailures::default()
            && blocks.are_unknown()
    }
}

impl Deref for File {
    type Target = Work;

    fn deref(&self) -> &Work {
        &self.work
    }
}

impl DerefMut for File {
    fn deref_mut(&mut self) -> &mut Work {
        &mut self.work
    }
}

impl File {
    /// A file that was created here just now.
    pub fn created(id: ContentId, temporary: bool) -> Self {
        let work = Work { content: Content::created(), local: Local::Spooled(id), ..Work::rest().clone() };
        Self { size: 0, published: None, temporary, ..Self::with(work) }
    }

    /// A file that an earlier mount promised to send: `size` bytes, whole in the spool.
    pub fn recovered(id: ContentId, size: u64, published: Option<Fingerprint>) -> Self {
        let (content, local) = (Content::recovered(), Local::Spooled(id));
        let noted = content.owed().map(|revision| Noted { id, revision });
        let work = Work { content, local, noted, ..Work::rest().clone() };
        Self { size, published, ..Self::with(work) }
    }

    /// A file that Files.com holds.
    pub fn listed(version: Fingerprint) -> Self {
        Self { size: version.size, published: Some(version), ..Self::with(Work::rest().clone()) }
    }

    /// Does the journal know the newest bytes of this file, all of them durable here?
    pub fn is_noted(&self) -> bool {
        let is_synced = self.content.owed().is_some_and(|revision| self.content.is_synced(revision));
        is_synced && self.noted.is_some_and(|noted| self.local.id() == Some(noted.id))
    }

    fn with(work: Work) -> Self {
        Self {
            size: 0,
            published: None,
            handles: 0,
            temporary: false,
            gone: false,
            stale_pages: false,
            work: work.into(),
        }
    }

    /// A version of this file was proven, with these digests, or nothing is known of it.
    pub fn prove(&mut self, digests: Option<(Md5, Crc32)>) {
        (self.proven, self.proven_crc32) = digests.unzip();
        self.contradicted = None;
    }

    /// Files.com states `version` of this file, which is the one that it has. True when that contradicts what was
    /// proven, and nobody knew it.
    pub fn is_contradicted_by(&mut self, version: &Fingerprint) -> bool {
        let found = Contradiction::of(version, self.proven, self.proven_crc32).map(Box::new);
        let is_news = found.is_some() && self.contradicted.is_none();
        self.contradicted = found;
        is_news
    }

    /// Is more to come? Nobody who wrote the newest bytes has closed the file, and somebody has it open for writing.
    /// Who reads it holds up nothing.
    pub fn is_being_written(&self) -> bool {
        self.writers > 0 && self.content.is_unfinished()
    }
}

/// What only folders have.
#[derive(Debug, Clone, Default)]
pub struct Folder {
    /// Entries by POSIX name, in the order of the names.
    pub entries: BTreeMap<Name, Ino>,
    /// When the listing that `entries` rest on was asked for; `None` before the first one.
    pub listed: Option<Instant>,
    /// Names that were taken away here, and when: a listing that was asked for earlier still shows
    /// them.
    pub removed: Vec<(OsString, Instant)>,
    /// It is shown as listed, and Files.com was never asked: names here may be names of others there.
    pub unseen: bool,
    /// Files.com has it, or will have it before anything in it. A folder under a temporary name is only here until it is
    /// renamed.
    pub published: bool,
    /// What else Files.com has in it, by its text there: nobody here understands what it is, so nothing is done to it.
    pub unknown: Vec<Box<str>>,
    /// Files.com may have had it before it was asked to make it, with attributes that are not known: an earlier mount owes
    /// something in it, and nobody has looked since.
    pub perhaps: bool,
    /// Names for which a request is under way that makes them: what a listing shows of them belongs to it.
    pub making: Vec<OsString>,
}

impl Folder {
    /// Is nothing in it, neither here nor, as far as is known, there?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.unknown.is_empty()
    }

    /// Would the text `remote` lead to something in it that is not understood?
    pub fn is_unknown(&self, remote: &str) -> bool {
        if self.unknown.is_empty() {
            return false;
        }
        let ours = Keys::of(remote);
        let is_same = |theirs: Keys| theirs.latin == ours.latin || theirs.collated == ours.collated;
        self.unknown.iter().any(|text| is_same(Keys::of(text)))
    }

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
    Folder(Box<Folder>),
}

impl From<Folder> for Body {
    fn from(folder: Folder) -> Self {
        Self::Folder(Box::new(folder))
    }
}

/// Where a symbolic link leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// There.
    To(OsString),
    /// The bytes of the file say so.
    InContent,
}

/// A file or folder with its place in the tree. The fields of [`Extras`] read as if they were its own.
#[derive(Debug, Clone)]
pub struct Node {
    /// The folder it is in; `None` for the root, and for what was unlinked.
    pub parent: Option<Ino>,
    /// Its names.
    pub label: Label,
    /// Mode, owner, times.
    pub attributes: Attributes,
    /// Files.com has not been told the newest attributes yet.
    pub attributes_owed: bool,
    /// Of a folder: somebody has set its modification time. Else it is when an entry came or went, and is not stored.
    pub time_is_set: bool,
    /// What Files.com allows us.
    pub permissions: Permissions,
    /// How often the kernel looked it up and has not forgotten it.
    pub lookups: u32,
    /// What it is.
    pub body: Body,
    extras: Seldom<Extras>,
}

/// What few entries have.
#[derive(Debug, Clone)]
pub struct Extras {
    /// Extended attributes of users.
    pub xattrs: Xattrs,
    /// `custom_metadata` of others, sent back whenever ours is written: the service replaces all.
    pub foreign: BTreeMap<String, String>,
    /// When this entry last changed here: an older listing says nothing about it.
    pub touched: Option<Instant>,
    /// The target, for a symbolic link; it is the file's content too.
    pub link: Option<Link>,
}

impl Rest for Extras {
    fn rest() -> &'static Self {
        static REST: LazyLock<Extras> = LazyLock::new(|| Extras {
            xattrs: Xattrs::default(),
            foreign: BTreeMap::new(),
            touched: None,
            link: None,
        });
        &REST
    }

    fn is_at_rest(&self) -> bool {
        let Self { xattrs, foreign, touched, link } = self;
        xattrs.is_empty() && foreign.is_empty() && touched.is_none() && link.is_none()
    }
}

impl Deref for Node {
    type Target = Extras;

    fn deref(&self) -> &Extras {
        &self.extras
    }
}

impl DerefMut for Node {
    fn deref_mut(&mut self) -> &mut Extras {
        &mut self.extras
    }
}

impl Node {
    /// A node that nothing is known of but its place, its attributes and what it is.
    pub fn new(parent: Option<Ino>, label: Label, attributes: Attributes, body: Body) -> Self {
        Self {
            parent,
            label,
            attributes,
            attributes_owed: false,
            time_is_set: false,
            permissions: Permissions::ALL,
            lookups: 0,
            body,
            extras: Seldom::default(),
        }
    }

    /// Its POSIX name.
    pub fn name(&self) -> &Name {
        self.label.name()
    }

    /// Its name on Files.com.
    pub fn remote(&self) -> &str {
        self.label.remote()
    }

    /// Is anything about it owed to Files.com: bytes, attributes, or that it is there at all?
    pub fn is_owed(&self) -> bool {
        self.attributes_owed
            || match &self.body {
                Body::File(file) => file.content.is_owed(),
                Body::Folder(folder) => !folder.published,
            }
    }

    /// What it has besides, all at once.
    pub fn set_extras(&mut self, extras: Extras) {
        self.extras = extras.into();
    }

    /// Lets go of what says nothing any more.
    pub fn settle(&mut self) {
        self.extras.settle();
        if let Body::File(file) = &mut self.body {
            file.work.settle();
        }
    }

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

    /// What must be said of its modification time, where the site keeps one or not.
    pub fn time(&self, is_kept: bool) -> Time {
        match (self.is_folder() && !self.time_is_set, is_kept) {
            (true, _) => Time::NotSet,
            (false, true) => Time::Kept,
            (false, false) => Time::NotKept,
        }
    }

    /// Is there anything about it that Files.com would not know of a folder that was just made? `here` are the options of
    /// this mount.
    pub fn is_unusual(&self, here: &Defaults) -> bool {
        self.time_is_set
            || !self.xattrs.is_empty()
            || !to_metadata(&self.attributes, self.shape(), self.time(true), here).is_empty()
    }

    /// Has Files.com a file or folder under this one's path?
    pub fn on_site(&self) -> OnSite {
        let (is_there, may_be_there) = match &self.body {
            Body::File(file) => (file.published.is_some(), file.perhaps.is_some()),
            Body::Folder(folder) => (folder.published, folder.perhaps),
        };
        match (is_there, may_be_there) {
            (true, _) => OnSite::Yes,
            (false, true) => OnSite::Perhaps,
            (false, false) => OnSite::No,
        }
    }
}
