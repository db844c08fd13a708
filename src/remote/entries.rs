//! Files and folders: look, make, delete, set attributes.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::call::Call;
use super::client::Client;
use super::error::Error;
use super::error_kind::ErrorKind;
use super::transport::Answer;
use super::wire::{self, Fields, to_api_time};
use crate::model::entry::{Entry, Kind};
use crate::model::moment::Moment;
use crate::model::path::RemotePath;

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
    /// a file.
    ///
    /// # Errors
    /// [`ErrorKind::ParentMissing`], permissions, names.
    pub async fn create_folder(
        &self,
        path: &RemotePath,
        mtime: Option<Moment>,
    ) -> Result<Option<Entry>, Error> {
        let parameters = attributes(mtime, None);
        match self.call(Call::post("create_folder", "/folders", parameters).path(path)).await {
            Ok(answer) => Ok(Some(entry(&answer, path, Some(Kind::Folder))?)),
            // A lost answer was followed by a second attempt: the folder in its way may be ours.
            Err(error) if error.kind() == ErrorKind::Exists && error.details().repeated_blindly => {
                Ok(self.stat(path).await?.filter(|found| found.kind == Kind::Folder))
            }
            Err(error) if error.kind() == ErrorKind::Exists => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes a file or an empty folder; what is not there is deleted. A folder may stay visible at
    /// the service for some seconds.
    ///
    /// # Errors
    /// [`ErrorKind::NotEmpty`], permissions, locks.
    pub async fn delete(&self, path: &RemotePath) -> Result<(), Error> {
        match self.call(Call::delete("delete", "/files").path(path).query("recursive", false)).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
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
        let parameters = attributes(mtime, metadata);
        let answer = self.call(Call::patch("set_attributes", "/files", parameters).path(path)).await?;
        entry(&answer, path, None)
    }
}

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

/// Reads the entry that a call answered; older shapes leave out its path and its type.
fn entry(answer: &Answer, path: &RemotePath, kind: Option<Kind>) -> Result<Entry, Error> {
    let value = answer.json()?;
    let mut entry = Fields::of(&value, "entry")
        .and_then(|fields| wire::entry(fields, kind))
        .map_err(|misread| misread.error(&answer.asked))?;
    if entry.name.is_empty() {
        path.name().clone_into(&mut entry.name);
    }
    Ok(entry)
}
