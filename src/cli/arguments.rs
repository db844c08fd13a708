//! What was typed. Nothing is looked up here; [`super::resolve`] says what is meant.

mod commands;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

pub use self::commands::{
    HeldArguments, HeldCommand, RecoverArguments, RunArguments, StatusArguments, SyncArguments,
    TestArguments, UmountArguments,
};
use super::{help, quantities};
use crate::model::bandwidth::Bandwidth;
use crate::model::policy::{Close, HardLinks, Metadata, Names, Symlinks, Verify};

/// Mount a Files.com folder as a backup target: when close(2) returns 0, Files.com holds exactly
/// these bytes.
///
/// Independent software; not made or supported by Files.com.
#[derive(Debug, Parser)]
#[command(name = "filescomfs", version, args_override_self = true, after_help = help::TOP)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Mount a folder; goes to the background once the mount answers
    #[command(after_help = help::MOUNT)]
    Mount(Box<MountArguments>),
    /// Wait until Files.com holds everything, proven
    #[command(after_help = help::SYNC)]
    Sync(SyncArguments),
    /// Wait until everything is on Files.com, then unmount
    #[command(after_help = help::UMOUNT)]
    Umount(UmountArguments),
    /// Test Connection: a checklist with a remedy per line
    #[command(after_help = help::TEST)]
    Test(TestArguments),
    /// Show what is owed, what travels, and what went wrong
    Status(StatusArguments),
    /// Files that Files.com refused for good: list them, retry, export, discard
    #[command(after_help = help::HELD)]
    Held(HeldArguments),
    /// Show, and partly carry out, what a mount left that ended before its time
    #[command(after_help = help::RECOVER)]
    Recover(RecoverArguments),
    /// Run a command, then wait as `sync` does; ends with the worse exit code of the two
    #[command(after_help = help::RUN)]
    Run(RunArguments),
    /// Forget cached listings, so that changes made elsewhere show now
    Refresh {
        /// Where it is mounted
        mountpoint: PathBuf,
        /// Only this file or folder: a path below the mountpoint, or an absolute path inside it
        path: Option<PathBuf>,
    },
    /// Read the key again, try it, and use it if it is good; tells the outcome
    #[command(after_help = help::RELOAD)]
    Reload {
        /// Where it is mounted
        mountpoint: PathBuf,
        /// Longest wait for one answer of Files.com
        #[arg(long, value_name = "TIME", default_value = "30s", value_parser = quantities::duration)]
        timeout: Duration,
    },
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page (filescomfs man | man -l -)
    Man,
}

/// Who we are, and how the site is reached.
#[derive(Debug, Clone, Args)]
pub struct AccessArguments {
    /// File that holds the API key and nothing else (mode 0600)
    #[arg(long, value_name = "FILE", help_heading = "Access")]
    pub api_key_file: Option<PathBuf>,
    /// File with api_key=…, or username=… and password=… (mode 0600)
    #[arg(long, value_name = "FILE", help_heading = "Access")]
    pub credentials: Option<PathBuf>,
    /// File of named storages [default: /etc/filescomfs/config.toml for root, else
    /// ~/.config/filescomfs/config.toml]
    #[arg(long, value_name = "FILE", help_heading = "Access")]
    pub config: Option<PathBuf>,
    /// Take plain http for a host that is not this one: shows the key to the network
    #[arg(long, help_heading = "Access")]
    pub allow_http: bool,
    /// Longest wait for the network without progress
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = quantities::patience, help_heading = "Network")]
    pub network_timeout: Duration,
}

/// `mount`.
#[derive(Debug, Args)]
pub struct MountArguments {
    /// NAME[:/FOLDER]: a named storage, else a subdomain (mysite), a domain or a full URL
    pub source: String,
    /// An existing folder
    pub mountpoint: PathBuf,
    /// Stay in the foreground, log to standard error, speak with systemd (Type=notify)
    #[arg(short, long)]
    pub foreground: bool,
    /// Options as in fstab: every long option as name=value or name, comma-separated
    // Taken apart before the command line is read; stands here for the help.
    #[arg(short = 'o', value_name = "OPTIONS", action = ArgAction::Append)]
    pub fstab_options: Vec<String>,
    /// Who we are, and how the site is reached.
    #[command(flatten)]
    pub access: AccessArguments,

