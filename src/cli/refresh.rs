//! `refresh`: listings that are forgotten before their time.

use std::path::Path;
use std::time::Duration;

use super::drain::named;
use super::exit_codes::{ExitCode, Failure};
use super::place;
use crate::mount::asking::Talk;
use crate::mount::control::Request;

const PATIENCE: Duration = Duration::from_secs(60);

/// Forgets listings.
pub fn run(typed: &Path, path: Option<&Path>) -> Result<ExitCode, Failure> {
    let mount = Talk::with(&named(typed)?)?;
    let path = path.map_or(Ok(String::new()), |path| place::below(typed, mount.mountpoint(), path))?;
    mount.ask(&Request::Refresh { path }, PATIENCE)?;
    Ok(ExitCode::Done)
}
