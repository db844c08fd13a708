//! What is stored on the site, for df(1): asked for when somebody wants to know, at most now and then, and
//! never waited for longer than a moment.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::Filesystem;
use crate::remote::is_out_of_reach;

/// Files.com counts once a day; an answer is good for this long.
const REFRESH: Duration = Duration::from_secs(600);
/// How long the first caller waits for the first answer.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// What is known of the site's usage.
#[derive(Debug, Default)]
pub(super) struct Usage {
    bytes: Option<u64>,
    asked: Option<Instant>,
    /// The key may not know; nobody asks again.
    refused: bool,
}

impl Filesystem {
    /// Bytes that the site holds, as far as this key may know.
    pub async fn stored_bytes(self: &Arc<Self>) -> Option<u64> {
        let (known, is_due) = {
            let mut usage = self.usage();
            let is_old = usage.asked.is_none_or(|asked| asked.elapsed() >= REFRESH);
            let is_due = is_old && !usage.refused && *self.reach.borrow();
            if is_due {
                usage.asked = Some(Instant::now());
            }
            (usage.bytes, is_due)
        };
        if is_due {
            let filesystem = self.clone();
            let asking = tokio::spawn(async move { filesystem.ask_usage().await });
            if known.is_none() {
                let _ = tokio::time::timeout(FIRST_WAIT, asking).await;
            }
        }
        self.usage().bytes
    }

    async fn ask_usage(&self) {
        let answer = self.remote.usage().await;
        let mut usage = self.usage();
        match answer {
            Ok(bytes) => usage.bytes = bytes.or(usage.bytes),
            // Whoever is no administrator may not know.
            Err(error) if !is_out_of_reach(error.kind()) => {
                tracing::debug!("df shows no usage: {error}");
                usage.refused = true;
            }
            Err(_) => {}
        }
    }

    fn usage(&self) -> std::sync::MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
