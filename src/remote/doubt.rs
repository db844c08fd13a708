//! Changes that must not be made twice: asked for until it is known what became of them.
//!
//! A request that changes something may have been carried out although its answer is an error, whichever it is: a
//! broken connection, a 429, a 500. It is in doubt, too, where the answer says yes without saying to what. Who is in
//! doubt looks, and asks again only for what the look shows to be undone:
//!
//! ```text
//! loop {
//!     match ask().await {
//!         Ok(made) => return Ok(made),
//!         Err(error) => doubt.after(error)?,
//!     }
//!     match doubt.look(look()).await {
//!         …            // it is made: return
//!     }
//!     doubt.ask_again().await?;
//! }
//! ```
//!
//! What a repeated request is refused with may come from its own first attempt, so that is looked at as well before
//! it is believed. Whoever drops such a loop leaves the change in doubt, and nothing else.

use std::future::Future;

use tokio::time::{Instant, sleep, timeout_at};

use super::client::Client;
use super::error::Error;
use super::error_kind::ErrorKind;
use super::reach::is_out_of_reach;
use super::retry::Patience;
use super::transport::Answer;

/// A change that may have been made.
pub(super) struct Doubt<'a> {
    client: &'a Client,
    patience: Patience,
    /// Why it came into doubt.
    first: Option<Error>,
    /// What it was answered last.
    last: Option<Error>,
    look: Look,
}

/// How the last look ended.
enum Look {
    /// It told that nothing is done.
    Told,
    Failed(ErrorKind),
    Late,
}

impl Client {
    /// For a change that is about to be asked for.
    pub(super) fn doubt(&self) -> Doubt<'_> {
        let patience = Patience::new(Instant::now(), self.0.options.network_timeout);
        Doubt { client: self, patience, first: None, last: None, look: Look::Late }
    }
}

impl Doubt<'_> {
    /// The change was asked for and failed with `error`.
    ///
    /// # Errors
    /// The same, where it tells that nothing was done.
    pub fn after(&mut self, error: Error) -> Result<(), Error> {
        if error.kind() != ErrorKind::OutcomeUnknown && self.first.is_none() {
            return Err(error);
        }
        self.last = Some(error);
        Ok(())
    }

    /// What `look` shows; `None` where it fails, or does not end in time.
    pub async fn look<T>(&mut self, look: impl Future<Output = Result<T, Error>>) -> Option<T> {
        let (look, seen) = match timeout_at(self.patience.deadline(), look).await {
            Ok(Ok(seen)) => (Look::Told, Some(seen)),
            Ok(Err(error)) => (Look::Failed(error.kind()), None),
            Err(_) => (Look::Late, None),
        };
        self.look = look;
        seen
    }

    /// Nothing of the change shows: comes back when it is time to ask for it once more.
    ///
    /// # Errors
    /// What a repetition was refused with; [`ErrorKind::OutcomeUnknown`] where nothing told in time what became of it.
    pub async fn ask_again(&mut self) -> Result<(), Error> {
        let Some(error) = self.last.take() else { return Ok(()) };
        // Nobody is asked any more: what is in doubt stays so.
        if !error.was_asked() {
            return Err(self.first.take().unwrap_or(error));
        }
        let is_in_doubt = error.kind() == ErrorKind::OutcomeUnknown;
        // Refused for certain; but the first attempt may be under way still, and in the way of the second.
        let may_be_its_own = matches!(
            error.kind(),
            ErrorKind::NotFound | ErrorKind::Exists | ErrorKind::Locked | ErrorKind::Refused
        );
        // Done before, and not there: somebody else undid it since.
        let was_undone = error.api_type() == Some(DONE_BEFORE) && matches!(self.look, Look::Told);
        if was_undone || !is_in_doubt && !may_be_its_own {
            return Err(error);
        }
        let wait = self.patience.again(error.details().retry_after, Instant::now(), rand::random());
        // That it was done before says less than what kept its answer away.
        let says_why = is_in_doubt && error.api_type() != Some(DONE_BEFORE);
        let error = if says_why { error } else { self.first.take().unwrap_or(error) };
        let Some(wait) = wait else {
            let cause = error.details().cause.unwrap_or(error.kind());
            return Err(match self.look {
                // Nothing of it shows: what stood in its way is what the caller is told.
                Look::Told => error.with(|d| d.kind = cause),
                Look::Failed(kind) if is_out_of_reach(kind) => error.with(|d| d.kind = kind),
                Look::Late if is_out_of_reach(cause) => error.with(|d| d.kind = cause),
                Look::Failed(_) | Look::Late => error,
            });
        };
        self.first = Some(error);
        self.client.0.counters.repeated();
        sleep(wait).await;
        Ok(())
    }
}

/// The type that says of a completion that it was carried out before.
const DONE_BEFORE: &str = "processing-failure/already-completed";

/// The error of a change that was answered with a yes to something that was not understood.
pub(super) fn in_doubt(error: Error) -> Error {
    error.with(|d| (d.cause, d.kind) = (Some(d.kind), ErrorKind::OutcomeUnknown))
}

impl Answer {
    /// This answer says yes, and not to what was asked.
    pub(super) fn says_nothing(&self) -> Error {
        let happened = "the answer does not say that it was done";
        let error = Error::new(ErrorKind::Protocol, &self.asked, happened);
        in_doubt(error.with(|d| d.status = Some(self.status)))
    }
}
