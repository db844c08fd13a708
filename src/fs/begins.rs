//! Uploads that are being begun: the request makes folders that are missing, so a folder is not removed or
//! renamed on Files.com while one is under way below it. It would be there again.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Filesystem;
use super::job::Trouble;
use crate::model::failure::Failure;
use crate::model::ino::Ino;
use crate::model::path::RemotePath;
use crate::remote::{Deadline, Late};

/// The paths of uploads that are being begun.
#[derive(Debug, Default)]
pub(super) struct Begins {
    paths: Mutex<Vec<RemotePath>>,
    ended: Notify,
}

impl Begins {
    fn paths(&self) -> MutexGuard<'_, Vec<RemotePath>> {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lives as long as the request.
pub(super) struct Begin<'a> {
    begins: &'a Begins,
    path: RemotePath,
}

impl Drop for Begin<'_> {
    fn drop(&mut self) {
        let mut paths = self.begins.paths();
        if let Some(place) = paths.iter().position(|path| *path == self.path) {
            paths.swap_remove(place);
        }
        drop(paths);
        self.begins.ended.notify_waiters();
    }
}

impl Filesystem {
    /// An upload of `ino` may be begun: the file is still wanted, under this path.
    pub(super) async fn may_begin(
        &self,
        ino: Ino,
        path: &RemotePath,
        is_wanted: impl Fn() -> bool,
    ) -> Result<Begin<'_>, Trouble> {
        // Whoever removes or renames a folder at this moment is waited for.
        let _shape = self.paths_stay(&[ino]).await.map_err(Failure::from)?;
        if !is_wanted() {
            return Err(Trouble::Overtaken);
        }
        let core = self.core();
        if core.tree.path(ino).as_ref() != Some(path) {
            return Err(Trouble::Overtaken);
        }
        if core.backlog.last_at(path).is_some() {
            return Err(Trouble::Behind);
        }
        self.begins.paths().push(path.clone());
        Ok(Begin { begins: &self.begins, path: path.clone() })
    }

    /// Waits until no upload is being begun below `folder`. None begins meanwhile: what is in the folder was
    /// removed here, or moves with it.
    ///
    /// # Errors
    /// The call's deadline: nothing was asked for yet.
    pub(super) async fn nothing_begins_below(&self, folder: &RemotePath) -> Result<(), Late> {
        let none_is_left = async {
            loop {
                let ended = self.begins.ended.notified();
                tokio::pin!(ended);
                ended.as_mut().enable();
                if !self.begins.paths().iter().any(|path| path.below(folder).is_some()) {
                    return;
                }
                ended.await;
            }
        };
        Deadline::wait(none_is_left, || None).await
    }
}
