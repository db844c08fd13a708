//! What a script learns from the exit code. The numbers are a contract: one is added, none changes.

use crate::config::ConfigError;
use crate::mount::MountError;
use crate::mount::control::ControlError;
use crate::remote::{self, ErrorKind, SiteNameError};

/// How a command ended.
///
/// mount(8) reads 32 as "mount failure"; it takes any other code that is not 0 as a failure too and
/// hands it on, so `mount.filescomfs` keeps these, which say more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// What was asked is done.
    Done = 0,
    /// Something failed that has no code of its own.
    Failed = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// The key, user name or password was refused.
    Authentication = 3,
    /// The site does not exist or does not answer.
    Site = 4,
    /// The folder does not exist.
    Folder = 5,
    /// The credentials are good, and may not do this here.
    Permission = 6,
    /// What Files.com holds is not what was sent.
    Verification = 7,
    /// Something is not on Files.com yet.
    Owed = 8,
    /// Everything is on Files.com, and some of it could not be compared but by size or CRC32.
    Weak = 9,
}

impl ExitCode {
    /// The table that `--help` and the manual print.
    pub const TABLE: &[(Self, &str)] = &[
        (Self::Done, "done"),
        (Self::Failed, "failed, for a reason not listed here; the path is not the mount that answers"),
        (Self::Usage, "wrong command line or configuration"),
        (Self::Authentication, "key, user name or password refused"),
        (Self::Site, "site not found or not reachable"),
        (Self::Folder, "folder not found"),
        (Self::Permission, "permission denied"),
        (
            Self::Verification,
            "verification failed: Files.com holds something else than was sent, or states no MD5 for verify=strict",
        ),
        (Self::Owed, "something is still owed to Files.com"),
        (Self::Weak, "everything is on Files.com, but some files are only weakly verified"),
    ];

    /// The number.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Reads the number that another process of ours ended with.
    pub fn from_number(number: i32) -> Self {
        Self::TABLE
            .iter()
            .map(|(code, _)| *code)
            .find(|code| i32::from(code.number()) == number)
            .unwrap_or(Self::Failed)
    }
}

impl From<ErrorKind> for ExitCode {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Authentication | ErrorKind::SecondFactor => Self::Authentication,
            ErrorKind::SiteNotFound
            | ErrorKind::HostUnknown
            | ErrorKind::WrongHost
            | ErrorKind::Network
            | ErrorKind::Timeout
            | ErrorKind::Unavailable
            | ErrorKind::Intercepted
            | ErrorKind::Tls => Self::Site,
            ErrorKind::PlainHttp => Self::Usage,
            ErrorKind::NotFound | ErrorKind::ParentMissing | ErrorKind::NotFolder => Self::Folder,
            ErrorKind::Permission | ErrorKind::ReadOnly => Self::Permission,
            ErrorKind::VersionChanged => Self::Verification,
            _ => Self::Failed,
        }
    }
}

/// Why a command ends with something else than 0: a text for people, a code for scripts.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// How it ended.
    pub code: ExitCode,
    /// What happened and what to do, in one or more lines; never a secret.
    pub message: String,
}

impl Failure {
    /// A failure with its text.
    pub fn new(code: ExitCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let code = match error {
            ConfigError::Site(SiteNameError::PlainHttp(_)) => ExitCode::Usage,
            ConfigError::Site(_) => ExitCode::Site,
            _ => ExitCode::Usage,
        };
        Self::new(code, error.to_string())
    }
}

impl From<remote::Error> for Failure {
    fn from(error: remote::Error) -> Self {
        Self::new(error.kind().into(), format!("{error}\n{}", error.remedy()))
    }
}

impl From<MountError> for Failure {
    fn from(error: MountError) -> Self {
        let code = match &error {
            MountError::Remote(error) => error.kind().into(),
            MountError::FolderMissing(_) | MountError::NotAFolder(_) => ExitCode::Folder,
            MountError::NoMd5 => ExitCode::Verification,
            MountError::Inside { .. } | MountError::NotPrivate(_) => ExitCode::Usage,
            _ => ExitCode::Failed,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Self {
        Self::new(ExitCode::Failed, error.to_string())
    }
}

/// A mount that failed: its chain of causes, and the code of the first one that has one.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let refused = error.chain().find_map(|cause| cause.downcast_ref::<remote::Error>());
        match refused {
            Some(refused) => Self::new(refused.kind().into(), format!("{error:#}\n{}", refused.remedy())),
            None => match error.downcast::<Self>() {
                Ok(failure) => failure,
                Err(error) => Self::new(ExitCode::Failed, format!("{error:#}")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::{KINDS, SiteNameError};

    #[test]
    fn the_table_lists_every_code_once_and_in_order() {
        let numbers: Vec<u8> = ExitCode::TABLE.iter().map(|(code, _)| code.number()).collect();
        assert_eq!(numbers, (0..=9).collect::<Vec<u8>>());
        for (code, _) in ExitCode::TABLE {
            assert_eq!(ExitCode::from_number(code.number().into()), *code);
        }
        assert_eq!(ExitCode::from_number(101), ExitCode::Failed);
    }

    #[test]
    fn the_common_failures_have_different_codes() {
        let codes = [
            ErrorKind::Authentication,
            ErrorKind::SiteNotFound,
            ErrorKind::NotFound,
            ErrorKind::Permission,
            ErrorKind::VersionChanged,
        ]
        .map(|kind| ExitCode::from(kind).number());
        assert_eq!(codes, [3, 4, 5, 6, 7]);
    }

    #[test]
    fn no_failure_of_the_service_ends_a_command_with_success() {
        for row in KINDS {
            assert_ne!(ExitCode::from(row.kind), ExitCode::Done, "{:?}", row.kind);
        }
    }

    #[test]
    fn a_site_name_that_is_none_counts_as_site_not_found() {
        let failure = Failure::from(ConfigError::Site(SiteNameError::Blank));
        assert_eq!(failure.code, ExitCode::Site);
    }

    #[test]
    fn a_failure_keeps_its_code_through_a_chain() {
        let failure = Failure::new(ExitCode::Owed, "3 files are owed");
        assert_eq!(Failure::from(anyhow::Error::new(failure)).code, ExitCode::Owed);
    }
}
