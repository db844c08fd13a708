//! The client: what it is made of, and how it is made.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use url::Url;

use super::counters::{Calls, ClockSkew, Counters};
use super::credentials::Credentials;
use super::deadline::Deadline;
use super::error::{Error, Phase};
use super::error_kind::ErrorKind;
use super::line::Line;
use super::reach::Reach;
use super::retry::Patience;
use super::session::Auth;
use super::slots::{Concurrency, Lane, Slot, Slots};
use super::transport::http_client;
use super::urls::is_this_host;
use crate::model::bandwidth::Bandwidth;
use crate::model::cause::Cause;
use crate::model::fair::Flow;

/// What a client needs to know.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Base URL of the site, without the path of the API.
    pub base: Url,
    /// Who we are.
    pub credentials: Credentials,
    /// The longest that a call may take in all, repetitions included, and the longest that a body
    /// may stand still.
    pub network_timeout: Duration,
    /// Transfers to the storage at the same time, at most: how many are worth it shows.
    pub max_uploads: usize,
    /// Transfers from the storage at the same time, at most.
    pub max_downloads: usize,
    /// What transfers to the storage may take of the line.
    pub bandwidth_up: Bandwidth,
    /// What transfers from the storage may take of it.
    pub bandwidth_down: Bandwidth,
    /// Take plain http for a host that is not this one.
    pub allow_http: bool,
}

/// The longest pause of the whole client at the service's word, as a share of the network timeout: whoever
/// comes while it lasts still asks, once, before its patience ends.
const LONGEST_PAUSE: f64 = 0.85;

/// The conversation with one site. Clones share everything.
#[derive(Clone)]
pub struct Client(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub options: ClientOptions,
    /// Talks to the API, with credentials.
    pub api: reqwest::Client,
    /// Talks to the storage, without.
    pub storage: reqwest::Client,
    pub auth: Auth,
    pub counters: Counters,
    pub clock_skew: ClockSkew,
    pub reach: Reach,
    pub slots: Slots,
    /// Shared with the bodies that are being sent and read.
    pub up: Arc<Line>,
    pub down: Arc<Line>,
}

impl Client {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// [`ErrorKind::PlainHttp`] for plain http beyond this host; [`ErrorKind::Tls`] where this host
    /// has no usable certificates.
    pub fn new(options: ClientOptions) -> Result<Self, Error> {
        let options = ClientOptions { base: site_of(&options.base), ..options };
        if options.base.scheme() != "https" && !options.allow_http && !is_this_host(&options.base) {
            let happened = "the key would cross the network unencrypted";
            return Err(Error::new(ErrorKind::PlainHttp, options.base.as_str(), happened));
        }
        let http_client = |http2| http_client(&options.base, options.network_timeout, http2);
        Ok(Self(Arc::new(Inner {
            api: http_client(true)?,
            storage: http_client(false)?,
            auth: Auth::new(options.credentials.clone()),
            counters: Counters::default(),
            clock_skew: ClockSkew::default(),
            reach: Reach::default(),
            slots: Slots::new(
                options.max_uploads,
                options.max_downloads,
                options.network_timeout.mul_f64(LONGEST_PAUSE),
            ),
            up: Arc::new(Line::new("uploads", options.bandwidth_up.clone())),
            down: Arc::new(Line::new("downloads", options.bandwidth_down.clone())),
            options,
        })))
    }

    /// Uses other credentials from now on. A call that is refused under the old ones is made again
    /// under the new ones.
    pub fn replace_credentials(&self, credentials: Credentials) {
        self.0.auth.replace(credentials);
        // Whether those are accepted is another question.
        self.0.reach.close(Cause::Key);
    }

    /// No more than `most` requests to the API at a time: each may take a descriptor of its own.
    pub fn limit_calls(&self, most: usize) {
        self.0.slots.cap(Lane::Calls, Some(most));
    }

    /// How often the service was asked, until now.
    pub fn calls(&self) -> Calls {
        self.0.counters.read()
    }

    /// Can Files.com be reached, as far as the last call tells; changes when that changes.
    pub fn reach(&self) -> watch::Receiver<bool> {
        self.0.reach.watch()
    }

    /// How many requests are under way, may be, and wait.
    pub fn concurrency(&self) -> Concurrency {
        self.0.slots.status()
    }

    /// Bytes a second that may go up and come down at this moment; `None` where nothing limits them.
    pub fn bandwidth(&self) -> (Option<u64>, Option<u64>) {
        (self.0.up.rate(), self.0.down.rate())
    }

