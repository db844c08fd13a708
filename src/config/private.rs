//! Files that hold secrets: read only where nobody but the owner can use them.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::ConfigError;

/// Longer than any file of keys or storages; a device or a log given by mistake ends here.
const LONGEST: u64 = 1 << 20;

/// Reads a private file. The permissions are those of the file that was opened, not of whatever has
/// its name a moment later.
pub(super) fn read(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |error| ConfigError::Unreadable(path.to_owned(), error);
    let file = open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(ConfigError::Exposed { path: path.to_owned(), mode });
    }
    read_text(file).map_err(unreadable)
}

/// Reads a file whose folder is the guard: systemd's credentials carry access lists, which show as
/// permissions of the group.
pub(super) fn read_guarded(path: &Path) -> Result<Option<String>, ConfigError> {
    match open(path).and_then(read_text) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ConfigError::Unreadable(path.to_owned(), error)),
    }
}

/// Opens a file, and nothing else: of a pipe, a reader would wait for somebody who writes.
fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")),
    }
}

/// Whatever becomes of this process, no dump of its memory is written: there is a secret in it.
pub(super) fn keep_out_of_dumps() {
    // SAFETY: changes one flag of this process, and cannot fail with this value.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
}

fn read_text(file: File) -> std::io::Result<String> {
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}

/// A path as a shell takes it.
pub(super) fn shell_word(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "/._-+@%:,".contains(c);
    if text.chars().all(plain) { text.into_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_no_file_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").args(["-m", "600"]).arg(&pipe).status().unwrap();
        assert!(made.success());
        for path in [&pipe, folder.path(), Path::new("/dev/zero")] {
            let text = read(path).unwrap_err().to_string();
            assert!(text.contains("no regular file") || text.contains("can be used by others"), "{text}");
            assert!(read_guarded(path).is_err());
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_with_the_line_to_type() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my key");
        fs::write(&path, "SECRET").unwrap();
        for mode in [0o640, 0o604, 0o620, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let text = read(&path).unwrap_err().to_string();
            assert!(text.contains(&format!("chmod 600 '{}'", path.display())), "{text}");
            assert!(!text.contains("SECRET"));
        }
        for mode in [0o600, 0o400] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read(&path).unwrap(), "SECRET");
        }
    }
}
