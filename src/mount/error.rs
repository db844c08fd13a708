//! Why a mount does not come about.

use std::io;
use std::path::PathBuf;

use super::fuse_fault::FuseFault;
use crate::local::journal::OpenError;
use crate::local::lock::LockError;
use crate::local::private::NotPrivate;
use crate::model::path::RemotePath;
use crate::remote;

/// A mount that did not come about, with what to do next.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// Files.com, or the way there, refused.
    #[error("{0}; {remedy}", remedy = .0.remedy())]
    Remote(#[from] remote::Error),
    /// The folder to mount is not there.
    #[error(
        "there is no folder {0} on this site, or the key may not see it; create it, or name another folder"
    )]
    FolderMissing(RemotePath),
    /// The folder to mount is a file.
    #[error("{0} is a file; name the folder that holds it")]
    NotAFolder(RemotePath),
    /// `verify=strict` on a site that states no MD5.
    #[error(
        "verify=strict needs Files.com's own MD5 of every file, and this site computes none; \
         turn on Data Governance, File Integrity, MD5 in the site's settings, or mount with verify=auto"
    )]
    NoMd5,
    /// A local folder cannot be used.
    #[error("cannot use {}: {error}", path.display())]
    Local {
        /// The folder or file.
        path: PathBuf,
        /// What the disk said.
        error: io::Error,
    },
    /// A folder of the mount's own inside of what it mounts: it would wait for itself.
    #[error(
        "the {what} {} is inside of the mountpoint {}; name one elsewhere (--cache-dir, --state-dir, --log)",
        path.display(),
        mountpoint.display()
    )]
    Inside {
        /// Which one.
        what: &'static str,
        /// As it was named.
        path: PathBuf,
        /// What is mounted on.
        mountpoint: PathBuf,
    },
    /// A folder of the mount's own that others have a hand in.
    #[error(transparent)]
    NotPrivate(#[from] NotPrivate),
    /// Another mount uses the state folder.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// The journal cannot be read.
    #[error(
        "the journal {} cannot be used: {error}; nothing was changed. {}",
        path.display(),
        error.remedy()
    )]
    Journal {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: OpenError,
    },
    /// No file of receipts can be kept.
    #[error("{} cannot be made: {error}; check that the state folder can be written", path.display())]
    Receipts {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        error: rusqlite::Error,
    },
    /// The state folder holds what is owed elsewhere.
    #[error(
        "{} holds changes that are owed to {there}, and this is {here}; mount that one with this state folder \
         until nothing is owed, or give this one a --state-dir of its own",
        state_dir.display()
    )]
    OtherPlace {
        /// The state folder.
        state_dir: PathBuf,
        /// Site and folder that the facts belong to.
        there: String,
        /// Site and folder that were to be mounted.
        here: String,
    },
    /// What was owed before could not be taken up.
    #[error("what an earlier mount owed cannot be taken up: {0}")]
    Recovery(#[from] crate::model::failure::Failure),
    /// The kernel refused the mount.
    #[error("cannot mount on {}: {error}; {}", mountpoint.display(), remedy(*fault))]
    Fuse {
        /// Where.
        mountpoint: PathBuf,
        /// What the kernel or fusermount3 said.
        error: io::Error,
        /// What keeps FUSE from mounting on this machine, if that is why.
        fault: Option<FuseFault>,
    },
    /// The socket for `status` and `umount` cannot be had.
    #[error(transparent)]
    Control(#[from] super::control::ControlError),
    /// The machine gives us no threads or signals.
    #[error("cannot start: {0}")]
    Start(io::Error),
}

fn remedy(fault: Option<FuseFault>) -> String {
    fault.map_or_else(
        || "allow_other as an ordinary user needs user_allow_other in /etc/fuse.conf".to_owned(),
        |fault| fault.to_string(),
    )
}
