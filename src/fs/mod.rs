//! The journeys of a name, a write, an upload and a read.
//!
//! Each journey decides under the one lock (`Core`), acts without it (disk, network), and
//! reports back. Two journeys that would disturb each other on Files.com take turns:
//!
//! * `publishing`: one upload, hydration or move to the cache at a time for each file;
//! * `naming`: a file's path is being used in a request that changes something there;
//! * `shape`: the folders above a path that is being used stay where they are; whoever moves or removes a folder
//!   waits for those who use a path below it, and the other way round.
//!
//! They are taken in this order, and never the other way round.

mod admit;
mod ahead;
mod attributes;
mod background;
mod begins;
mod buffers;
mod cached;
mod check;
mod close;
mod complaints;
mod complete;
mod contradicted;
mod copy;
mod core;
mod drain;
mod facts;
mod fetch;
mod folders;
mod hard_links;
mod held;
mod job;
mod leftovers;
mod links;
mod listing;
mod make;
mod manifest;
mod open;
mod prove;
mod publish;
mod read;
mod recover;
mod refresh;
mod remove;
mod rename;
mod resume;
mod rules;
mod scope;
mod settle;
mod shape;
mod space;
mod standing;
mod status;
mod steps;
mod still;
mod stream;
mod take_up;
mod turns;
mod upload;
mod usage;
mod write;
mod xattrs;

use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{Notify, Semaphore, mpsc, oneshot, watch};

pub use self::attributes::{Attr, Change};
pub use self::core::By;
pub use self::held::{Decided, HeldThing, Kind, Verdict};
pub use self::listing::DirEntry;
pub use self::make::Maker;
pub use self::manifest::{Page, Proven};
pub use self::open::Pages;
pub use self::rules::Rules;
pub use self::scope::Scope;
pub use self::status::{Hindrance, Open, OwedFile, Remainder};

use self::begins::Begins;
use self::buffers::Buffers;
use self::check::Checks;
use self::complaints::Complaints;
use self::core::{Core, Errand};
use self::shape::Shape;
use self::space::Space;
use self::stream::Streams;
use self::turns::Turns;
use self::usage::Usage;
use crate::local::journal::{Fact, Journal};
use crate::local::receipts::Receipts;
use crate::local::store::Store;
use crate::model::entry::Entry;
use crate::model::failure::Failure;
use crate::model::ino::{ContentId, Ino};
use crate::model::listing::Changes;
use crate::model::moment::Moment;
use crate::model::path::RemotePath;
use crate::model::policy::{Close, Metadata, Verify};
use crate::model::queue::Kinds;
use crate::model::resume::Begun;
use crate::model::tree::Tree;
use crate::remote::{self, Client, Deadline, Download, ErrorKind};

/// Errands of one kind that were taken from the queue, and have a place or wait for one: more than there ever
/// are places, and few beside a hundred thousand that are due.
const AT_HAND: usize = 256;

/// How long anybody waits until the kernel was told of something.
const KERNEL_PATIENCE: Duration = Duration::from_secs(5);

/// What the kernel should forget.
#[derive(Debug)]
pub enum Stale {
    /// A name of a folder leads elsewhere.
    Name(Ino, OsString),
    /// Attributes and bytes of a file or folder are others.
    Inode(Ino),
    /// Somebody waits until the kernel was told of all that came before.
    Until(oneshot::Sender<()>),
}

/// A mounted folder of Files.com, without the kernel.
#[derive(Debug)]
pub struct Filesystem {
    core: Mutex<Core>,
    remote: Client,
    store: Arc<Store>,
    journal: Journal,
    receipts: Receipts,
    rules: Rules,
    /// Signed URLs that may still be used.
    downloads: Mutex<HashMap<Ino, Download>>,
    /// Uploads of several parts that were begun and not settled.
    uploads: Mutex<HashMap<ContentId, Begun>>,
    /// Digests of files that are being fetched.
    checks: Checks,
    publishing: Turns,
    naming: Turns,
    listings: Turns,
    openings: Turns,
    shape: Shape,
    /// Bytes arrived, or will not: readers look again.
    arrivals: Notify,
    /// The queue has something new.
    errands: Notify,
    /// An errand ended, well or not.
    outcomes: Notify,
    /// A descriptor was let go.
    releases: Notify,
    /// A write ended beside a close that waits for that, or a file that was kept still may be written to.
    writes: Notify,
    buffers: Buffers,
    /// Uploads that are being begun.
    begins: Begins,
    /// Files that travel while they are written.
    streams: Streams,
    /// The limit of the local disk.
    space: Arc<Space>,
    /// Room for what is done in the background, of each kind.
    rooms: [Semaphore; Errand::COUNT],
    stale: mpsc::UnboundedSender<Stale>,
    /// Can Files.com be reached?
    reach: watch::Receiver<bool>,
    /// What was complained of lately.
    complaints: Complaints,
    /// What the site holds.
    usage: Mutex<Usage>,
}

