//! What was asked of a mount, as far as the journeys are concerned.

use std::path::PathBuf;
use std::time::Duration;

use crate::model::attributes::Defaults;
use crate::model::path::RemotePath;
use crate::model::policy::{Close, HardLinks, Metadata, Names, Symlinks, Verify};
use crate::model::temporary::TemporaryNames;

/// Decides what the journeys do; never changes while the mount lives.
#[derive(Debug)]
pub struct Rules {
    /// The folder of the site that is mounted.
    pub folder: RemotePath,
    /// Where it is mounted.
    pub mountpoint: PathBuf,
    /// Attributes of what has none stored.
    pub defaults: Defaults,
    /// When close(2) answers.
    pub close: Close,
    /// How much proof a close asks for.
    pub verify: Verify,
    /// What is stored beyond the API's own fields.
    pub metadata: Metadata,
    /// What becomes of names that Files.com does not store as they are.
    pub names: Names,
    /// What becomes of link(2).
    pub hard_links: HardLinks,
    /// What becomes of symbolic links that lead out of the mount.
    pub symlinks: Symlinks,
    /// How long a listing is believed.
    pub dir_ttl: Duration,
    /// Names that are going to be renamed.
    pub temporary: TemporaryNames,
    /// How long a temporary name waits for that.
    pub temporary_hold: Duration,
    /// Files that are tried again at the same time, where a person asks for it.
    pub max_uploads: usize,
    /// Bytes that the cache may take.
    pub cache_size: u64,
    /// The longest that anything waits for the network without progress.
    pub network_timeout: Duration,
}
