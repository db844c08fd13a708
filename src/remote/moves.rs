//! Renames and copies, which may go on at the service after the call was answered.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::call::Call;
use super::client::Client;
use super::error::Error;
use super::error_kind::ErrorKind;
use super::retry;
use super::transport::Answer;
use super::wire::{Fields, Misread};
use crate::model::path::RemotePath;

impl Client {
    /// Moves a file or a folder, and waits until the service has done it. After a lost answer both
    /// ends are looked at: the source gone and the destination there is a success.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`] without `overwrite`, [`ErrorKind::ParentMissing`],
    /// [`ErrorKind::NotFound`]; [`ErrorKind::OutcomeUnknown`] where neither an answer
    /// nor a look tells what became of it.
    pub async fn rename(&self, from: &RemotePath, to: &RemotePath, overwrite: bool) -> Result<(), Error> {
        let end = Instant::now() + self.0.options.network_timeout;
        let mut tries = 0;
        loop {
            tries += 1;
            let error = match self.move_once(from, to, overwrite).await {
                Err(error) if error.kind() == ErrorKind::OutcomeUnknown => error,
                // What a second attempt meets when the first one was carried out after all.
                Err(error)
                    if tries > 1 && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Exists) =>
                {
                    error
                }
                settled => return settled,
            };
            if self.looks_done(from, to).await {
                return Ok(());
            }
            // The source is still there: it did not arrive, or is not done yet. Asking again does
            // what was asked, once.
            let wait = retry::pause(tries, rand::random());
            if error.kind() != ErrorKind::OutcomeUnknown || Instant::now() + wait >= end {
                return Err(error);
            }
            sleep(wait).await;
        }
    }

    /// Copies a file to a name that is free, and waits until the service has done it. After a lost answer the
    /// destination is looked at: whoever calls compares it with the source in any case. Times and metadata of
    /// the copy may be others.
    ///
    /// # Errors
    /// As of [`Self::rename`].
    pub async fn copy(&self, from: &RemotePath, to: &RemotePath) -> Result<(), Error> {
        let end = Instant::now() + self.0.options.network_timeout;
        let mut tries = 0;
        loop {
            tries += 1;
            let parameters = json!({ "destination": to.as_str(), "overwrite": false });
            let call = Call::post("copy", "/file_actions/copy", parameters).path(from).only_once();
            let outcome = match self.call(call).await {
                Ok(answer) => self.wait("copy", &answer).await,
                Err(error) => Err(error),
            };
            let error = match outcome {
                Err(error) if error.kind() == ErrorKind::OutcomeUnknown => error,
                // What a second attempt meets when the first one was carried out after all.
                Err(error) if tries > 1 && error.kind() == ErrorKind::Exists => error,
                settled => return settled,
            };
            if matches!(self.stat(to).await, Ok(Some(_))) {
                return Ok(());
            }
            let wait = retry::pause(tries, rand::random());
            if error.kind() != ErrorKind::OutcomeUnknown || Instant::now() + wait >= end {
                return Err(error);
            }
            sleep(wait).await;
        }
    }

    async fn move_once(&self, from: &RemotePath, to: &RemotePath, overwrite: bool) -> Result<(), Error> {
        let parameters = json!({ "destination": to.as_str(), "overwrite": overwrite });
        let call = Call::post("move", "/file_actions/move", parameters).path(from).only_once();
        self.wait("move", &self.call(call).await?).await
    }

    /// Is the source gone and the destination there?
    async fn looks_done(&self, from: &RemotePath, to: &RemotePath) -> bool {
        matches!(self.stat(from).await, Ok(None)) && matches!(self.stat(to).await, Ok(Some(_)))
    }

    /// Waits until the service has done what `answer` says it has begun. Every item it moves counts
    /// as progress; without any it is given up, its outcome unknown.
    async fn wait(&self, what: &str, answer: &Answer) -> Result<(), Error> {
        let asked = &answer.asked;
        let unknown = |error: Error| error.with(|d| d.kind = ErrorKind::OutcomeUnknown);
        let started = read(answer)?;
        if let Some(settled) = started.settled(what, asked) {
            return settled;
        }
        let Some(id) = started.id else {
            let happened = "begun, with no way to ask how it goes";
            return Err(Error::new(ErrorKind::OutcomeUnknown, asked, happened));
        };
        let mut before = started;
        let mut progress = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            let call = Call::get("migration", format!("/file_migrations/{id}"));
            // A key may be barred from seeing it; what became of it can still be seen at its ends.
            let now = read(&self.call(call).await.map_err(unknown)?)?;
            if let Some(settled) = now.settled(what, asked) {
                return settled;
            }
            if now != before {
                progress = Instant::now();
                before = now;
            }
            if progress.elapsed() >= self.0.options.network_timeout {
                let happened = "the service began and did not end it in time";
                return Err(Error::new(ErrorKind::OutcomeUnknown, asked, happened));
            }
        }
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How far a move or copy, which the service calls a migration, has come.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Migration {
    id: Option<u64>,
    status: String,
    items: Option<u64>,
    failure: Option<String>,
}

impl Migration {
    fn is_done(&self) -> bool {
        matches!(self.status.as_str(), "completed" | "complete")
    }

    /// How it ended. Words that are not known mean that it goes on.
    fn settled(&self, what: &str, asked: &str) -> Option<Result<(), Error>> {
        match self.status.as_str() {
            "failed" | "cancelled" | "canceled" => {
                let why = self.failure.as_deref().unwrap_or("no reason given");
                let happened = format!("the service ended the {what} as {}: {why}", self.status);
                Some(Err(Error::new(ErrorKind::Refused, asked, happened)))
            }
            _ => self.is_done().then_some(Ok(())),
        }
    }
}

fn read(answer: &Answer) -> Result<Migration, Error> {
    // A yes without a body is a yes.
    if answer.body.is_empty() {
        return Ok(Migration { id: None, status: "completed".into(), items: None, failure: None });
    }
    let misread = |misread: Misread| misread.error(&answer.asked);
    let read = || -> Result<Migration, Error> {
        let value = answer.json()?;
        let fields = Fields::of(&value, "migration").map_err(misread)?;
        Ok(Migration {
            id: fields.number("file_migration_id").map_err(misread)?,
            status: fields.text("status").map_err(misread)?.unwrap_or("pending").to_ascii_lowercase(),
            items: fields.number("files_moved").map_err(misread)?,
            failure: fields.text("failure_message").map_err(misread)?.map(str::to_owned),
        })
    };
    // The service said yes; only to what was not understood.
    read().map_err(|error| error.with(|d| d.kind = ErrorKind::OutcomeUnknown))
}
