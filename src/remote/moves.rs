//! Renames and copies, which may go on at the service after the call was answered.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::call::Call;
use super::client::Client;
use super::deadline;
use super::doubt::in_doubt;
use super::error::Error;
use super::error_kind::ErrorKind;
use super::retry::Patience;
use super::transport::Answer;
use super::wire::{Fields, Misread};
use crate::model::path::RemotePath;

impl Client {
    /// Moves a file or a folder, and waits until the service has done it. In doubt, both ends are looked at: the source
    /// gone and the destination there is a success.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`] without `overwrite`, [`ErrorKind::ParentMissing`],
    /// [`ErrorKind::NotFound`]; [`ErrorKind::OutcomeUnknown`] where neither an answer
    /// nor a look tells what became of it.
    pub async fn rename(&self, from: &RemotePath, to: &RemotePath, overwrite: bool) -> Result<(), Error> {
        let parameters = json!({ "destination": to.as_str(), "overwrite": overwrite });
        let call = Call::post("move", "/file_actions/move", parameters).path(from).only_once();
        let mut doubt = self.doubt();
        loop {
            match self.begin_and_wait("move", &call).await {
                Ok(()) => return Ok(()),
                Err(error) => doubt.after(error)?,
            }
            let ends = async { Ok((self.stat(from).await?, self.stat(to).await?)) };
            if let Some((None, Some(_))) = doubt.look(ends).await {
                return Ok(());
            }
            doubt.ask_again().await?;
        }
    }

    /// Copies a file to a name that is free, and waits until the service has done it. In doubt, the destination is
    /// looked at: whether what is there is the copy is for the caller to find out. Times and metadata of the copy may
    /// be others.
    ///
    /// # Errors
    /// As of [`Self::rename`].
    pub async fn copy(&self, from: &RemotePath, to: &RemotePath) -> Result<Copying, Error> {
        let parameters = json!({ "destination": to.as_str(), "overwrite": false });
        let call = Call::post("copy", "/file_actions/copy", parameters).path(from).only_once();
        let mut doubt = self.doubt();
        loop {
            match self.begin_and_wait("copy", &call).await {
                Ok(()) => return Ok(Copying::Made),
                Err(error) => doubt.after(error)?,
            }
            if let Some(Some(_)) = doubt.look(self.stat(to)).await {
                return Ok(Copying::Perhaps);
            }
            doubt.ask_again().await?;
        }
    }

    async fn begin_and_wait(&self, what: &str, call: &Call) -> Result<(), Error> {
        let answer = self.call(call.clone()).await?;
        self.wait(what, &answer).await
    }

    /// Waits until the service has done what `answer` says it has begun. Every item it moves counts
    /// as progress; without any it is given up, its outcome unknown, while there is still time for a look.
    async fn wait(&self, what: &str, answer: &Answer) -> Result<(), Error> {
        let asked = &answer.asked;
        let started = read(answer)?;
        if let Some(settled) = started.settled(what, asked) {
            return settled;
        }
        let Some(id) = started.id else {
            let happened = "begun, with no way to ask how it goes";
            return Err(Error::new(ErrorKind::OutcomeUnknown, asked, happened));
        };
        let mut before = started;
        let limit = self.0.options.network_timeout;
        let mut patience = Patience::new(Instant::now(), limit);
        let longest_pause = LONGEST_PAUSE.min(limit / 8);
        let mut pause = FIRST_PAUSE;
        loop {
            sleep(pause).await;
            pause = (pause * 2).min(longest_pause);
            if patience.ends_before(Instant::now()) {
                let happened = "the service began and did not end it in time";
                return Err(Error::new(ErrorKind::OutcomeUnknown, asked, happened));
            }
            let call = Call::get("migration", format!("/file_migrations/{id}"));
            // A key may be barred from seeing it; what became of it can still be seen at its ends.
            let now = read(&self.call(call).await.map_err(in_doubt)?)?;
            if let Some(settled) = now.settled(what, asked) {
                return settled;
            }
            if now != before {
                patience.progressed(Instant::now());
                deadline::progressed();
                before = now;
            }
        }
    }
}

/// What is known of a copy that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copying {
    /// The service says that it made it.
    Made,
    /// Something is there, and no answer tells that it is the copy.
    Perhaps,
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
    // What is answered without a word says yes to nothing.
    if answer.body.is_empty() {
        return Err(answer.says_nothing());
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
    read().map_err(in_doubt)
}
