//! Waiting until nothing is owed: what `sync` and `umount` have in common.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::exit_codes::Failure;
use super::quantities::show_size;
use super::{plain, resolve};
use crate::fs::{OwedFile, Remainder};
use crate::mount::control::{self, ControlError, Request};

/// How often a person who waits is told how far it is.
const PROGRESS: Duration = Duration::from_millis(500);
/// What the answer to a drain may take beyond the drain itself.
pub(super) const SLACK: Duration = Duration::from_secs(10);

/// The mountpoint as the daemon spells it, without asking the filesystem that is mounted there.
pub(super) fn named(path: &Path) -> Result<std::path::PathBuf, Failure> {
    let path = resolve::absolute(path)?;
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(path) };
    let own = parent.canonicalize().map_or_else(|_| path.clone(), |parent| parent.join(name));
    // A link to a mountpoint: only a link is followed, so that a dead mount is not touched.
    match own.symlink_metadata() {
        Ok(found) if found.is_symlink() => Ok(own.canonicalize().unwrap_or(own)),
        _ => Ok(own),
    }
}

/// Asks for the drain in slices, so that there is something to tell in between.
pub(super) fn drain(mountpoint: &Path, timeout: Duration) -> Result<Remainder, ControlError> {
    let end = Instant::now() + timeout;
    let watched = std::io::stderr().is_terminal();
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let slice = if watched { left.min(PROGRESS) } else { left };
        let timeout_ms = slice.as_millis().try_into().unwrap_or(u64::MAX);
        let answer = control::ask(mountpoint, &Request::Drain { timeout_ms }, slice + SLACK)?;
        let remainder = understood(answer)?;
        let over = left <= slice || remainder.is_nothing();
        if watched {
            let owed = format!("{} files owed, {}", remainder.files, show_size(remainder.bytes));
            let line = if over { String::new() } else { owed };
            let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
        }
        if over {
            return Ok(remainder);
        }
    }
}

/// The answer to a drain, as it travels.
#[derive(serde::Deserialize)]
struct Drained {
    owed: OwedCounts,
    held: Vec<OwedFile>,
    errors: Vec<OwedFile>,
}

#[derive(serde::Deserialize)]
struct OwedCounts {
    files: u64,
    bytes: u64,
    #[serde(default)]
    attributes: u64,
}

/// Reads the answer to a drain. One that is not understood is no "nothing is owed".
fn understood(answer: Value) -> Result<Remainder, ControlError> {
    let Drained { owed, held, errors } = serde_json::from_value(answer).map_err(|_| ControlError::Garbled)?;
    Ok(Remainder { files: owed.files, bytes: owed.bytes, held, errors, attributes: owed.attributes })
}

/// What is owed or held, for people; `None` when nothing is.
pub(super) fn debt(remainder: &Remainder) -> Option<String> {
    if remainder.is_nothing() && remainder.held.is_empty() {
        return None;
    }
    let Remainder { files, bytes, held, errors, attributes } = remainder;
    let mut text = format!("{files} files ({}) are not on Files.com yet", show_size(*bytes));
    if !held.is_empty() {
        text.push_str(&format!(", {} were refused and are held", held.len()));
    }
    if *attributes > 0 {
        text.push_str(&format!(", nor are {attributes} changes of names and attributes"));
    }
    text.push_str(".\n");
    for (word, list) in [("held", held), ("owed", errors)] {
        for file in list {
            text.push_str(&format!("  {word}  {}\n", plain(&format!("{}: {}", file.path, file.message))));
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn remainder(files: u64, held: &[&str], errors: &[&str]) -> Value {
        let list = |paths: &[&str]| {
            let files = paths.iter().map(|path| json!({ "path": path, "message": "no network" }));
            Value::Array(files.collect())
        };
        let (held, errors) = (list(held), list(errors));
        json!({ "owed": { "files": files, "bytes": 2048 }, "held": held, "errors": errors, "mountpoint": "/" })
    }

    #[test]
    fn nothing_owed_is_no_debt() {
        assert_eq!(debt(&understood(remainder(0, &[], &[])).unwrap()), None);
    }

    #[test]
    fn a_debt_is_listed_with_its_reasons() {
        let text = debt(&understood(remainder(2, &["/a\u{1b}[2J"], &["/b"])).unwrap()).unwrap();
        assert!(text.contains("2 files (2.0 KiB)") && text.contains("/b: no network"), "{text}");
        assert!(!text.contains('\u{1b}'), "a name cannot command the terminal");
    }

    #[test]
    fn held_files_alone_are_a_debt() {
        assert!(debt(&understood(remainder(0, &["/a"], &[])).unwrap()).is_some());
    }

    /// `umount` once took an answer of another shape for "nothing is owed", and unmounted a mount
    /// that owed a file.
    #[test]
    fn an_answer_that_is_not_understood_is_no_permission_to_unmount() {
        for answer in [json!({}), json!({ "owed": { "files": 0 } }), json!({ "error": "x" }), Value::Null] {
            assert!(matches!(understood(answer), Err(ControlError::Garbled)));
        }
    }
}
