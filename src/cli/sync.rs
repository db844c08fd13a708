//! `sync`: answers when Files.com holds everything, proven; writes down what.

use std::io::Write;
use std::path::Path;

use super::arguments::SyncArguments;
use super::drain::{debt, drain, named, what_helps};
use super::exit_codes::{ExitCode, Failure};
use super::{manifest, place};

/// Waits until nothing is owed under a path, and writes the manifest.
pub fn run(arguments: &SyncArguments) -> Result<ExitCode, Failure> {
    let mountpoint = named(&arguments.mountpoint)?;
    let path = match &arguments.path {
        Some(path) => place::below(&arguments.mountpoint, &mountpoint, path)?,
        None => String::new(),
    };
    let outcome = drain(&mountpoint, &path, arguments.timeout)?;
    if let Some(debt) = debt(&outcome.remainder) {
        let helps = what_helps(&outcome.remainder, &mountpoint);
        let next = format!("What is tried again goes on in the background; {helps}");
        return Err(Failure::new(ExitCode::Owed, format!("{debt}{next}")));
    }
    match &arguments.manifest {
        Some(file) => with_manifest(&mountpoint, &path, file),
        None => {
            if outcome.weak > 0 {
                let text = format!(
                    "{} files were only weakly verified since the mount began; turn on Data Governance, File \
                     Integrity, MD5 in the site's settings, and see --manifest",
                    outcome.weak
                );
                let _ = writeln!(std::io::stderr(), "filescomfs: {text}");
            }
            Ok(ExitCode::Done)
        }
    }
}

fn with_manifest(mountpoint: &Path, path: &str, file: &Path) -> Result<ExitCode, Failure> {
    let (text, code) = manifest::judge(&manifest::write(mountpoint, path, file)?);
    // Where nobody listens on standard error, the exit code still tells.
    let _ = std::io::stderr().write_all(text.as_bytes());
    Ok(code)
}
