//! What was typed behind the commands other than `mount`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::AccessArguments;
use crate::cli::quantities;

/// `sync`.
#[derive(Debug, Args)]
pub struct SyncArguments {
    /// Where it is mounted
    pub mountpoint: PathBuf,
    /// Only this file or folder: a path below the mountpoint, or an absolute path inside it
    pub path: Option<PathBuf>,
    /// Write the MD5s of all files that are verified now, for md5sum -c; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
    /// Longest wait
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = quantities::duration)]
    pub timeout: Duration,
    /// Count files that are open for writing as owed, too
    #[arg(long)]
    pub strict: bool,
}

/// `umount`.
#[derive(Debug, Args)]
pub struct UmountArguments {
    /// Where it is mounted
    pub mountpoint: PathBuf,
    /// Longest wait for what is owed
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = quantities::duration)]
    pub timeout: Duration,
    /// Unmount even if something is owed: the next mount takes it up
    #[arg(long)]
    pub lazy: bool,
}

/// `test`.
#[derive(Debug, Args)]
pub struct TestArguments {
    /// NAME[:/FOLDER], as for mount
    pub source: String,
    /// Where it is to be mounted: looked at, too
    pub mountpoint: Option<PathBuf>,
    /// Prove it with a small file: upload, compare, overwrite, rename, read back, delete
    #[arg(long, conflicts_with = "read_only")]
    pub write: bool,
    /// Ask for less: a mount that is only read from
    #[arg(long)]
    pub read_only: bool,
    /// Who we are, and how the site is reached.
    #[command(flatten)]
    pub access: AccessArguments,
}

/// `status`.
#[derive(Debug, Args)]
pub struct StatusArguments {
    /// Where it is mounted; without it, all mounts are listed
    pub mountpoint: Option<PathBuf>,
    /// Print the whole state as JSON; with --watch, one line of it per second
    #[arg(long)]
    pub json: bool,
    /// Go on showing it, with bars on a terminal and a line per second elsewhere, until Ctrl-C or the
    /// end of the mount
    #[arg(long, requires = "mountpoint")]
    pub watch: bool,
}

/// `recover`.
#[derive(Debug, Args)]
pub struct RecoverArguments {
    /// The state folder of a mount that does not run
    #[arg(value_name = "STATE_DIR")]
    pub state_dir: PathBuf,
    /// Only show what there is; change nothing
    #[arg(long, conflicts_with = "export")]
    pub plan: bool,
    /// Show it as JSON
    #[arg(long)]
    pub json: bool,
    /// Copy the files that are owed into this folder, under their paths on Files.com
    #[arg(long, value_name = "DIR")]
    pub export: Option<PathBuf>,
    /// The cache folder of that mount [default: where it is unless a mount was told otherwise]
    #[arg(long, value_name = "FOLDER")]
    pub cache_dir: Option<PathBuf>,
}

/// `run`.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// Where it is mounted
    pub mountpoint: PathBuf,
    /// Longest wait for Files.com once the command has ended
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = quantities::duration)]
    pub timeout: Duration,
    /// Write a manifest afterwards, as `sync --manifest` does
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
    /// Count files that are open for writing as owed, too
    #[arg(long)]
    pub strict: bool,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// `held`.
#[derive(Debug, Args)]
pub struct HeldArguments {
    /// Where it is mounted
    pub mountpoint: PathBuf,
    /// What to do with them
    #[command(subcommand)]
    pub what: HeldCommand,
}

/// What to do with what is held.
#[derive(Debug, Subcommand)]
pub enum HeldCommand {
    /// Show what is held, and why
    List {
        /// Print it as JSON
        #[arg(long)]
        json: bool,
        /// Only these files and folders
        paths: Vec<PathBuf>,
    },
    /// Try again now, and tell the outcome
    Retry {
        /// Only these files and folders
        paths: Vec<PathBuf>,
    },
    /// Copy the bytes with their paths, modes and times into a folder; they stay held
    Export {
        /// The folder; made if it is missing. What is there already is not overwritten
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// Only these files and folders
        paths: Vec<PathBuf>,
    },
    /// Give up the bytes: what Files.com has under these paths, if anything, shows again
    Discard {
        /// These files and folders
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        paths: Vec<PathBuf>,
        /// Everything that is held
        #[arg(long)]
        all: bool,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}
