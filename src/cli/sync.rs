//! `sync`: answers when Files.com holds everything that was closed, proven; writes down what.

use std::io::Write;
use std::path::Path;

use super::arguments::SyncArguments;
use super::drain::{debt, drain, named, opened, what_helps};
use super::exit_codes::{ExitCode, Failure};
use super::{manifest, place};
use crate::mount::asking::Talk;

/// Waits until nothing is owed under a path, and writes the manifest.
pub fn run(arguments: &SyncArguments) -> Result<ExitCode, Failure> {
    with(&Talk::with(&named(&arguments.mountpoint)?)?, arguments)
}

/// The same with a mount that was found before: that very mount, and at its path still.
pub(super) fn with(mount: &Talk, arguments: &SyncArguments) -> Result<ExitCode, Failure> {
    let path = match &arguments.path {
        Some(path) => place::below(&arguments.mountpoint, mount.mountpoint(), path)?,
        None => String::new(),
    };
    let outcome = drain(|request, patience| mount.ask(request, patience), &path, arguments.timeout)?;
    let remainder = &outcome.remainder;
    let is_there = match arguments.strict {
        true => remainder.is_nothing(),
        false => remainder.is_nothing_but_open(),
    };
    if !is_there || !remainder.held.is_empty() {
        let debt = debt(remainder).unwrap_or_default();
        let helps = what_helps(remainder, mount.mountpoint());
        let next = format!("What is tried again goes on in the background; {helps}");
        return Err(Failure::new(ExitCode::Owed, format!("{debt}{next}")));
    }
    tell(&opened(&remainder.open));
    match &arguments.manifest {
        Some(file) => with_manifest(mount, &path, file, arguments.strict),
        None => {
            if outcome.weak > 0 {
                tell(&format!(
                    "filescomfs: {} files were only weakly verified since the mount began; turn on Data Governance, \
                     File Integrity, MD5 in the site's settings, and see --manifest\n",
                    outcome.weak
                ));
            }
            Ok(ExitCode::Done)
        }
    }
}

/// Where nobody listens on standard error, the exit code still tells.
fn tell(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

fn with_manifest(mount: &Talk, path: &str, file: &Path, strict: bool) -> Result<ExitCode, Failure> {
    let (text, code) = manifest::judge(&manifest::write(mount, path, file)?, strict);
    tell(&text);
    Ok(code)
}
