//! Which requests came: a bounded list for tests, and counters for whoever pays for them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// One request that was answered, or cut off.
#[derive(Debug, Clone, Serialize)]
pub struct LoggedRequest {
    /// HTTP method.
    pub method: String,
    /// Path of the file or folder that it is about, without slashes at its ends; for other requests the
    /// route. A storage request is logged under the path that its URL was made for.
    pub path: String,
    /// Query as it came, without the query of signed URLs.
    pub query: String,
    /// Status that was answered; 0 when the connection was cut.
    pub status: u16,
    /// What it is: `list`, `stat`, `begin_upload`, `begin_part`, `part`, `complete`, `download`, `fetch`,
    /// `patch`, `delete`, `mkdir`, `move`, `copy`, `migration`, `login`, `logout`, `api_key`, `user`, `site`,
    /// `usage`, `lock`, `unlock`, `locks`, `unknown`.
    pub kind: &'static str,
    /// Bytes of content: received in a part, promised in a download.
    pub bytes: u64,
    /// Body of an API request, its first 64 KiB; a login's is left out.
    pub body: String,
}

#[derive(Debug, Default)]
struct Entries {
    requests: VecDeque<LoggedRequest>,
    counts: BTreeMap<String, u64>,
}

/// The log of one emulator.
#[derive(Debug, Default)]
pub(super) struct Log(Mutex<Entries>);

impl Log {
    pub(super) fn add(&self, request: LoggedRequest, length: usize) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut count = |name: &str, by: u64| match entries.counts.get_mut(name) {
            Some(count) => *count += by,
            None => {
                entries.counts.insert(name.to_owned(), by);
            }
        };
        count(request.kind, 1);
        count(if matches!(request.kind, "part" | "fetch") { "storage_requests" } else { "api_requests" }, 1);
        match request.kind {
            "part" => count("bytes_uploaded", request.bytes),
            "fetch" => count("bytes_downloaded", request.bytes),
            _ => {}
        }
        if request.status == 0 || request.status >= 400 {
            count("refused", 1);
        }
        while entries.requests.len() >= length.max(1) {
            entries.requests.pop_front();
        }
        if length > 0 {
            entries.requests.push_back(request);
        }
    }

    pub(super) fn requests(&self) -> Vec<LoggedRequest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).requests.iter().cloned().collect()
    }

    pub(super) fn counts(&self) -> BTreeMap<String, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).counts.clone()
    }

    pub(super) fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Entries::default();
    }
}
