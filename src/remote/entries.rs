//! Files and folders: look, list, make, delete, set attributes.

use std::collections::BTreeMap;

use super::client::Client;
use super::error::Error;
use crate::model::entry::Entry;
use crate::model::moment::Moment;
use crate::model::path::RemotePath;

impl Client {
    /// The entry at `path`; `None` where nothing is, or where the caller may not know of it. The root
    /// has no entry of its own and is answered without asking.
    ///
    /// # Errors
    /// Whatever is not a plain "not found" of the API.
    pub async fn stat(&self, path: &RemotePath) -> Result<Option<Entry>, Error> {
        let _ = path;
        Err(self.unwritten())
    }

    /// Everything in the folder, from all pages. Entries of another folder are left out and logged.
    ///
    /// # Errors
    /// [`super::ErrorKind::NotFound`] for a missing folder; [`super::ErrorKind::Protocol`] for a
    /// listing that cannot be trusted: it never passes for an empty folder.
    pub async fn list(&self, path: &RemotePath) -> Result<Vec<Entry>, Error> {
        let _ = path;
        Err(self.unwritten())
    }

    /// Asks for one entry of the folder, to learn whether it may be listed.
    ///
    /// # Errors
    /// As for [`Self::list`].
    pub async fn probe_list(&self, path: &RemotePath) -> Result<(), Error> {
        let _ = path;
        Err(self.unwritten())
    }

    /// Makes a folder; its parent must be there. `None`: something was there already, a folder or
    /// a file.
    ///
    /// # Errors
    /// [`super::ErrorKind::ParentMissing`], permissions, names.
    pub async fn create_folder(
        &self,
        path: &RemotePath,
        mtime: Option<Moment>,
    ) -> Result<Option<Entry>, Error> {
        let _ = (path, mtime);
        Err(self.unwritten())
    }

    /// Deletes a file or an empty folder; what is not there is deleted. A folder may stay visible at
    /// the service for some seconds.
    ///
    /// # Errors
    /// [`super::ErrorKind::NotEmpty`], permissions, locks.
    pub async fn delete(&self, path: &RemotePath) -> Result<(), Error> {
        let _ = path;
        Err(self.unwritten())
    }

    /// Sets the modification time, the metadata (the whole object), or both.
    ///
    /// # Errors
    /// [`super::ErrorKind::NotFound`], permissions.
    pub async fn set_attributes(
        &self,
        path: &RemotePath,
        mtime: Option<Moment>,
        metadata: Option<&BTreeMap<String, String>>,
    ) -> Result<Entry, Error> {
        let _ = (path, mtime, metadata);
        Err(self.unwritten())
    }
}
