//! What was asked on the command line or in fstab, done, and answered with an exit code.
//!
//! Calls of mount(8) become the `mount` command first ([`fstab`]); one parser reads everything
//! ([`arguments`]: what was typed); [`resolve`] says what is meant. Nothing here touches a file of
//! the mount or decides what is safe.

pub mod arguments;
mod drain;
pub mod exit_codes;
mod export;
pub mod fstab;
mod held;
mod help;
mod log;
mod manifest;
mod manual;
mod mount;
mod place;
pub mod quantities;
mod recover;
mod refresh;
mod reload;
pub mod resolve;
mod run;
mod signals;
mod status;
mod sync;
mod test;
mod umount;
mod watch;

use std::ffi::OsString;
use std::io::Write;

use clap::Parser;
use clap::error::ErrorKind as ParseErrorKind;

use self::arguments::{Command, CommandLine};
use self::exit_codes::{ExitCode, Failure};
use crate::model::shown::shown_name;

/// Does what the arguments (the program's name first) ask for; tells what failed on standard error.
pub fn main(arguments: Vec<OsString>) -> u8 {
    match answer(arguments) {
        Ok(code) => code,
        Err(failure) => {
            // Where nobody listens on standard error, the exit code still tells.
            let told = failure.to_string();
            let lines: Vec<String> = told.lines().map(plain).collect();
            let _ = writeln!(std::io::stderr(), "filescomfs: {}", lines.join("\n"));
            failure.code.number()
        }
    }
}

fn answer(arguments: Vec<OsString>) -> Result<u8, Failure> {
    let words =
        fstab::normalize(arguments).map_err(|error| Failure::new(ExitCode::Usage, error.to_string()))?;
    let command = match CommandLine::try_parse_from(&words) {
        Ok(line) => line.command,
        Err(error) => {
            let _ = error.print();
            return Ok(match error.kind() {
                ParseErrorKind::DisplayHelp | ParseErrorKind::DisplayVersion => ExitCode::Done.number(),
                _ => ExitCode::Usage.number(),
            });
        }
    };
    let code = match command {
        // Ends with the code of a command that is not ours.
        Command::Run(arguments) => return run::run(&arguments),
        Command::Mount(arguments) => mount::run(arguments, &words),
        Command::Sync(arguments) => sync::run(&arguments),
        Command::Umount(arguments) => umount::run(&arguments),
        Command::Test(arguments) => test::run(&arguments, &words),
        Command::Status(arguments) => status::run(&arguments),
        Command::Held(arguments) => held::run(&arguments),
        Command::Recover(arguments) => recover::run(&arguments),
        Command::Refresh { mountpoint, path } => refresh::run(&mountpoint, path.as_deref()),
        Command::Reload { mountpoint, timeout } => reload::run(&mountpoint, timeout),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man => manual::page(),
    };
    Ok(code?.number())
}

/// Writes to standard output. A reader that has gone (`filescomfs man | head`) is no failure.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(ExitCode::Failed, format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// A text of a daemon or of the service, safe for a terminal: no control characters.
fn plain(text: &str) -> String {
    shown_name(text).into_owned()
}
