//! What a mount is asked to be. Filled by the command line or fstab, read when the mount is put
//! together; nothing here has a default that depends on the machine.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::model::bandwidth::Bandwidth;
use crate::model::path::RemotePath;
use crate::model::policy::{Close, HardLinks, Metadata, Names, Symlinks, Verify};
use crate::remote::Credentials;

/// Everything that decides what a mount does.
#[derive(Debug, Clone)]
pub struct Options {
    /// The source as it was typed: shown by `mount` and `df`, never a secret.
    pub source: String,
    /// Base URL of the site, without the API's path.
    pub base: Url,
    /// Plain http is wanted although the host is not this one.
    pub allow_http: bool,
    /// Who we are.
    pub credentials: Credentials,
    /// The folder that becomes the root of the mount.
    pub folder: RemotePath,
    /// Where it is mounted: an absolute path of an existing folder.
    pub mountpoint: PathBuf,
    /// Journal and spool: what is owed. Never deleted to make room.
    pub state_dir: PathBuf,
    /// What may be thrown away and fetched again.
    pub cache_dir: PathBuf,
    /// Bytes that spool and cache may take together.
    pub cache_size: u64,
    /// Refuse every change.
    pub read_only: bool,
    /// Other users than the one who mounts may use it.
    pub allow_other: bool,
    /// Owner of everything that has no stored owner.
    pub uid: u32,
    /// Group of everything that has no stored group.
    pub gid: u32,
    /// Taken off 0666 and 0777 for everything that has no stored mode.
    pub umask: u16,
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
    /// Patterns of temporary names beyond the built-in ones.
    pub temporary_names: Vec<String>,
    /// How long a temporary name waits for its rename before it is published as it is.
    pub temporary_hold: Duration,
    /// Transfers to the storage at the same time, at most.
    pub max_uploads: usize,
    /// Transfers from the storage at the same time, at most.
    pub max_downloads: usize,
    /// What transfers to the storage may take of the line.
    pub bandwidth_up: Bandwidth,
    /// What transfers from the storage may take of it.
    pub bandwidth_down: Bandwidth,
    /// The longest that any call waits for the network without progress.
    pub network_timeout: Duration,
    /// Come up without Files.com, where this folder was mounted before with this state folder.
    pub offline_start: bool,
    /// Options for the kernel that mean nothing to us: `nosuid`, `nodev`, `noexec`, `noatime` and
    /// their opposites.
    pub kernel: Vec<String>,
}
