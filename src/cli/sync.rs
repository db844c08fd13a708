//! `sync`: answers when Files.com holds everything, proven.

use super::arguments::SyncArguments;
use super::drain::{debt, drain, named};
use super::exit_codes::{ExitCode, Failure};

/// Waits until nothing is owed.
pub fn run(arguments: &SyncArguments) -> Result<ExitCode, Failure> {
    let mountpoint = named(&arguments.mountpoint)?;
    let remainder = drain(&mountpoint, arguments.timeout)?;
    match debt(&remainder) {
        None => Ok(ExitCode::Done),
        Some(debt) => Err(Failure::new(
            ExitCode::Owed,
            format!("{debt}What is tried again goes on in the background; wait longer with --timeout"),
        )),
    }
}