    /// Bytes a second that have gone up lately, counted as they left this machine.
    pub fn speed_up(&self) -> f64 {
        self.0.up.speed()
    }

    /// A place for a file (or attributes) that is published with nobody waiting: there are as many as keep
    /// the line and the service busy.
    pub async fn place_for_file(&self, flow: Flow) -> Slot {
        self.0.slots.take(Lane::Files, flow, false).await
    }

    /// A place for a change of names that is made with nobody waiting.
    pub async fn place_for_step(&self, flow: Flow) -> Slot {
        self.0.slots.take(Lane::Steps, flow, false).await
    }

    /// By how many seconds the service's clock is ahead of this host's, as of its last answer.
    pub fn clock_skew(&self) -> Option<i64> {
        self.0.clock_skew.get()
    }
}

impl Inner {
    /// A place in `lane`. The time in the queue is no time of the request: it waits for our own. It is time of the call
    /// on whose behalf it is made, though: whoever comes for the first time waits on while the queue moves, and whoever
    /// returns does not. A pause that the service asked for and that outlasts all patience is an error at once: that of
    /// the attempt `before`, if this is another one. Dropped while it waits, nothing is lost but the place in the queue.
    pub async fn place(
        &self,
        lane: Lane,
        flow: Flow,
        before: Option<Error>,
        patience: &mut Patience,
        asked: &str,
    ) -> Result<Slot, Error> {
        let came = Instant::now();
        if patience.is_over(came) {
            return Err(self.late(lane, before, patience, asked));
        }
        if let Some(until) = self.slots.paused_until()
            && patience.ends_before(until)
        {
            if let Some(error) = before {
                return Err(patience.told(error));
            }
            let seconds = until.duration_since(came).as_secs_f64();
            let happened = format!("Files.com asked for a pause that still takes {seconds:.0} s");
            return Err(Error::new(ErrorKind::RateLimited, asked, happened).with(|d| d.phase = Phase::Unsent));
        }
        match lane {
            Lane::Uploads => self.slots.cap(lane, self.up.transfers()),
            Lane::Downloads => self.slots.cap(lane, self.down.transfers()),
            _ => {}
        }
        let returns = before.is_some();
        let moved = || if returns { None } else { self.slots.moved(lane) };
        match Deadline::wait(self.slots.take(lane, flow, returns), moved).await {
            Ok(slot) => {
                patience.waited(came.elapsed());
                match patience.is_over(Instant::now()) {
                    true => Err(self.late(lane, before, patience, asked)),
                    false => Ok(slot),
                }
            }
            Err(_) => Err(self.late(lane, before, patience, asked)),
        }
    }

    /// The call's time is over: why the attempt `before` failed, or why there was none.
    fn late(&self, lane: Lane, before: Option<Error>, patience: &Patience, asked: &str) -> Error {
        if let Some(error) = before {
            return patience.told(error);
        }
        let (kind, why) = match self.slots.is_refused(lane) {
            true => (ErrorKind::RateLimited, "Files.com refuses more requests"),
            false => (ErrorKind::Timeout, "others were before it"),
        };
        let limit = self.options.network_timeout;
        let happened = format!("not begun: {why}, and nothing moved for {limit:.1?}");
        Error::new(kind, asked, happened).with(|d| (d.phase, d.tries) = (Phase::Unsent, 0))
    }
}

/// The flow of what concerns one path: its requests keep their order among themselves.
pub(super) fn flow_of(path: &str) -> Flow {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

/// Takes note of what an answer says about the number of requests.
pub(super) fn learn<T>(slot: &mut Slot, outcome: &Result<T, Error>, bytes: u64) {
    match outcome {
        Ok(_) => slot.answered(bytes),
        Err(error) => {
            let details = error.details();
            match details.kind {
                ErrorKind::RateLimited => slot.refused(details.retry_after, true),
                // It may have other troubles than us: less is asked of it, and nobody else waits.
                ErrorKind::Unavailable if details.status == Some(503) => {
                    slot.refused(details.retry_after, false)
                }
                _ if details.phase == Phase::Answered && details.status.is_some_and(|s| s < 500) => {
                    slot.answered(0);
                }
                _ => {}
            }
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base", &self.0.options.base.as_str()).finish_non_exhaustive()
    }
}

/// Scheme, host and port: nothing else of a base URL is ours to send.
fn site_of(base: &Url) -> Url {
    Url::parse(&base.origin().ascii_serialization()).unwrap_or_else(|_| base.clone())
}
