//! How often the service was asked, and what its clock said. Every API request may cost the user
//! money.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Requests since the client was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Calls {
    /// By kind: `list`, `stat`, `begin_upload`, …, and `storage_put`, `storage_get`, which are not
    /// requests to the API. Repeated attempts count.
    pub by_kind: BTreeMap<&'static str, u64>,
    /// How many of them were repetitions after a failure.
    pub retries: u64,
}

/// Counts them.
#[derive(Debug, Default)]
pub(super) struct Counters(Mutex<Calls>);

impl Counters {
    pub fn asked(&self, kind: &'static str) {
        *self.lock().by_kind.entry(kind).or_default() += 1;
    }

    pub fn repeated(&self) {
        self.lock().retries += 1;
    }

    pub fn read(&self) -> Calls {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Seconds that the service's clock is ahead, once an answer has told it.
#[derive(Debug)]
pub(super) struct ClockSkew(AtomicI64);

const UNKNOWN: i64 = i64::MIN;

impl Default for ClockSkew {
    fn default() -> Self {
        Self(AtomicI64::new(UNKNOWN))
    }
}

impl ClockSkew {
    pub fn set(&self, seconds: i64) {
        self.0.store(seconds, Ordering::Relaxed);
    }

    pub fn get(&self) -> Option<i64> {
        let seconds = self.0.load(Ordering::Relaxed);
        (seconds != UNKNOWN).then_some(seconds)
    }
}
