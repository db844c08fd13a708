//! Faults on request: what goes wrong, for which requests, how often.
//!
//! Faults wait in the order in which they were ordered; the first that fits a request is spent on it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The answer, literally.
    Answer {
        /// HTTP status.
        status: u16,
        /// Header lines.
        #[serde(default)]
        headers: Vec<(String, String)>,
        /// Body, whatever it may be.
        #[serde(default)]
        body: String,
    },
    /// A refusal of the API, in its envelope.
    Error {
        /// Such as `rate-limited/too-many-requests`; decides the status where none is given.
        kind: String,
        /// HTTP status.
        #[serde(default)]
        status: Option<u16>,
        /// Value of `Retry-After`.
        #[serde(default)]
        retry_after: Option<String>,
    },
    /// A refusal of the storage, in XML.
    Storage {
        /// HTTP status.
        status: u16,
        /// Such as `SlowDown`.
        code: String,
        /// Value of `Retry-After`.
        #[serde(default)]
        retry_after: Option<String>,
    },
    /// The HTML page of a proxy in front.
    Proxy {
        /// HTTP status, such as 502.
        status: u16,
    },
    /// The connection is reset without an answer.
    Reset,
    /// No answer, ever. Before the effect, the body of the request is not read either.
    Stall,
    /// The answer is late.
    Delay {
        /// By how much.
        ms: u64,
    },
    /// The request waits until the faults are cancelled, and then goes its way.
    Hold {
        /// Or until so many requests wait at once: then all of them go on, and the order is over. 0 waits for the
        /// cancelling alone.
        #[serde(default)]
        until: usize,
    },
    /// The connection ends inside the answer's body.
    TruncateBody {
        /// Bytes that still come.
        at: u64,
    },
    /// The answer's body stops and the connection stays open.
    StallBody {
        /// Bytes that still come.
        at: u64,
    },
    /// One byte of the answer's body has a flipped bit.
    FlipBody {
        /// Which.
        at: u64,
    },
    /// One byte of a part arrives with a flipped bit; the ETag is honest about it.
    FlipPart,
    /// One byte of a part is stored with a flipped bit; its ETag is that of the bytes sent.
    FlipStored,
    /// The connection is reset in the middle of a part; nothing of it is stored.
    CutPart {
        /// Bytes that are still read.
        at: u64,
    },
    /// A part arrives cut off, by a proxy on the way; the ETag is honest about it.
    TruncatePart {
        /// Bytes that arrive.
        at: u64,
    },
    /// The part's or the object's ETag is another.
    WrongEtag {
        /// Without quotes; `None` leaves the header out.
        etag: Option<String>,
    },
    /// The signed URL is past its time.
    ExpireUrl,
    /// The key of this request is refused from now on, this request included.
    RevokeKey,
    /// All sessions end.
    ExpireSessions,
    /// The move or copy becomes a migration that fails.
    MigrationFails,
    /// The move or copy becomes a migration that never ends.
    MigrationHangs,
    /// The move or copy becomes a migration that somebody cancels.
    MigrationCancelled,
    /// The upload is stored under another path, as folder settings may demand.
    CompleteElsewhere {
        /// The path.
        path: String,
    },
}

/// An order for something to go wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Kind of request, as logged; `None` fits every kind.
    #[serde(default)]
    pub kind: Option<String>,
    /// HTTP method.
    #[serde(default)]
    pub method: Option<String>,
    /// Text that the path contains.
    #[serde(default)]
    pub path: Option<String>,
    /// How many fitting requests pass unharmed first.
    #[serde(default)]
    pub skip: u64,
    /// How many requests it meets; 0 means all, until the faults are cleared.
    #[serde(default = "once")]
    pub times: u64,
    /// The request takes effect before its answer is spoilt.
    #[serde(default)]
    pub after: bool,
    /// What goes wrong.
    pub what: Effect,
}

fn once() -> u64 {
    1
}

impl Fault {
    /// Once, on the next request of `kind`, before it takes effect.
    pub fn on(kind: &str, what: Effect) -> Self {
        Self { kind: Some(kind.to_owned()), method: None, path: None, skip: 0, times: 1, after: false, what }
    }

