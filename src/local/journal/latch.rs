//! The end of trust in the local disk: set once, by the first write or sync that failed, and never taken back
//! as long as the mount lives. What the disk kept is not known then, and asking again would tell nothing.

use std::sync::OnceLock;

use crate::model::failure::Failure;

/// Why nothing of this disk can be believed any more; empty as long as it can.
#[derive(Debug, Default)]
pub(super) struct Latch(OnceLock<Failure>);

impl Latch {
    /// Why, once it is so.
    pub fn failure(&self) -> Option<&Failure> {
        self.0.get()
    }

    /// Ends the trust. Logged once; answers with what whoever waits is told.
    pub fn set(&self, why: String) -> Failure {
        let failure = Failure::new(libc::EIO, why.clone());
        if self.0.set(failure.clone()).is_ok() {
            tracing::error!(
                "{why}; the mount is read-only until the next one, and what is owed stays in the spool"
            );
        }
        failure
    }
}
