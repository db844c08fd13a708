//! When a failed attempt is made again, and how long to wait before it.
//!
//! Two questions decide: could the failure go away by itself, and could the call have been carried
//! out already? Everything here is a function of what it is given: the clock and the dice are
//! parameters.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::deadline::Deadline;
use super::error::{Error, Phase};
use super::error_kind::ErrorKind;

/// What becomes of a call that is made twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// The same as of one that is made once.
    Freely,
    /// Harm, unless the first one certainly did nothing: who asks looks before asking again, and leaves time for it.
    AfterALook,
    /// Likewise; and the first attempt gets all the time that there is.
    IfNothingHappened,
}

/// What to do after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Wait and try again.
    Again,
    /// The failure is the answer.
    GiveUp,
    /// It may have been carried out: whoever called must look.
    OutcomeUnknown,
}

/// The type that proves that nothing was done.
const NOTHING_DONE: &str = "service-unavailable/site-disabled";

/// Decides about one failed attempt.
pub(super) fn verdict(error: &Error, repeat: Repeat) -> Verdict {
    use ErrorKind::{HostUnknown, Intercepted, Network, Protocol, RateLimited, Timeout, Unavailable};
    let details = error.details();
    let transient =
        matches!(details.kind, RateLimited | Unavailable | Network | Timeout | HostUnknown | Intercepted);
    let nothing_done = match details.phase {
        Phase::Unsent => true,
        Phase::Unanswered => false,
        // An error may follow the effect, whichever it is, a limit of the rate included.
        Phase::Answered => details.api_type.as_deref() == Some(NOTHING_DONE),
    };
    match repeat {
        _ if transient && nothing_done => Verdict::Again,
        Repeat::Freely if transient => Verdict::Again,
        Repeat::Freely => Verdict::GiveUp,
        _ if transient || details.phase == Phase::Unanswered => Verdict::OutcomeUnknown,
        // An answer that says yes in words that were not understood.
        _ if details.kind == Protocol && details.status.is_none_or(|s| s < 300) => Verdict::OutcomeUnknown,
        _ => Verdict::GiveUp,
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How long to wait before attempt `tries + 1`: doubling, with up to half of it left to `jitter`
/// (0 to 1), so that many who failed together do not come back together.
pub(super) fn pause(tries: u32, jitter: f64) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << tries.saturating_sub(1).min(10));
    doubled.min(LONGEST_PAUSE).mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
}

/// No longer wait than this is believed.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Reads `Retry-After`: seconds or an HTTP date.
pub(super) fn retry_after(header: &str, now: SystemTime) -> Option<Duration> {
    let header = header.trim();
    let wait = match header.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(header).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(wait.min(LONGEST_RETRY_AFTER))
}

/// How long one request may go on being tried: for its own time, and no longer than the call on whose behalf it is
/// made.
#[derive(Debug, Clone)]
pub(super) struct Patience {
    limit: Duration,
    deadline: Instant,
    call: Option<Deadline>,
    tries: u32,
}

/// So often a name that does not exist is looked up, for the sake of a resolver that is just starting.
const TRIES_OF_A_NAME: u32 = 4;
/// The share of what is left that is kept for a look, when an answer may be lost.
const FOR_A_LOOK: f64 = 0.25;

/// More attempts than this are never made.
const MOST_TRIES: u32 = 12;

/// Nor more than this where something refuses that is not the service.
const TRIES_PAST_A_STRANGER: u32 = 4;

impl Patience {
    /// Patience for `limit` from `now` on.
    pub fn new(now: Instant, limit: Duration) -> Self {
        Self { limit, deadline: now + limit, call: Deadline::current(), tries: 0 }
    }

    /// When patience ends.
    pub fn deadline(&self) -> Instant {
        self.end_of_call().map_or(self.deadline, |end| end.min(self.deadline))
    }

    /// When the call on whose behalf it is ends, where somebody waits for it.
    fn end_of_call(&self) -> Option<Instant> {
        self.call.as_ref().and_then(Deadline::end)
    }

    /// How long one attempt may take. What can be repeated gets half of the time, so that there is time for a second
    /// one; what cannot gets all of it, but for the look at what became of it, where the call's time is to do for both.
    pub fn attempt_limit(&self, now: Instant, repeat: Repeat) -> Duration {
        let left = self.deadline().saturating_duration_since(now);
        match repeat {
            Repeat::Freely | Repeat::AfterALook => left.min(stall_limit(self.limit)),
            Repeat::IfNothingHappened if self.end_of_call().is_some() => left.mul_f64(1.0 - FOR_A_LOOK),
            Repeat::IfNothingHappened => left,
        }
    }

