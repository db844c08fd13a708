//! One change of a name, and where it stands.

use crate::model::failure::Failure;
use crate::model::path::RemotePath;
use crate::model::proof::Fingerprint;

/// One change of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Make a folder.
    Make(RemotePath),
    /// Delete a file.
    Delete {
        /// Where it is,
        path: RemotePath,
        /// and what was there when it was deleted here: what others put there since stays.
        version: Fingerprint,
    },
    /// Delete an empty folder.
    RemoveFolder(RemotePath),
    /// Rename a file or a folder.
    Move {
        /// From here,
        from: RemotePath,
        /// to here,
        to: RemotePath,
        /// over the file that is there.
        overwrite: bool,
    },
    /// Copy a file.
    Copy {
        /// From here,
        from: RemotePath,
        /// to here, where nothing is,
        to: RemotePath,
        /// and what the source was then.
        version: Fingerprint,
    },
}

impl Step {
    /// The path by which people know it.
    pub fn path(&self) -> &RemotePath {
        match self {
            Self::Make(path) | Self::Delete { path, .. } | Self::RemoveFolder(path) => path,
            Self::Move { to, .. } | Self::Copy { to, .. } => to,
        }
    }

    /// The paths that it touches.
    pub fn paths(&self) -> impl Iterator<Item = &RemotePath> {
        let (one, two) = match self {
            Self::Make(path) | Self::Delete { path, .. } | Self::RemoveFolder(path) => (path, None),
            Self::Move { from, to, .. } | Self::Copy { from, to, .. } => (from, Some(to)),
        };
        std::iter::once(one).chain(two)
    }
}

impl std::fmt::Display for Step {
    /// As a line of the log and of the status says it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Make(path) => write!(f, "make folder {path}"),
            Self::Delete { path, .. } => write!(f, "delete {path}"),
            Self::RemoveFolder(path) => write!(f, "delete folder {path}"),
            Self::Move { from, to, .. } => write!(f, "rename {from} to {to}"),
            Self::Copy { from, to, .. } => write!(f, "copy {from} to {to}"),
        }
    }
}

/// Where a step stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Not begun.
    Waiting,
    /// A request for it is under way.
    Running,
    /// The last attempt failed; it is tried again.
    Failed(Failure),
    /// Refused for good: a person decides.
    Held(Failure),
}

/// A step that was not taken yet.
#[derive(Debug, Clone)]
pub struct Pending {
    /// What to do.
    pub step: Step,
    /// How far it came.
    pub standing: Standing,
    /// It may have been taken already: an answer was lost, or the mount that began it ended.
    pub doubtful: bool,
    /// How many earlier steps must be taken first.
    pub(super) blockers: usize,
    /// Later steps that wait for this one.
    pub(super) followers: Vec<u64>,
}

impl Pending {
    /// Is no earlier step in its way?
    pub(super) fn may_be_begun(&self) -> bool {
        self.blockers == 0
    }

    /// Is it sure that Files.com was never asked for it?
    pub(super) fn is_untouched(&self) -> bool {
        self.standing == Standing::Waiting && !self.doubtful
    }

    /// May it have been made, without anybody here knowing? What was refused was not.
    pub(super) fn may_be_made(&self) -> bool {
        match self.standing {
            Standing::Running => true,
            Standing::Waiting | Standing::Failed(_) => self.doubtful,
            Standing::Held(_) => false,
        }
    }
}