    /// Once, on the next request whatever it is.
    pub fn on_any(what: Effect) -> Self {
        Self { kind: None, ..Self::on("", what) }
    }

    /// Only for paths that contain `text`.
    #[must_use]
    pub fn path(self, text: &str) -> Self {
        Self { path: Some(text.to_owned()), ..self }
    }

    /// Spares the first `count` fitting requests.
    #[must_use]
    pub fn skip(self, count: u64) -> Self {
        Self { skip: count, ..self }
    }

    /// Meets `count` requests; 0 means all.
    #[must_use]
    pub fn times(self, count: u64) -> Self {
        Self { times: count, ..self }
    }

    /// Lets the request take effect first.
    #[must_use]
    pub fn after_effect(self) -> Self {
        Self { after: true, ..self }
    }

    fn fits(&self, kind: &str, method: &str, path: &str) -> bool {
        self.kind.as_deref().is_none_or(|wanted| wanted == kind)
            && self.method.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
            && self.path.as_deref().is_none_or(|text| path.contains(text))
    }
}

/// An order that a request has met.
#[derive(Debug)]
pub(super) struct Met {
    pub(super) fault: Fault,
    /// How often requests had been let go by then.
    release: u64,
}

impl std::ops::Deref for Met {
    type Target = Fault;

    fn deref(&self) -> &Fault {
        &self.fault
    }
}

/// The faults that wait.
#[derive(Debug, Default)]
pub(super) struct Faults {
    waiting: Mutex<Vec<Fault>>,
    /// So that a request without faults takes no lock.
    count: AtomicUsize,
    /// Requests that are held now.
    held: AtomicUsize,
    /// Changes whenever those that are held may go.
    releases: watch::Sender<u64>,
}

/// Counts a request as held, also one that its client gives up.
struct Held<'a>(&'a AtomicUsize);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Faults {
    pub(super) fn inject(&self, fault: Fault) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push(fault);
        self.count.store(waiting.len(), Ordering::Release);
    }

    pub(super) fn clear(&self) {
        self.cancel(|_| false);
    }

    /// Cancels orders, and lets go what is held.
    fn cancel(&self, stays: impl FnMut(&Fault) -> bool) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(stays);
        self.count.store(waiting.len(), Ordering::Release);
        self.releases.send_modify(|release| *release += 1);
    }

    /// Holds a request that met [`Effect::Hold`]. Where the client gives up, it is held no more, and nothing is lost.
    pub(super) async fn hold(&self, until: usize, met: &Met) {
        let mut releases = self.releases.subscribe();
        let held = self.held.fetch_add(1, Ordering::AcqRel) + 1;
        let _held = Held(&self.held);
        if until > 0 && held >= until {
            return self.cancel(|fault| !matches!(fault.what, Effect::Hold { .. }));
        }
        // The sender lives as long as these faults.
        let _ = releases.wait_for(|release| *release != met.release).await;
    }

    /// How many requests are held now.
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Acquire)
    }

    pub(super) fn waiting(&self) -> Vec<Fault> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What goes wrong with this request.
    pub(super) fn meet(&self, kind: &str, method: &str, path: &str) -> Option<Met> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut at = 0;
        while at < waiting.len() {
            if waiting[at].fits(kind, method, path) {
                if waiting[at].skip == 0 {
                    break;
                }
                waiting[at].skip -= 1;
            }
            at += 1;
        }
        let met = waiting.get(at)?.clone();
        match met.times {
            0 => {}
            1 => drop(waiting.remove(at)),
            more => waiting[at].times = more - 1,
        }
        self.count.store(waiting.len(), Ordering::Release);
        Some(Met { fault: met, release: *self.releases.borrow() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_spares_the_first_and_is_spent() {
        let faults = Faults::default();
        assert!(faults.meet("part", "PUT", "a").is_none());
        faults.inject(Fault::on("part", Effect::Reset).path("a").skip(1).times(2));
        let met: Vec<bool> =
            ["a", "b", "a", "a", "a"].iter().map(|path| faults.meet("part", "PUT", path).is_some()).collect();
        assert_eq!(met, [false, false, true, true, false]);
        assert_eq!(faults.waiting(), []);
    }
}