impl Filesystem {
    /// A filesystem over its rooms. What the kernel must forget comes out of the receiver.
    pub fn new(
        rules: Rules,
        remote: Client,
        store: Store,
        journal: Journal,
        receipts: Receipts,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<Stale>) {
        let (stale, forgets) = mpsc::unbounded_channel();
        let reach = remote.reach();
        let mut tree = Tree::new(rules.folder.clone(), rules.defaults, now());
        tree.names = rules.names;
        store.limit(rules.cache_size);
        let filesystem = Self {
            core: Mutex::new(Core::new(tree)),
            remote,
            store: Arc::new(store),
            journal,
            receipts,
            rules,
            downloads: Mutex::default(),
            uploads: Mutex::default(),
            checks: Checks::default(),
            publishing: Turns::default(),
            naming: Turns::default(),
            listings: Turns::default(),
            openings: Turns::default(),
            shape: Shape::default(),
            arrivals: Notify::new(),
            errands: Notify::new(),
            outcomes: Notify::new(),
            releases: Notify::new(),
            writes: Notify::new(),
            buffers: Buffers::default(),
            begins: Begins::default(),
            streams: Streams::default(),
            space: Arc::default(),
            rooms: [(); Errand::COUNT].map(|()| Semaphore::new(AT_HAND)),
            stale,
            reach,
            complaints: Complaints::default(),
            usage: Mutex::default(),
        };
        (Arc::new(filesystem), forgets)
    }

    /// What Files.com says of the folder that is mounted; the site's own root has no entry.
    pub fn describe_root(&self, entry: Entry) -> Result<(), Failure> {
        self.core().tree.describe(Ino::ROOT, entry)
    }

    /// Files.com cannot be reached: the mount begins with what the journal knows, and looks later.
    pub fn start_unseen(&self) -> Result<(), Failure> {
        let mut core = self.core();
        let folder = core.tree.folder_mut(Ino::ROOT)?;
        folder.unseen = true;
        folder.listed = Some(Instant::now());
        folder.grow_stale(Instant::now(), self.rules.dir_ttl);
        Ok(())
    }

    /// Until when a call of the kernel that begins now may wait: for the network timeout without progress.
    pub fn deadline_of_a_call(&self) -> Deadline {
        Deadline::of_call(self.rules.network_timeout)
    }

    /// When whoever waits on behalf of this call gives up; after the network timeout where nobody waits.
    fn waits_until(&self) -> Instant {
        let end = Deadline::current().and_then(|deadline| deadline.end());
        end.map_or_else(|| Instant::now() + self.rules.network_timeout, tokio::time::Instant::into_std)
    }

    /// The lock, for the length of a decision. A panic elsewhere left a value that is still the best
    /// there is: what is owed must be told, not lost.
    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// EROFS once nothing new can be promised, since the local disk failed. What is there stays readable.
    ///
    /// # Errors
    /// The same one until the mount ends.
    fn may_change(&self) -> Result<(), Failure> {
        let failed = |failure| Failure::new(libc::EROFS, format!("the mount is read-only: {failure}"));
        self.journal.failure().map_or(Ok(()), |failure| Err(failed(failure)))
    }

    /// Where `ino` is on Files.com, or ENOENT for what was unlinked.
    fn path(&self, ino: Ino) -> Result<RemotePath, Failure> {
        self.core().tree.path(ino).ok_or(Failure::plain(libc::ENOENT))
    }

    /// Plans an errand for the background.
    fn schedule(&self, errand: Errand, after: Duration) {
        self.core().queue.schedule(errand, Instant::now() + after);
        self.errands.notify_one();
    }

    /// Lets go of local bytes that nothing refers to any more, once the journal says so too: a crash in
    /// between would find a file that is owed and has no bytes.
    fn drop_content(&self, id: ContentId) {
        self.settled(id);
        self.forget_stream(id);
        self.let_go(id);
    }

    /// The bytes go as soon as the journal has forgotten them.
    fn let_go(&self, id: ContentId) {
        let (store, space) = (self.store.clone(), self.space.clone());
        self.journal.note_then(Fact::Settled(id), move || {
            store.remove(id);
            space.changed();
        });
    }

    /// Waits until the kernel knows what changed: whoever made a decision looks at what came of it. Not
    /// for ever: the kernel may be waiting for a request of ours.
    pub async fn kernel_is_told(&self) {
        let (told, is_told) = oneshot::channel();
        if self.stale.send(Stale::Until(told)).is_ok() {
            let _ = tokio::time::timeout(KERNEL_PATIENCE, is_told).await;
        }
    }

    /// Tells kernel and disk what a listing changed.
    fn spread(&self, changes: Changes) {
        for id in changes.dropped {
            self.store.remove(id);
        }
        for (folder, name) in changes.names {
            let _ = self.stale.send(Stale::Name(folder, name));
        }
        for ino in changes.inodes {
            let _ = self.stale.send(Stale::Inode(ino));
        }
    }
}

/// The wall clock, for times that users see.
fn now() -> Moment {
    Moment::from(SystemTime::now())
}

/// An error of the service as a caller is told it: its errno, what happened, and what to do.
fn told(error: &remote::Error) -> Failure {
    let failure = Failure::new(error.errno(), format!("{error}; {}", error.remedy()));
    Failure { kind: error.common_remedy(), ..failure }
}

/// The same, with a line in the log: the caller of a system call learns a number only. Where nobody was asked, since
/// it is known to be in vain, the log has said so.
fn told_aloud(error: &remote::Error) -> Failure {
    let failure = told(error);
    match error.was_asked() {
        true => tracing::warn!("{failure}"),
        false => tracing::debug!("{failure}"),
    }
    failure
}

/// Will the same call fail again until a person changes something?
fn is_final(kind: ErrorKind) -> bool {
    use ErrorKind::*;
    matches!(
        kind,
        Permission
            | ReadOnly
            | Exists
            | IsFolder
            | IntoItself
            | CrossStorage
            | NotFolder
            | NameRefused
            | TooLong
            | RuleRefused
            | Unsupported
            | TooLarge
            | BadRequest
    )
}

/// Runs something that blocks on the disk beside the runtime.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome.map_err(Failure::from),
        Err(_) => Err(Failure::new(libc::EIO, "work on the local disk was cut off")),
    }
}
