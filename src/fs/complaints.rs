//! Lines of the log about things that fail alike: a few are told one by one, the others are counted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::failure::Failure;

/// So many are told.
const TOLD: u64 = 5;
/// After this time the others are counted up, and the next ones are told again.
const WINDOW: Duration = Duration::from_secs(10);

/// What failed: lines of one kind are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum About {
    /// Files that are not on Files.com.
    Files,
    /// Changes of names that are not made there.
    Steps,
    /// Attributes that are not sent yet.
    Attributes,
    /// Folders that cannot be listed.
    Folders,
    /// Bytes that somebody wanted to read.
    Reads,
}

impl About {
    fn are(self) -> &'static str {
        match self {
            Self::Files => "files are not on Files.com",
            Self::Steps => "changes of names are not made on Files.com",
            Self::Folders => "folders cannot be listed",
            Self::Reads => "reads failed",
            Self::Attributes => "changes of attributes are sent later",
        }
    }
}

/// How many were told of each kind and reason, lately.
#[derive(Debug, Clone, Default)]
pub(super) struct Complaints(Arc<Mutex<HashMap<(About, &'static str), u64>>>);

impl Complaints {
    fn counts(&self) -> MutexGuard<'_, HashMap<(About, &'static str), u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Is this one told by itself? Of the others, one line says how many there were.
    pub fn is_told(&self, about: About, failure: &Failure) -> bool {
        let reason = failure.kind;
        // What has no kind has a reason of its own.
        if reason.is_empty() {
            return true;
        }
        let count = {
            let mut counts = self.counts();
            let count = counts.entry((about, reason)).or_default();
            *count += 1;
            *count
        };
        if count == 1
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let complaints = self.clone();
            runtime.spawn(async move {
                tokio::time::sleep(WINDOW).await;
                complaints.sum_up(about, reason);
            });
        }
        count <= TOLD
    }

    fn sum_up(&self, about: About, reason: &'static str) {
        let count = self.counts().remove(&(about, reason)).unwrap_or(0);
        if let Some(more) = count.checked_sub(TOLD).filter(|more| *more > 0) {
            tracing::error!("and {more} more {}, for the same reason; {reason}", about.are());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_that_fail_alike_a_few_are_told_and_the_rest_is_counted() {
        let complaints = Complaints::default();
        let told = |about, kind| {
            let failure = Failure { kind, ..Failure::new(libc::EACCES, "refused") };
            (0..40).filter(|_| complaints.is_told(about, &failure)).count()
        };
        assert_eq!((told(About::Files, "the key"), told(About::Files, "the quota")), (5, 5));
        assert_eq!((told(About::Steps, "the key"), told(About::Files, "")), (5, 40));
        complaints.sum_up(About::Files, "the key");
        assert_eq!((told(About::Files, "the key"), told(About::Files, "the quota")), (5, 0));
    }
}
