//! Waiting until nothing is owed: what `sync` and `umount` have in common.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::exit_codes::Failure;
use super::quantities::show_size;
use super::{plain, resolve};
use crate::fs::{Hindrance, Open, OwedFile, Remainder};
use crate::mount::control::{ControlError, Request};

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

/// What a drain came to.
#[derive(Debug)]
pub(super) struct Outcome {
    /// What is still owed.
    pub remainder: Remainder,
    /// How many files were only weakly verified since the mount began.
    pub weak: u64,
}

/// Asks for the drain of what is at and below `path` (empty: of everything), in slices, so that there is
/// something to tell in between. `ask` puts the question to the mount.
pub(super) fn drain(
    ask: impl Fn(&Request, Duration) -> Result<Value, ControlError>,
    path: &str,
    timeout: Duration,
) -> Result<Outcome, ControlError> {
    let end = Instant::now() + timeout;
    let watched = std::io::stderr().is_terminal();
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let slice = if watched { left.min(PROGRESS) } else { left };
        let timeout_ms = slice.as_millis().try_into().unwrap_or(u64::MAX);
        let asked = Instant::now();
        let request = Request::Drain { timeout_ms, path: path.to_owned() };
        let outcome = understood(ask(&request, slice + SLACK)?)?;
        let remainder = &outcome.remainder;
        // An answer before its time: what is left does not go by waiting.
        let over = left <= slice || remainder.is_nothing() || asked.elapsed() < slice;
        if watched {
            let owed = match remainder.sent {
                0 => format!("{} files owed, {}", remainder.files, show_size(remainder.bytes)),
                sent => format!(
                    "{} files owed, {} of {} sent",
                    remainder.files,
                    show_size(sent),
                    show_size(remainder.bytes)
                ),
            };
            let line = if over { String::new() } else { owed };
            let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
        }
        if over {
            return Ok(outcome);
        }
    }
}

/// What to do about what is left.
pub(super) fn what_helps(remainder: &Remainder, mountpoint: &Path) -> String {
    if remainder.held.is_empty() {
        let only_open = remainder.is_nothing_but_open() && remainder.open.files > 0;
        return if only_open { "close what is open" } else { "wait longer with --timeout" }.to_owned();
    }
    let shown = mountpoint.display();
    format!("what is held does not go by waiting: see `filescomfs held {shown} list`")
}

/// The answer to a drain, as it travels.
#[derive(serde::Deserialize)]
struct Drained {
    owed: OwedCounts,
    held: Vec<OwedFile>,
    errors: Vec<OwedFile>,
    #[serde(default)]
    waiting: Vec<OwedFile>,
    #[serde(default)]
    weak: u64,
    #[serde(default)]
    open: Open,
    #[serde(default)]
    sent: u64,
    #[serde(default)]
    causes: Vec<Hindrance>,
}

#[derive(serde::Deserialize)]
struct OwedCounts {
    files: u64,
    bytes: u64,
    #[serde(default)]
    attributes: u64,
}

/// Reads the answer to a drain. One that is not understood is no "nothing is owed".
fn understood(answer: Value) -> Result<Outcome, ControlError> {
    let Drained { owed, held, errors, waiting, weak, open, sent, causes } =
        serde_json::from_value(answer).map_err(|_| ControlError::Garbled)?;
    let OwedCounts { files, bytes, attributes } = owed;
    let remainder = Remainder { files, bytes, held, errors, attributes, waiting, open, sent, causes };
    Ok(Outcome { remainder, weak })
}

/// What is open for writing, for people; nothing when nothing is.
pub(super) fn opened(open: &Open) -> String {
    let mut text = match open.files {
        0 => return String::new(),
        1 => format!(
            "1 file is open for writing ({}), and is sent when it is closed:\n",
            show_size(open.bytes)
        ),
        files => {
            format!(
                "{files} files are open for writing ({}), and are sent when they are closed:\n",
                show_size(open.bytes)
            )
        }
    };
    for path in open.paths.iter().take(NAMED) {
        text.push_str(&format!("  open  {}\n", plain(path)));
    }
    let more = open.files.saturating_sub(open.paths.len().min(NAMED) as u64);
    if more > 0 {
        text.push_str(&format!("  and {more} more\n"));
    }
    text
}

/// So many are named one by one, wherever what is owed is shown to people.
pub(super) const NAMED: usize = 5;

/// What keeps everything from being sent, in one line.
pub(super) fn told(cause: &Hindrance) -> String {
    format!("since {}, {} files wait: {}", cause.since, cause.files, cause.message)
}

/// What is owed or held, for people; `None` when nothing is.
pub(super) fn debt(remainder: &Remainder) -> Option<String> {
    if remainder.is_nothing() && remainder.held.is_empty() {
        return None;
    }
    let Remainder { files, bytes, held, errors, attributes, waiting, open, causes, .. } = remainder;
    let mut text = format!("{files} files ({}) are not on Files.com yet", show_size(*bytes));
    if !held.is_empty() {
        text.push_str(&format!(", {} were refused and are held", held.len()));
    }
    if *attributes > 0 {
        text.push_str(&format!(", nor are {attributes} changes of names and attributes"));
    }
    text.push_str(".\n");
    for cause in causes {
        text.push_str(&format!("  {}\n", plain(&told(cause))));
    }
    let lists = [("held", held), ("owed", errors), ("owed", waiting)];
    let named = lists.into_iter().flat_map(|(word, list)| list.iter().map(move |file| (word, file)));
    let known = held.len() + errors.len() + waiting.len();
    for (word, file) in named.take(NAMED) {
        text.push_str(&format!("  {word}  {}\n", plain(&format!("{}: {}", file.path, file.message))));
    }
    text.push_str(&opened(open));
    let owed = (files + attributes).saturating_sub(open.files).max(known as u64);
    let more = owed - known.min(NAMED) as u64;
    if more > 0 {
        text.push_str(&format!("  and {more} more\n"));
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
        assert_eq!(debt(&understood(remainder(0, &[], &[])).unwrap().remainder), None);
    }

    #[test]
    fn a_debt_is_listed_with_its_reasons() {
        let text = debt(&understood(remainder(5, &["/a\u{1b}[2J"], &["/b"])).unwrap().remainder).unwrap();
        assert!(
            text.contains("5 files (2.0 KiB)")
                && text.contains("/b: no network")
                && text.contains("and 3 more"),
            "{text}"
        );
        assert!(!text.contains('\u{1b}'), "a name cannot command the terminal");
    }

    #[test]
    fn nobody_is_told_to_wait_for_what_is_held() {
        let advice = |held: &[&str]| {
            what_helps(&understood(remainder(1, held, &[])).unwrap().remainder, Path::new("/mnt"))
        };
        assert!(advice(&["/a"]).contains("filescomfs held /mnt list"));
        assert!(advice(&[]).contains("--timeout"));
    }

    #[test]
    fn held_files_alone_are_a_debt() {
        assert!(debt(&understood(remainder(0, &["/a"], &[])).unwrap().remainder).is_some());
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
