//! Renames, which may go on at the service after the call was answered.

use super::client::Client;
use super::error::Error;
use crate::model::path::RemotePath;

impl Client {
    /// Moves a file or a folder, and waits until the service has done it. After a lost answer both
    /// ends are looked at: the source gone and the destination there is a success.
    ///
    /// # Errors
    /// [`super::ErrorKind::Exists`] without `overwrite`, [`super::ErrorKind::ParentMissing`],
    /// [`super::ErrorKind::NotFound`]; [`super::ErrorKind::OutcomeUnknown`] where neither an answer
    /// nor a look tells what became of it.
    pub async fn rename(&self, from: &RemotePath, to: &RemotePath, overwrite: bool) -> Result<(), Error> {
        let _ = (from, to, overwrite);
        Err(self.unwritten())
    }
}