    /// When close(2) answers: once Files.com holds the file, or once it is durable here and on its way
    #[arg(long, value_name = "MODE", default_value = "verified", help_heading = "Safety")]
    pub close: CloseChoice,
    /// How much proof a close asks for: `strict` wants Files.com's own MD5 of every file
    #[arg(long, value_name = "HOW", default_value = "auto", help_heading = "Safety")]
    pub verify: VerifyChoice,
    /// Refuse every change
    #[arg(long, help_heading = "Safety")]
    pub read_only: bool,

    /// What may be thrown away [default: /var/cache/filescomfs/ID for root, else
    /// ~/.cache/filescomfs/ID]
    #[arg(long, value_name = "FOLDER", help_heading = "Local disk")]
    pub cache_dir: Option<PathBuf>,
    /// What is owed [default: /var/lib/filescomfs/ID for root, else ~/.local/state/filescomfs/ID;
    /// inside the cache folder when only that is given]
    #[arg(long, value_name = "FOLDER", help_heading = "Local disk")]
    pub state_dir: Option<PathBuf>,
    /// Local disk for what is owed, being written and cached, together: when what is owed fills it,
    /// writers wait for uploads, and get ENOSPC when none ends
    #[arg(long, value_name = "SIZE", default_value = "10G", value_parser = quantities::cache_size, help_heading = "Local disk")]
    pub cache_size: u64,

    /// Let other users in (needs user_allow_other in /etc/fuse.conf unless root mounts)
    #[arg(long, help_heading = "Files")]
    pub allow_other: bool,
    /// Owner of files that have no stored owner [default: who mounts]
    #[arg(long, value_name = "ID", help_heading = "Files")]
    pub uid: Option<u32>,
    /// Group of files that have no stored group [default: who mounts]
    #[arg(long, value_name = "ID", help_heading = "Files")]
    pub gid: Option<u32>,
    /// Permissions taken off files that have no stored mode
    #[arg(long, value_name = "MASK", default_value = "022", value_parser = quantities::mask, help_heading = "Files")]
    pub umask: u16,
    /// What is stored beyond the API's own fields: `full` is mode, owner, fraction of the time
    #[arg(long, value_name = "WHAT", default_value = "full", help_heading = "Files")]
    pub metadata: MetadataChoice,
    /// Names that Files.com does not store as they are, or takes for a sibling's: store them under
    /// another text, or refuse them
    #[arg(long, value_name = "HOW", default_value = "encode", help_heading = "Files")]
    pub names: NamesChoice,
    /// What link(2) does, since a file has one name on Files.com: refuse (EPERM), or make a copy there
    #[arg(long, value_name = "HOW", default_value = "refuse", help_heading = "Files")]
    pub hard_links: HardLinksChoice,
    /// Symbolic links that lead out of the mount: keep them, or refuse to make and follow them (EPERM), where
    /// others write to the folder
    #[arg(long, value_name = "HOW", default_value = "keep", help_heading = "Files")]
    pub symlinks: SymlinksChoice,
    /// How long a listing is believed
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = quantities::duration, help_heading = "Files")]
    pub dir_ttl: Duration,
    /// More patterns of temporary names, which are published when they are renamed; repeatable, or
    /// separated by colons
    #[arg(long, value_name = "PATTERN", value_delimiter = ':', action = ArgAction::Append, help_heading = "Files")]
    pub temporary_names: Vec<String>,
    /// How long a temporary name waits for its rename before it is published as it is
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = quantities::duration, help_heading = "Files")]
    pub temporary_hold: Duration,

    /// Uploads at the same time, at most: filescomfs finds how many are worth it
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=256), help_heading = "Network")]
    pub max_uploads: u16,
    /// Downloads at the same time, at most
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=256), help_heading = "Network")]
    pub max_downloads: u16,
    /// Limit of uploads in bytes a second (512K, 10M, off), or by the time of day ("08:00,512K 19:00,off";
    /// in fstab 08:00=512K+19:00=off)
    #[arg(
        long,
        value_name = "RATE",
        default_value = "off",
        hide_default_value = true,
        help_heading = "Network"
    )]
    pub bwlimit_up: Bandwidth,
    /// Limit of downloads, likewise
    #[arg(
        long,
        value_name = "RATE",
        default_value = "off",
        hide_default_value = true,
        help_heading = "Network"
    )]
    pub bwlimit_down: Bandwidth,
    /// Mount even when Files.com cannot be reached, if this folder was mounted before with this state
    /// folder: what is owed is shown, new files are taken, the rest appears once it can be reached
    #[arg(long, help_heading = "Network")]
    pub offline_start: bool,
    /// Log file [default: standard error with --foreground, else filescomfs.log in the state folder]
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,

    /// Kernel's own options, which -o takes by their names.
    #[arg(long, hide = true, value_name = "NAME", action = ArgAction::Append)]
    pub kernel_option: Vec<String>,
    /// Undoes `read-only` of a storage or of an earlier option.
    #[arg(long, hide = true, overrides_with = "read_only")]
    pub read_write: bool,
    /// Changes whether what is mounted there takes changes, and nothing else (mount -o remount,ro).
    #[arg(long, hide = true)]
    pub remount: bool,
    /// Check everything and mount nothing (mount -f).
    #[arg(long, hide = true)]
    pub fake: bool,
    /// The pipe to the process that waits in the foreground.
    #[arg(long, hide = true, value_name = "DESCRIPTOR")]
    pub report_to: Option<i32>,
}

