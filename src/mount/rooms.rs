//! Where a mount keeps its things on this machine, found out before anything is written there.

use std::path::Path;

use super::error::MountError;
use super::options::Options;
use crate::local::private::{is_inside, make, place_of};

/// The same options with folders that are there, that are ours alone, and that lie outside of what is mounted, under their
/// real names. A cache inside would wait for itself. `log`: where the log is to be, if that is a file.
///
/// # Errors
/// [`MountError::Inside`], [`MountError::NotPrivate`]; no file was made then.
pub fn settle(options: Options, log: Option<&Path>) -> Result<Options, MountError> {
    let outside = |what, path: &Path| {
        let place = place_of(path)?;
        match is_inside(&place, &options.mountpoint) {
            false => Ok(place),
            true => {
                let (path, mountpoint) = (path.to_owned(), options.mountpoint.clone());
                Err(MountError::Inside { what, path, mountpoint })
            }
        }
    };
    log.map(|log| outside("log", log)).transpose()?;
    let state_dir = outside("state folder", &options.state_dir)?;
    let cache_dir = outside("cache folder", &options.cache_dir)?;
    for folder in [&cache_dir, &state_dir] {
        make(folder)?;
    }
    Ok(Options { state_dir, cache_dir, ..options })
}
