//! The door to durability: everything that must survive a power loss is synced here and nowhere else.
//!
//! A file is durable when its bytes and its name are: the name lives in its folder, which is synced
//! on its own.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::failpoint;

/// Waits until the bytes of `file` are on the disk.
pub fn sync_bytes(file: &File) -> io::Result<()> {
    failpoint::broken("durable.bytes")?;
    // Interrupted is not answered: nothing was said about the disk.
    while let Err(error) = file.sync_data() {
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    failpoint::reach("durable.bytes");
    Ok(())
}

/// Waits until the names in `folder` are on the disk.
pub fn sync_names(folder: &Path) -> io::Result<()> {
    sync_names_in(&File::open(folder)?)
}

/// The same of a folder that is open: this takes no descriptor.
pub fn sync_names_in(folder: &File) -> io::Result<()> {
    while let Err(error) = folder.sync_all() {
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    failpoint::reach("durable.names");
    Ok(())
}

/// Makes a folder for its owner alone, with the folders above it, durably.
pub fn make_private_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let above = match folder.parent() {
        Some(above) if above.as_os_str().is_empty() => Path::new("."),
        Some(above) => above,
        None => return Ok(()),
    };
    if folder.is_dir() {
        // A process that died in here may have made it and not synced its name. A folder above that is not
        // ours, and that we may not read, was there before.
        return match sync_names(above) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            other => other,
        };
    }
    make_private_folder(above)?;
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        // Somebody else was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
        other => other?,
    }
    sync_names(above)
}