/// `--close`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CloseChoice {
    /// When Files.com holds the file, proven
    Verified,
    /// When the file is durable here; `sync` and `umount` tell the outcome
    Journaled,
}

impl From<CloseChoice> for Close {
    fn from(choice: CloseChoice) -> Self {
        match choice {
            CloseChoice::Verified => Self::Verified,
            CloseChoice::Journaled => Self::Journaled,
        }
    }
}

/// `--verify`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum VerifyChoice {
    /// The strongest proof that the site offers
    Auto,
    /// Files.com's own MD5, awaited for every file
    Strict,
}

impl From<VerifyChoice> for Verify {
    fn from(choice: VerifyChoice) -> Self {
        match choice {
            VerifyChoice::Auto => Self::Auto,
            VerifyChoice::Strict => Self::Strict,
        }
    }
}

/// `--names`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NamesChoice {
    /// Under another text that can be read back
    Encode,
    /// EINVAL and EEXIST
    Refuse,
}

impl From<NamesChoice> for Names {
    fn from(choice: NamesChoice) -> Self {
        match choice {
            NamesChoice::Encode => Self::Encode,
            NamesChoice::Refuse => Self::Refuse,
        }
    }
}

/// `--hard-links`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HardLinksChoice {
    /// EPERM
    Refuse,
    /// A copy of its own, made on Files.com
    Copy,
}

impl From<HardLinksChoice> for HardLinks {
    fn from(choice: HardLinksChoice) -> Self {
        match choice {
            HardLinksChoice::Refuse => Self::Refuse,
            HardLinksChoice::Copy => Self::Copy,
        }
    }
}

/// `--symlinks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SymlinksChoice {
    /// Links like others
    Keep,
    /// EPERM for what leads out of the mount
    Inside,
}

impl From<SymlinksChoice> for Symlinks {
    fn from(choice: SymlinksChoice) -> Self {
        match choice {
            SymlinksChoice::Keep => Self::Keep,
            SymlinksChoice::Inside => Self::Inside,
        }
    }
}

/// `--metadata`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MetadataChoice {
    /// Mode, owner and the fraction of the time, where they differ from the defaults
    Full,
    /// The modification time alone
    Mtime,
}

impl From<MetadataChoice> for Metadata {
    fn from(choice: MetadataChoice) -> Self {
        match choice {
            MetadataChoice::Full => Self::Full,
            MetadataChoice::Mtime => Self::Mtime,
        }
    }
}
