//! What an emulated site is like: all that may differ between real sites, or that is not known of them.
//!
//! Settings are plain values; they can be changed while the emulator runs, by the Rust API or the admin
//! route. The default is a quick site with MD5 and CRC32 switched on. Where the real service's behaviour
//! is unknown, the default is the choice that is least comfortable for a client.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How names are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameRule {
    /// The newer published rule: the collation `utf8mb4_0900_ai_ci`.
    Collation,
    /// The older published rule: NFKC, plain Latin letters, lower case, no white space at the end.
    Latin,
}

/// What a key may call, as the service names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PermissionSet {
    /// Everything.
    Full,
    /// Files, folders, file actions, migrations and the key itself.
    FilesOnly,
}

/// An API key that the site knows.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Key {
    /// The secret itself.
    pub key: String,
    /// The name that `GET /api_key` shows.
    pub name: String,
    /// What it may call.
    pub permission_set: PermissionSet,
    /// The folder that it is confined to.
    pub path: Option<String>,
    /// Unix seconds after which it is refused.
    pub expires_at: Option<i64>,
    /// `l` list, `r` read, `w` write new files, `o` overwrite, rename over and change, `d` delete.
    pub permissions: String,
    /// A key that was switched off answers `api-key-is-disabled`.
    pub disabled: bool,
}

impl Default for Key {
    fn default() -> Self {
        Self {
            key: String::new(),
            name: "emulated key".into(),
            permission_set: PermissionSet::Full,
            path: None,
            expires_at: None,
            permissions: "lrwod".into(),
            disabled: false,
        }
    }
}

/// A user who may log in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct User {
    /// Login name.
    pub name: String,
    /// Password.
    pub password: String,
    /// Letters as in [`Key::permissions`].
    pub permissions: String,
    /// The one-time password that the second step must bring, if this user has one.
    pub otp: Option<String>,
}

impl Default for User {
    fn default() -> Self {
        Self { name: String::new(), password: String::new(), permissions: "lrwod".into(), otp: None }
    }
}

