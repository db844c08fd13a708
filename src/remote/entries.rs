//! Files and folders: look, make, delete, set attributes.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::call::Call;
use super::client::Client;
use super::doubt::in_doubt;
use super::error::Error;
use super::error_kind::ErrorKind;
use super::places::Place;
use super::transport::Answer;
use super::wire::{self, Fields, Misread, to_api_time};
use crate::model::entry::{Entry, Kind};
use crate::model::moment::Moment;
use crate::model::path::RemotePath;
use crate::model::proof::Fingerprint;

impl Client {
    /// The entry at `path`; `None` where nothing is, or where the caller may not know of it. The root
    /// has no entry of its own and is answered without asking.
    ///
    /// # Errors
    /// Whatever is not a plain "not found" of the API.
    pub async fn stat(&self, path: &RemotePath) -> Result<Option<Entry>, Error> {
        if path.is_root() {
            return Ok(Some(Entry::folder(String::new())));
        }
        let found = self.call(Call::get("stat", "/file_actions/metadata").path(path)).await;
        match found {
            Ok(answer) => Ok(Some(entry(&answer, path, None)?)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a folder; its parent must be there. `None`: something was there already, a folder or
    /// a file. In doubt, a folder that is no older than the question is ours.
    ///
    /// # Errors
    /// [`ErrorKind::ParentMissing`], permissions, names.
    pub async fn create_folder(
        &self,
        path: &RemotePath,
        mtime: Option<Moment>,
    ) -> Result<Option<Entry>, Error> {
        let (asked_at, mut doubt) = (Instant::now(), self.doubt());
        let call = Call::post("create_folder", "/folders", attributes(mtime, None)).path(path).after_a_look();
        loop {
            match self.call(call.clone()).await.and_then(|answer| made(&answer, path)) {
                Ok(made) => return Ok(Some(made)),
                Err(error) => match doubt.after(error) {
                    Err(error) if error.kind() == ErrorKind::Exists => return Ok(None),
                    doubted => doubted?,
                },
            }
            if let Some(Some(there)) = doubt.look(self.stat(path)).await {
                let is_ours = there.kind == Kind::Folder && !self.is_older(&there, asked_at);
                return Ok(Some(there).filter(|_| is_ours));
            }
            doubt.ask_again().await?;
        }
    }

    /// Was `there` made before `then`, by the clock of the service?
    fn is_older(&self, there: &Entry, then: Instant) -> bool {
        let Some((created, skew)) = there.created.zip(self.clock_skew()) else { return false };
        let then = Moment::from(SystemTime::now()).seconds + skew - then.elapsed().as_secs() as i64;
        created.seconds + SLACK < then
    }

    /// Deletes a file or an empty folder; what is not there is deleted. A folder may stay visible at
    /// the service for some seconds. What is there of another version than the given one when the deletion is in
    /// doubt stays: somebody else put it there since.
    ///
    /// # Errors
    /// [`ErrorKind::NotEmpty`], permissions, locks.
    pub async fn delete(&self, path: &RemotePath, version: Option<&Fingerprint>) -> Result<Deleted, Error> {
        let call = Call::delete("delete", "/files").path(path).query("recursive", false).after_a_look();
        let mut doubt = self.doubt();
        loop {
            match self.call(call.clone()).await {
                Ok(answer) if answer.status == 204 => return Ok(Deleted::Gone),
                Ok(answer) => doubt.after(answer.says_nothing())?,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Deleted::Gone),
                Err(error) => doubt.after(error)?,
            }
            match doubt.look(self.stat(path)).await {
                Some(None) => return Ok(Deleted::Gone),
                Some(Some(there)) if version.is_some_and(|version| !version.may_be(&there.fingerprint())) => {
                    return Ok(Deleted::Replaced);
                }
                Some(Some(_)) | None => {}
            }
            doubt.ask_again().await?;
        }
    }

    /// Sets the modification time, the metadata (the whole object), or both.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], permissions.
    pub async fn set_attributes(
        &self,
        path: &RemotePath,
        mtime: Option<Moment>,
        metadata: Option<&BTreeMap<String, String>>,
    ) -> Result<Entry, Error> {
        let call =
            Call::patch("set_attributes", "/files", attributes(mtime, metadata)).path(path).after_a_look();
        let is_set = |there: &Entry| {
            mtime.is_none_or(|mtime| there.provided == Some(mtime))
                && metadata.is_none_or(|metadata| there.metadata == *metadata)
        };
        let mut doubt = self.doubt();
        loop {
            let answer = self.call(call.clone()).await;
            match answer.and_then(|answer| entry(&answer, path, None).map_err(in_doubt)) {
                Ok(entry) => return Ok(entry),
                Err(error) => doubt.after(error)?,
            }
            if let Some(Some(there)) = doubt.look(self.stat(path)).await
                && is_set(&there)
            {
                return Ok(there);
            }
            doubt.ask_again().await?;
        }
    }
}

/// The folder that an answer says was made.
fn made(answer: &Answer, path: &RemotePath) -> Result<Entry, Error> {
    match entry(answer, path, None).map_err(in_doubt)? {
        made if made.kind == Kind::Folder => Ok(made),
        _ => Err(answer.says_nothing()),
    }
}

/// What became of something that was to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// It is not there any more.
    Gone,
    /// Somebody else has put something there since, which stays.
    Replaced,
}

/// By how many seconds two clocks that are compared through an answer may be apart.
const SLACK: i64 = 3;

fn attributes(mtime: Option<Moment>, metadata: Option<&BTreeMap<String, String>>) -> Value {
    let mut parameters = Map::new();
    if let Some(mtime) = mtime {
        parameters.insert("provided_mtime".into(), to_api_time(mtime).into());
    }
    if let Some(metadata) = metadata {
        parameters.insert("custom_metadata".into(), json!(metadata));
    }
    parameters.into()
}

/// Reads the entry that a call answered about `path`; older shapes leave out its path. `kind` is what it must be
/// where the answer does not say. An entry of somewhere else is none.
pub(super) fn entry(answer: &Answer, path: &RemotePath, kind: Option<Kind>) -> Result<Entry, Error> {
    let value = answer.json()?;
    let read = || {
        let fields = Fields::of(&value, "entry")?;
        if fields.text("path")?.is_some_and(|stated| !Place::new(path).is(stated)) {
            return Err(Misread::new("path", "the path that was asked about"));
        }
        wire::entry(fields, kind)
    };
    let mut entry = read().map_err(|misread| misread.error(&answer.asked))?;
    if entry.name.is_empty() {
        path.name().clone_into(&mut entry.name);
    }
    Ok(entry)
}
