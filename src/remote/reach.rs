//! Can Files.com be reached? Known from the calls that are made anyway.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use super::error::Error;
use super::error_kind::ErrorKind;

/// What the last call that ended says, and whether any was ever answered.
#[derive(Debug)]
pub(super) struct Reach(watch::Sender<bool>, AtomicBool);

impl Default for Reach {
    fn default() -> Self {
        Self(watch::Sender::new(true), AtomicBool::new(false))
    }
}

impl Reach {
    /// A call ended. A refusal is an answer; only one that found nobody, for all its patience, says that
    /// nobody is there. One whose outcome is not known says nothing: somebody may have heard it.
    pub fn learn<T>(&self, outcome: &Result<T, Error>) {
        let reached = match outcome {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::OutcomeUnknown => return,
            Err(error) => !is_out_of_reach(error.kind()),
        };
        self.1.fetch_or(reached, Ordering::Relaxed);
        self.0.send_if_modified(|known| std::mem::replace(known, reached) != reached);
    }

    /// Was anybody ever there? Else the name may be a wrong one.
    pub fn has_answered(&self) -> bool {
        self.1.load(Ordering::Relaxed)
    }

    pub fn watch(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }
}

/// Does an error say that nobody was there to answer?
pub fn is_out_of_reach(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Network | ErrorKind::Timeout | ErrorKind::HostUnknown | ErrorKind::Unavailable)
}