/// What the site, its storage and the way to them are like. Times in the unit of the field's name.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Address of the API. Only read at the start.
    pub listen: String,
    /// Address of the storage. Only read at the start.
    pub storage_listen: String,
    /// Base of the signed URLs where it is not `http://` and the storage's address: for a proxy in front.
    pub storage_url: Option<String>,
    /// The folder that keeps content and index; `None` keeps them in memory. Only read at the start.
    pub data: Option<PathBuf>,
    /// Keys that are accepted. With neither keys nor users, any key and any login is.
    pub keys: Vec<Key>,
    /// Users who may log in.
    pub users: Vec<User>,

    /// Pause before each API request is looked at.
    pub latency_ms: u64,
    /// Pause before each storage request is looked at.
    pub storage_latency_ms: u64,
    /// Bits per second that all uploads share, and, apart from them, all downloads.
    pub bandwidth_bits: Option<u64>,
    /// API requests per second before `too-many-requests`.
    pub requests_per_second: Option<f64>,
    /// The `Retry-After` that goes with it.
    pub retry_after: Option<String>,
    /// API requests at one time before `too-many-concurrent-requests`.
    pub concurrent_requests: Option<usize>,
    /// The emulator's clock, ahead of or behind the machine's.
    pub clock_offset_ms: i64,

    /// Does the site state MD5s?
    pub md5: bool,
    /// Does the site state CRC32s?
    pub crc32: bool,
    /// How long after completion digests appear.
    pub checksum_delay_ms: u64,
    /// The storage behaves like a remote mount: its ETags are no digests.
    pub opaque_etags: bool,
    /// `x-amz-server-side-encryption` of the storage. With any other value than `AES256`, ETags look like digests and
    /// are none.
    pub encryption: String,
    /// May uploaders set `provided_mtime`?
    pub use_provided_modified_at: bool,
    /// Is the metadata given with a completion kept?
    pub metadata_at_completion: bool,
    /// Does a change of metadata leave keys as they are that it does not name?
    pub metadata_merges: bool,

    /// How names are compared.
    pub names: NameRule,
    /// Longest name, in characters.
    pub longest_name: usize,
    /// Does a replaced file take the spelling of the newcomer?
    pub overwrite_respells: bool,
    /// Does an upload onto an existing file become `NAME_2`?
    pub overwrite_renames: bool,
    /// May a move without `overwrite` change only the case of a name?
    pub case_only_rename: bool,
    /// Are missing parents made without `mkdir_parents`?
    pub always_mkdir_parents: bool,

    /// Entries of a page when the request does not say.
    pub per_page: usize,
    /// The most entries of a page.
    pub per_page_max: usize,
    /// Puts an empty page with a new cursor before every further page.
    pub empty_pages: bool,
    /// A listing of a file is `folder-must-not-be-a-file` instead of `not-found`.
    pub listing_a_file_is_refused: bool,
    /// For how long an unchanged listing is answered from the cache; changes by others do not count.
    pub listing_cache_ms: u64,

    /// How long a deleted folder stays visible.
    pub folder_delete_delay_ms: u64,
    /// How long moves and copies take. With 0 they are completed at once.
    pub migration_delay_ms: u64,
    /// How long neither name exists during a move that overwrites.
    pub move_gap_ms: u64,

    /// Life of a part's URL.
    pub upload_url_seconds: u64,
    /// Life of a download's URL.
    pub download_url_seconds: u64,
    /// Life of an upload's `ref`.
    pub upload_seconds: u64,
    /// Recommended size of the first part.
    pub part_size: u64,
    /// Recommended size of the second part.
    pub next_part_size: u64,
    /// The smallest part that is not the last.
    pub part_size_min: u64,
    /// The largest part.
    pub part_size_max: u64,
    /// Highest part number.
    pub parts_max: u32,
    /// False: one part after the other.
    pub parallel_parts: bool,
    /// Life of a session.
    pub session_seconds: u64,

    /// Letters as in [`Key::permissions`] by folder; the nearest folder decides, together with the key.
    pub permissions: BTreeMap<String, String>,
    /// Answers 404 where a permission is missing, as the service does in places.
    pub forbidden_is_not_found: bool,
    /// Every change is `read-only-session`.
    pub read_only: bool,
    /// Files cannot be replaced, moved, changed or deleted.
    pub immutable: bool,

    /// HTTP status of `bad-request/*`: 422 by the catalogue, 400 in older recordings.
    pub bad_request_status: u16,
    /// `http-code` as a string.
    pub http_code_is_text: bool,
    /// Subdomain that `GET /site` shows.
    pub site: String,
    /// How many requests the log keeps.
    pub log_length: usize,
    /// Prints each request on standard error.
    pub log_to_stderr: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:0".into(),
            storage_listen: "127.0.0.1:0".into(),
            storage_url: None,
            data: None,
            keys: Vec::new(),
            users: Vec::new(),
            latency_ms: 0,
            storage_latency_ms: 0,
            bandwidth_bits: None,
            requests_per_second: None,
            retry_after: Some("1".into()),
            concurrent_requests: None,
            clock_offset_ms: 0,
            md5: true,
            crc32: true,
            checksum_delay_ms: 50,
            opaque_etags: false,
            encryption: "AES256".into(),
            use_provided_modified_at: true,
            metadata_at_completion: true,
            metadata_merges: false,
            names: NameRule::Collation,
            longest_name: 512,
            overwrite_respells: false,
            overwrite_renames: false,
            case_only_rename: false,
            always_mkdir_parents: false,
            per_page: 1000,
            per_page_max: 10_000,
            empty_pages: false,
            listing_a_file_is_refused: false,
            listing_cache_ms: 0,
            folder_delete_delay_ms: 0,
            migration_delay_ms: 0,
            move_gap_ms: 0,
            upload_url_seconds: 900,
            download_url_seconds: 60,
            upload_seconds: 72 * 60,
            part_size: 5_242_880,
            next_part_size: 6_291_456,
            part_size_min: 5_242_880,
            part_size_max: 5 << 30,
            parts_max: 10_000,
            parallel_parts: true,
            session_seconds: 6 * 3600,
            permissions: BTreeMap::new(),
            forbidden_is_not_found: false,
            read_only: false,
            immutable: false,
            bad_request_status: 422,
            http_code_is_text: false,
            site: "emulator".into(),
            log_length: 100_000,
            log_to_stderr: false,
        }
    }
}

impl Settings {
    /// Does the storage encrypt in a way that makes its ETags say nothing of the bytes?
    pub(super) fn has_own_encryption(&self) -> bool {
        self.encryption != "AES256"
    }
}
