//! Going to the background without fork tricks: the command starts itself once more, as a child with
//! a session of its own, and waits on a pipe until the child says that the mount answers, or why not.
//!
//! Secrets do not travel: the child reads them where the parent would. The pipe closes with the
//! child, so a child that dies is never waited for.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, PipeWriter, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use serde::{Deserialize, Serialize};

/// What the child says, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// The mount answers.
    Ready,
    /// It will not; the text for the person and the code for the script.
    Failed {
        /// Exit code of the command.
        code: u8,
        /// What happened and what to do.
        message: String,
    },
}

/// Longer than any word.
const LONGEST_WORD: u64 = 64 << 10;

/// The child's end of the pipe.
#[derive(Debug)]
pub struct Reporter(PipeWriter);

impl Reporter {
    /// Takes over the descriptor that the parent named.
    ///
    /// # Errors
    /// A descriptor that is not open: this process was not started by [`start`].
    pub fn from_descriptor(number: RawFd) -> io::Result<Self> {
        // Neither fusermount3 nor anything else that is started later may hold the pipe open.
        // SAFETY: fcntl with F_SETFD touches no memory; on a number that is not open it fails.
        if number < 3 || unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no pipe to report to"));
        }
        // SAFETY: the descriptor is open, as fcntl has shown, and was inherited for this purpose: the
        // parent cleared its close-on-exec flag for us, and nothing in this process owns it yet.
        Ok(Self(PipeWriter::from(unsafe { OwnedFd::from_raw_fd(number) })))
    }

    /// Says the word and closes the pipe. A parent that is gone does not matter: the mount goes on.
    pub fn say(mut self, word: &Word) {
        if let Ok(mut line) = serde_json::to_vec(word) {
            line.push(b'\n');
            let _ = self.0.write_all(&line);
        }
    }
}

/// How starting in the background ended without a word.
#[derive(Debug, thiserror::Error)]
pub enum BackgroundError {
    /// The child could not be started, or not be listened to.
    #[error("cannot go to the background: {0}")]
    Start(#[from] io::Error),
    /// The child ended and said nothing.
    #[error("the mount ended while it was starting ({0})")]
    Died(String),
}

/// Starts this program again with `arguments` and `--report-to DESCRIPTOR`; its output goes to
/// `log`. Returns its word.
///
/// # Errors
/// [`BackgroundError::Died`] where it ended without one.
pub fn start(arguments: &[OsString], log: File) -> Result<Word, BackgroundError> {
    start_program(Path::new("/proc/self/exe"), arguments, log)
}

fn start_program(program: &Path, arguments: &[OsString], log: File) -> Result<Word, BackgroundError> {
    let (reading, writing) = io::pipe()?;
    let descriptor = writing.as_raw_fd();
    let mut command = Command::new(program);
    command
        .arg0("filescomfs")
        .args(arguments)
        .args(["--report-to".to_owned(), descriptor.to_string()])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    // SAFETY: runs between fork and exec, and makes only calls that are allowed there: setsid and
    // fcntl neither allocate nor lock.
    unsafe {
        command.pre_exec(move || {
            if libc::setsid() < 0 || libc::fcntl(descriptor, libc::F_SETFD, 0) < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
    let mut child = command.spawn()?;
    drop(writing);
    match listen(reading)? {
        Some(Word::Ready) => Ok(Word::Ready),
        Some(failed) => {
            child.wait()?;
            Ok(failed)
        }
        None => Err(BackgroundError::Died(how_ended(child.wait()?))),
    }
}

fn listen(pipe: impl Read) -> io::Result<Option<Word>> {
    let mut line = Vec::new();
    BufReader::new(pipe.take(LONGEST_WORD)).read_until(b'\n', &mut line)?;
    Ok(serde_json::from_slice(&line).ok())
}

fn how_ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "no exit code".to_owned(),
    }
}

/// Opens a log for appending, for its owner alone, in a folder that is made where it is missing.
///
/// # Errors
/// Of the file system.
pub fn open_log(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn child(script: &str) -> (Result<Word, BackgroundError>, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/mount.log");
        let log = open_log(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let arguments = ["-c".into(), script.into()];
        let word = start_program(Path::new("/bin/sh"), &arguments, log);
        (word, std::fs::read_to_string(&path).unwrap())
    }

    #[test]
    fn the_parent_hears_that_the_mount_answers() {
        // With `sh -c SCRIPT`, the two further arguments are $0 and $1.
        let (word, _) = child(r#"echo '"ready"' >/proc/self/fd/$1"#);
        assert_eq!(word.unwrap(), Word::Ready);
    }

    #[test]
    fn the_parent_hears_why_it_will_not() {
        let (word, log) = child(
            r#"echo told; echo '{"failed":{"code":3,"message":"key refused"}}' >/proc/self/fd/$1; exit 3"#,
        );
        assert_eq!(word.unwrap(), Word::Failed { code: 3, message: "key refused".into() });
        assert_eq!(log, "told\n");
    }

    #[test]
    fn a_child_that_dies_is_not_waited_for() {
        let (word, _) = child("kill -9 $$");
        assert!(matches!(word, Err(BackgroundError::Died(how)) if how == "signal 9"));
    }

    #[test]
    fn words_survive_the_pipe() {
        let (reading, writing) = io::pipe().unwrap();
        let word = Word::Failed { code: 6, message: "two\nlines".into() };
        Reporter(writing).say(&word);
        assert_eq!(listen(reading).unwrap(), Some(word));
    }
}