    /// A host of a name that nobody knows was asked often enough, where none ever answered.
    pub fn has_tried_a_name(&self) -> bool {
        self.tries >= TRIES_OF_A_NAME
    }

    /// Is no time left even for a first attempt? One that is cut off at once would only leave a doubt.
    pub fn is_over(&self, now: Instant) -> bool {
        now + self.limit / 50 >= self.deadline()
    }

    /// So long it waited for other calls of ours: that time was none of the service's.
    pub fn waited(&mut self, time: Duration) {
        self.deadline += time;
    }

    /// Is no time left for an attempt that begins at `start`?
    pub fn ends_before(&self, start: Instant) -> bool {
        start + self.limit / 10 >= self.deadline()
    }

    /// Bytes moved: the time counts afresh. The number of attempts does not.
    pub fn progressed(&mut self, now: Instant) {
        self.deadline = now + self.limit;
    }

    /// An error that ends the call, with what was tried before it.
    pub fn told(&self, error: Error) -> Error {
        error.with(|d| d.tries = self.tries)
    }

    /// Takes note of a failure: how long to wait before the next attempt, or the error that ends the
    /// call.
    pub fn after(
        &mut self,
        error: Error,
        repeat: Repeat,
        now: Instant,
        jitter: f64,
    ) -> Result<Duration, Error> {
        let mut wait = self.again(error.details().retry_after, now, jitter);
        if error.kind() == ErrorKind::Intercepted {
            // One that is set up so answers no other way for all patience.
            wait = wait.filter(|_| self.tries < TRIES_PAST_A_STRANGER);
        }
        match verdict(&error, repeat) {
            Verdict::GiveUp => return Err(self.told(error)),
            Verdict::OutcomeUnknown => {
                return Err(self.told(error).with(|d| {
                    d.cause = Some(d.kind);
                    d.kind = ErrorKind::OutcomeUnknown;
                    d.happened = format!("it may have been done, and no answer tells: {}", d.happened);
                }));
            }
            Verdict::Again => {}
        }
        wait.ok_or_else(|| self.told(error))
    }

    /// An attempt ended: how long to wait before the next one; `None` where patience ends.
    pub fn again(&mut self, retry_after: Option<Duration>, now: Instant, jitter: f64) -> Option<Duration> {
        self.tries += 1;
        let wait = retry_after.unwrap_or_else(|| pause(self.tries, jitter));
        // An attempt without time would end as a timeout, and hide why the others failed.
        (self.tries < MOST_TRIES && !self.ends_before(now + wait)).then_some(wait)
    }
}

