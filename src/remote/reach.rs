//! Can Files.com be asked at all? Known from the calls that are made anyway, and from one look at a time.
//!
//! A call that finds nobody, or whose key is refused, makes it doubtful; a look tells ([`Client::look_for_it`]).
//! Once it is known, nobody asks in vain any more: every call fails at once, with what the look was told, but for
//! the looks. The first that gets through opens the way for all. A site without room refuses only what is sent to it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use tokio::sync::{Notify, watch};

use super::client::Client;
use super::error::{Error, Phase};
use super::error_kind::ErrorKind;
use crate::model::cause::{Cause, Causes, Open};
use crate::model::moment::Moment;
use crate::model::path::RemotePath;

/// What the calls that ended say.
#[derive(Debug)]
pub(super) struct Reach {
    /// Was there anybody to answer the last one?
    is_reached: watch::Sender<bool>,
    /// Was there ever anybody?
    has_answered: AtomicBool,
    causes: watch::Sender<Causes>,
    doubtful: Notify,
    /// What the look was told that found every question to be in vain.
    last: Mutex<Option<Error>>,
}

impl Default for Reach {
    fn default() -> Self {
        Self {
            is_reached: watch::Sender::new(true),
            has_answered: AtomicBool::new(false),
            causes: watch::Sender::default(),
            doubtful: Notify::new(),
            last: Mutex::default(),
        }
    }
}

impl Reach {
    /// A call ended. A refusal is an answer; only one that found nobody, for all its patience, says that
    /// nobody is there. What was not even begun says nothing, nor does one whose outcome is not known: somebody may have
    /// heard it.
    pub fn learn<T>(&self, outcome: &Result<T, Error>, is_a_look: bool) {
        let error = match outcome {
            Ok(_) => None,
            Err(error) if error.details().tries == 0 => return,
            Err(error) if error.kind() == ErrorKind::OutcomeUnknown => {
                if error.details().cause.is_some_and(is_out_of_reach) {
                    self.doubtful.notify_one();
                }
                return;
            }
            Err(error) => Some(error),
        };
        let cause = error.and_then(|error| cause_of(error.kind()));
        let reached = cause != Some(Cause::Outage);
        self.has_answered.fetch_or(reached, Ordering::Relaxed);
        self.is_reached.send_if_modified(|known| std::mem::replace(known, reached) != reached);
        match (error, cause) {
            (Some(error), Some(Cause::Quota)) => self.open(Cause::Quota, error),
            (Some(error), Some(cause)) if is_a_look => self.open(cause, error),
            (Some(_), Some(_)) => self.doubtful.notify_one(),
            // Somebody answered, who is not the service.
            (Some(error), None) if error.kind() == ErrorKind::Intercepted => {}
            (Some(error), None) => {
                self.close(Cause::Outage);
                if error.details().phase == Phase::Answered && error.kind() != ErrorKind::Protocol {
                    self.close(Cause::Key);
                }
            }
            (None, _) => {
                self.close(Cause::Outage);
                self.close(Cause::Key);
            }
        }
    }

    /// The storage refused bytes: is that for want of room?
    pub fn learn_of_room(&self, error: &Error) {
        if cause_of(error.kind()) == Some(Cause::Quota) {
            self.open(Cause::Quota, error);
        }
    }

    fn open(&self, cause: Cause, error: &Error) {
        if cause == Cause::Key {
            // It was an answer.
            self.close(Cause::Outage);
        }
        let why = format!("{error}; {}", error.remedy());
        let open = Open { cause, since: Instant::now(), at: Moment::from(SystemTime::now()), why };
        let is_new = self.causes.send_if_modified(|causes| causes.open(open.clone()));
        if is_new {
            if cause.stops_everything() {
                *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
            }
            tracing::warn!(
                "{}; what is owed is kept here, and sent when that is over: {}",
                cause.is(),
                open.why
            );
        }
    }

    /// A cause is gone, if it was there.
    pub fn close(&self, cause: Cause) {
        let mut lasted = None;
        self.causes.send_if_modified(|causes| {
            lasted = causes.close(cause, Instant::now());
            lasted.is_some()
        });
        if let Some(lasted) = lasted {
            tracing::info!("{}, after {} s; what waited goes on", cause.was(), lasted.as_secs());
        }
    }

