//! Answers what is asked over the control socket.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::control::{self, Request};
use super::options::Options;
use super::presence::Presence;
use super::reload::Keyring;
use crate::fs::{Filesystem, Scope};
use crate::local::journal::kept_aside;
use crate::model::failure::Failure;
use crate::model::policy::Close;
use crate::remote::{Client, LaneStatus};

/// How long a mount that is left on purpose while it owes something (`umount --lazy`) goes on sending.
pub(super) const FAREWELL: Duration = Duration::from_secs(5);

/// Set once somebody told the mount to end: how long it may go on sending.
pub(super) type Ending = Arc<watch::Sender<Option<Duration>>>;

/// What the status says besides what the filesystem knows.
pub(super) struct Facts {
    site: String,
    folder: String,
    close: Close,
    client: Client,
    /// What lies in the folder that the mount hides.
    hidden: usize,
    /// Damaged journals that were set aside, now or earlier, and that nobody took away.
    damaged_journals: Vec<PathBuf>,
}

impl Facts {
    pub fn of(options: &Options, client: Client, hidden: usize) -> Self {
        let site = options.base.as_str().trim_end_matches('/').to_owned();
        let damaged_journals = kept_aside(&options.state_dir.join("journal.sqlite"));
        let (folder, close) = (options.folder.to_string(), options.close);
        Self { site, folder, close, client, hidden, damaged_journals }
    }
}

/// Answers what is asked over the control socket.
pub(super) struct Desk {
    pub fs: Arc<Filesystem>,
    pub facts: Facts,
    pub ending: Ending,
    pub presence: Arc<Presence>,
    pub keyring: Arc<Keyring>,
}

impl Desk {
    /// The answer to one request, and who gives it: as it is when the answer is known, not before.
    pub async fn answer(&self, request: Request) -> Value {
        let mut answer = self.outcome(request).await;
        if let Value::Object(fields) = &mut answer {
            fields.insert("mount".to_owned(), json!(self.presence.said()));
        }
        answer
    }

    async fn outcome(&self, request: Request) -> Value {
        match request {
            Request::Status => self.status(),
            Request::Drain { timeout_ms, path } => {
                let limit = Duration::from_millis(timeout_ms);
                let left = match Scope::parse(&path) {
                    Ok(scope) => self.fs.sync(&scope, limit).await,
                    Err(failure) => Err(failure),
                };
                told(left.map(|left| {
                    json!({
                        "owed": { "files": left.files, "bytes": left.bytes, "attributes": left.attributes },
                        "held": left.held,
                        "errors": left.errors,
                        "waiting": left.waiting,
                        "open": left.open,
                        "sent": left.sent,
                        "causes": left.causes,
                        "weak": self.fs.weak(),
                    })
                }))
            }
            Request::Manifest { path, after } => {
                let page = match Scope::parse(&path) {
                    Ok(scope) => self.fs.manifest(&scope, &after).await,
                    Err(failure) => Err(failure),
                };
                told(page.map(|page| json!(page)))
            }
            Request::Held { paths } => told(
                scopes(&paths)
                    .and_then(|scopes| self.fs.held_things(&scopes))
                    .map(|held| json!({ "held": held })),
            ),
            Request::Retry { paths } => told(match scopes(&paths) {
                Ok(scopes) => self.fs.retry(&scopes).await.map(|decided| json!({ "retried": decided })),
                Err(failure) => Err(failure),
            }),
            Request::Discard { paths, all, .. } if all != paths.is_empty() => {
                json!({ "error": "discard wants either paths or all" })
            }
            Request::Discard { paths, keys, .. } => told(match scopes(&paths) {
                Ok(scopes) => {
                    self.fs.discard(&scopes, &keys).await.map(|decided| json!({ "discarded": decided }))
                }
                Err(failure) => Err(failure),
            }),
            Request::Refresh { path } => {
                let folders = Scope::parse(&path).map(|scope| self.fs.refresh(&scope));
                self.fs.kernel_is_told().await;
                told(folders.map(|folders| json!({ "folders": folders })))
            }
            Request::Reload { timeout_ms } => self.reload(Duration::from_millis(timeout_ms)).await,
            Request::Stop => {
                self.ending.send_replace(Some(FAREWELL));
                json!({ "stopping": true })
            }
        }
    }

    /// Reads the credentials again; says the outcome here and in the log.
    pub async fn reload(&self, patience: Duration) -> Value {
        match self.keyring.reload(patience).await {
            Ok(expires) => {
                self.fs.try_again();
                tracing::info!("the new credentials are good, and in use");
                json!({ "reloaded": true, "key_expires_at": expires.map(|expires| expires.to_string()) })
            }
            Err(unchanged) => {
                tracing::error!("the credentials stay as they were: {unchanged}");
                let kind = unchanged.kind().map(|kind| format!("{kind:?}"));
                json!({ "reloaded": false, "kind": kind, "message": unchanged.to_string() })
            }
        }
    }

    fn status(&self) -> Value {
        let (up, down) = self.facts.client.bandwidth();
        let now = self.facts.client.concurrency();
        let lane = |lane: LaneStatus| json!({ "limit": lane.limit, "under_way": lane.under_way, "waiting": lane.waiting });
        let mut status = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "protocol": control::PROTOCOL,
            "pid": std::process::id(),
            "site": self.facts.site,
            "folder": self.facts.folder,
            "close": self.facts.close.name(),
            "key_expires_at": self.keyring.expires().map(|expires| expires.to_string()),
            "hidden": self.facts.hidden,
            "damaged_journals": self.facts.damaged_journals,
            "clock_skew_seconds": self.facts.client.clock_skew(),
            "bandwidth": { "up": up, "down": down },
            "concurrency": {
                "calls": lane(now.calls),
                "uploads": lane(now.uploads),
                "downloads": lane(now.downloads),
                "files": lane(now.files),
                "pause_seconds": now.pause.map(|pause| pause.as_secs_f64().ceil() as u64),
            },
        });
        if let (Value::Object(status), Value::Object(more)) = (&mut status, self.fs.status()) {
            status.extend(more);
        }
        status
    }
}

/// An answer, or why there is none.
fn told(outcome: Result<Value, Failure>) -> Value {
    outcome.unwrap_or_else(|failure| json!({ "error": failure.to_string() }))
}

fn scopes(paths: &[String]) -> Result<Vec<Scope>, Failure> {
    paths.iter().map(|path| Scope::parse(path)).collect()
}