/// How long nothing may come before an attempt counts as dead.
pub(super) fn stall_limit(network_timeout: Duration) -> Duration {
    (network_timeout / 2).min(Duration::from_secs(30))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ErrorKind::*;

    fn error(kind: ErrorKind, phase: Phase) -> Error {
        Error::new(kind, "POST /x", "it failed").with(|d| d.phase = phase)
    }

    #[test]
    fn what_may_have_been_done_is_never_repeated() {
        use Phase::*;
        let table = [
            (Network, Unsent, Verdict::Again),
            (HostUnknown, Unsent, Verdict::Again),
            (Tls, Unsent, Verdict::GiveUp),
            (Network, Unanswered, Verdict::OutcomeUnknown),
            (Timeout, Unanswered, Verdict::OutcomeUnknown),
            (Unavailable, Answered, Verdict::OutcomeUnknown),
            (RateLimited, Answered, Verdict::OutcomeUnknown),
            (Exists, Answered, Verdict::GiveUp),
            (Protocol, Answered, Verdict::OutcomeUnknown),
        ];
        for (kind, phase, expected) in table {
            let verdict = verdict(&error(kind, phase), Repeat::IfNothingHappened);
            assert_eq!(verdict, expected, "{kind:?} {phase:?}");
        }
        let disabled = error(Unavailable, Answered).with(|d| d.api_type = Some(NOTHING_DONE.into()));
        assert_eq!(verdict(&disabled, Repeat::IfNothingHappened), Verdict::Again);
    }

    #[test]
    fn only_what_is_transient_is_repeated() {
        for kind in [RateLimited, Unavailable, Network, Timeout, HostUnknown, Intercepted] {
            assert_eq!(verdict(&error(kind, Phase::Unanswered), Repeat::Freely), Verdict::Again, "{kind:?}");
        }
        for kind in [Authentication, Permission, NotFound, Exists, Tls, Protocol, UrlExpired, BadRequest] {
            assert_eq!(verdict(&error(kind, Phase::Answered), Repeat::Freely), Verdict::GiveUp, "{kind:?}");
        }
    }

    #[test]
    fn pauses_double_and_stay_within_their_bounds() {
        assert_eq!((pause(1, 1.0), pause(2, 1.0)), (FIRST_PAUSE, FIRST_PAUSE * 2));
        assert_eq!((pause(1, 0.0), pause(1, -3.0)), (FIRST_PAUSE / 2, FIRST_PAUSE / 2));
        assert_eq!(pause(u32::MAX, 7.0), LONGEST_PAUSE);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_bounded() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let later = httpdate::fmt_http_date(now + Duration::from_secs(8));
        assert_eq!(retry_after("5", now), Some(Duration::from_secs(5)));
        assert_eq!(retry_after(&later, now), Some(Duration::from_secs(8)));
        assert_eq!(retry_after("Thu, 01 Jan 1970 00:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("86400", now), Some(LONGEST_RETRY_AFTER));
        assert_eq!(retry_after("soon", now), None);
    }

    #[test]
    fn patience_ends_with_the_time_it_was_given() {
        let start = Instant::now();
        let mut patience = Patience::new(start, Duration::from_secs(1));
        let lost = || error(Network, Phase::Unanswered);
        assert_eq!(patience.after(lost(), Repeat::Freely, start, 1.0).unwrap(), FIRST_PAUSE);
        let late = start + Duration::from_millis(900);
        let end = patience.after(lost(), Repeat::Freely, late, 1.0).unwrap_err();
        assert_eq!(end.details().tries, 2);
        patience.progressed(late);
        assert!(patience.after(lost(), Repeat::Freely, late, 1.0).is_ok());
    }

    #[tokio::test]
    async fn one_deadline_is_for_all_requests_of_a_call_whatever_each_of_them_tries() {
        let limit = Duration::from_secs(5);
        let call = Deadline::of_call(limit);
        let began = call.moved();
        let at = |seconds: f64| began + Duration::from_secs_f64(seconds);
        call.clone()
            .scope(async {
                let busy = || error(RateLimited, Phase::Answered);
                let mut first = Patience::new(at(0.0), limit);
                first.waited(Duration::from_secs(60));
                first.after(busy(), Repeat::Freely, at(1.0), 1.0).unwrap();
                assert_eq!(first.deadline(), at(5.0), "neither queues nor attempts put it off");
                let second = Patience::new(at(4.0), limit);
                assert_eq!(second.deadline(), at(5.0), "nor does another request");
                assert_eq!(second.attempt_limit(at(4.0), Repeat::IfNothingHappened).as_millis(), 750);
                assert!(!second.is_over(at(4.8)) && second.is_over(at(4.95)));
                call.progressed(at(4.0));
                assert_eq!(second.deadline(), at(9.0), "bytes that move do");
            })
            .await;
        assert_eq!(Patience::new(at(4.0), limit).deadline(), at(9.0), "nobody waits");
    }

    #[test]
    fn an_attempt_that_has_no_time_is_not_begun_and_the_true_reason_is_told() {
        let start = Instant::now();
        let mut patience = Patience::new(start, Duration::from_secs(1));
        let late = start + Duration::from_millis(850);
        let unknown = error(HostUnknown, Phase::Unsent);
        assert_eq!(patience.after(unknown, Repeat::Freely, late, 0.0).unwrap_err().kind(), HostUnknown);
    }

    #[test]
    fn a_wait_longer_than_patience_is_not_begun() {
        let start = Instant::now();
        let mut patience = Patience::new(start, Duration::from_secs(1));
        let busy = error(RateLimited, Phase::Answered).with(|d| d.retry_after = Some(Duration::from_secs(5)));
        assert_eq!(patience.after(busy, Repeat::Freely, start, 0.5).unwrap_err().kind(), RateLimited);
    }
}
