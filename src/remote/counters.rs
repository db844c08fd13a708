//! How often the service was asked. Every API request may cost the user money.

use std::collections::BTreeMap;

/// Requests since the client was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Calls {
    /// By kind: `list`, `stat`, `begin_upload`, …, and `storage_put`, `storage_get`, which are not
    /// requests to the API. Repeated attempts count.
    pub by_kind: BTreeMap<&'static str, u64>,
    /// How many of them were repetitions.
    pub retries: u64,
}