    /// Why nobody needs to ask, where that is known.
    pub fn refusal(&self, asked: &str) -> Option<Error> {
        let since = self.causes.borrow().stops_everything()?.since;
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let happened = format!("not asked, since {} s ago: {last}", since.elapsed().as_secs());
        Some(Error::new(last.kind(), asked, happened).with(|d| (d.phase, d.tries) = (Phase::Unsent, 0)))
    }

    /// Was anybody ever there? Else the name may be a wrong one.
    pub fn has_answered(&self) -> bool {
        self.has_answered.load(Ordering::Relaxed)
    }

    pub fn watch(&self) -> watch::Receiver<bool> {
        self.is_reached.subscribe()
    }
}

impl Client {
    /// What keeps everything from being asked or sent at the moment; changes when that changes.
    pub fn causes(&self) -> watch::Receiver<Causes> {
        self.0.reach.causes.subscribe()
    }

    /// Comes back when a call failed in a way that others may meet as well: time for a look. Dropped meanwhile, the
    /// next who waits is told.
    pub async fn until_doubtful(&self) {
        self.0.reach.doubtful.notified().await;
    }

    /// One look, by whoever looks for all others: may `folder` be listed? It asks once, whatever is known.
    ///
    /// # Errors
    /// What keeps it from being answered. From then on that is what others are told, if it is nobody's matter alone.
    pub async fn look_for_it(&self, folder: &RemotePath) -> Result<(), Error> {
        self.look_at_one_entry(folder).await
    }
}

/// Does an error say that nobody was there to answer?
pub fn is_out_of_reach(kind: ErrorKind) -> bool {
    cause_of(kind) == Some(Cause::Outage)
}

/// What an error says of all others that would be asked now.
fn cause_of(kind: ErrorKind) -> Option<Cause> {
    match kind {
        ErrorKind::Network | ErrorKind::Timeout | ErrorKind::HostUnknown | ErrorKind::Unavailable => {
            Some(Cause::Outage)
        }
        ErrorKind::Authentication | ErrorKind::SecondFactor => Some(Cause::Key),
        ErrorKind::Quota | ErrorKind::Account => Some(Cause::Quota),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(kind: ErrorKind) -> Result<(), Error> {
        Err(Error::new(kind, "GET /x", "it failed"))
    }

    #[test]
    fn one_who_finds_nobody_makes_it_doubtful_and_a_look_makes_it_known() {
        let reach = Reach::default();
        reach.learn(&failed(ErrorKind::Network), false);
        assert!(!*reach.watch().borrow() && reach.refusal("GET /y").is_none());
        reach.learn(&failed(ErrorKind::Network), true);
        let told = reach.refusal("GET /y").unwrap();
        assert_eq!((told.kind(), told.details().phase), (ErrorKind::Network, Phase::Unsent));
        reach.learn(&Err::<(), _>(told), false);
        assert!(reach.refusal("GET /y").is_some(), "what was not asked tells nothing");
        reach.learn(&failed(ErrorKind::NotFound), false);
        assert!(*reach.watch().borrow() && reach.refusal("GET /y").is_none(), "an answer");
    }

    #[test]
    fn a_key_that_is_refused_stops_all_until_it_is_accepted_and_a_full_site_does_not() {
        let reach = Reach::default();
        reach.learn(&failed(ErrorKind::Quota), false);
        assert!(reach.refusal("GET /y").is_none() && reach.causes.borrow().get(Cause::Quota).is_some());
        reach.learn(&failed(ErrorKind::Authentication), true);
        assert_eq!(reach.refusal("GET /y").unwrap().kind(), ErrorKind::Authentication);
        assert!(*reach.watch().borrow(), "somebody answered");
        reach.learn(&Ok(()), true);
        assert!(reach.refusal("GET /y").is_none() && reach.causes.borrow().get(Cause::Quota).is_some());
        reach.close(Cause::Quota);
        assert_eq!(*reach.causes.borrow(), Causes::default());
    }
}
