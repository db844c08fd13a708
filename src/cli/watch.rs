//! `status --watch`: the state as it changes. Bars on a terminal, elsewhere a line per second; both end
//! with Ctrl-C and with the mount.

use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use super::drain::told;
use super::exit_codes::{ExitCode, Failure};
use super::quantities::show_size;
use super::signals::Signals;
use super::status::{speed, state_of};
use super::{plain, print};
use crate::mount::asking::{is_served, meet};
use crate::mount::control::ControlError;

/// How often a terminal is drawn.
const FRAME: Duration = Duration::from_millis(250);
/// How often a line is printed.
const LINE: Duration = Duration::from_secs(1);
/// Uploads that get a bar; the rest is counted.
const BARS: usize = 10;

/// Shows the mount until somebody or something ends it.
pub fn run(mountpoint: &Path, json: bool) -> Result<ExitCode, Failure> {
    let ends = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];
    let signals = Signals::keep(&ends)
        .map_err(|error| Failure::new(ExitCode::Failed, format!("cannot wait for signals: {error}")))?;
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let mut view: Box<dyn View> = match std::io::stdout().is_terminal() && !json && !dumb {
        true => Box::new(Bars::new()),
        false => Box::new(Lines { json }),
    };
    // A mount that is not there is an error; one that goes is the end.
    let mut state = ask(mountpoint)?;
    loop {
        let is_watched = view.show(&state)?;
        if !is_watched || signals.wait(view.pause()).is_some() {
            view.end();
            return Ok(ExitCode::Done);
        }
        state = match ask(mountpoint) {
            Ok(state) => state,
            // However the daemon broke off.
            Err(_) if !is_served(mountpoint) => {
                view.end();
                print(if json { "" } else { "The mount has ended.\n" })?;
                return Ok(ExitCode::Done);
            }
            Err(error) => return Err(error.into()),
        };
    }
}

fn ask(mountpoint: &Path) -> Result<Value, ControlError> {
    meet(mountpoint).map(state_of)
}

trait View {
    /// False when nobody reads it any more.
    fn show(&mut self, state: &Value) -> Result<bool, Failure>;
    fn pause(&self) -> Duration;
    fn end(&mut self) {}
}

struct Lines {
    json: bool,
}

impl View for Lines {
    fn show(&mut self, state: &Value) -> Result<bool, Failure> {
        let line = if self.json { state.to_string() } else { line(state) };
        let mut out = std::io::stdout().lock();
        match writeln!(out, "{line}").and_then(|()| out.flush()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => {
                Err(Failure::new(ExitCode::Failed, format!("cannot write to standard output: {error}")))
            }
        }
    }

    fn pause(&self) -> Duration {
        LINE
    }
}

/// All that matters, in one line.
fn line(state: &Value) -> String {
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let count = |name: &str| state[name].as_array().map_or(0, Vec::len);
    let owed = &state["owed"];
    let cache = &state["cache"];
    let astray = state["mount"]["astray"].as_str().map(|astray| format!("{}; ", plain(astray)));
    format!(
        "{}owed {} files, {}, {} changes; {}; uploading {}, held {}, errors {}; verified {}; cache {} of {}",
        astray.unwrap_or_default(),
        number(&owed["files"]),
        show_size(number(&owed["bytes"])),
        number(&owed["attributes"]),
        speed(state),
        count("uploading"),
        count("held"),
        count("errors"),
        number(&state["verified"]),
        show_size(number(&cache["used"])),
        show_size(number(&cache["limit"])),
    )
}

struct Bars {
    all: MultiProgress,
    summary: ProgressBar,
    trouble: ProgressBar,
    total: ProgressBar,
    uploads: HashMap<String, ProgressBar>,
    more: ProgressBar,
    /// What was verified before somebody looked: progress counts from there.
    verified: Option<u64>,
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants, and a test reads each.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

const TEXT: &str = "{wide_msg}";
const TOTAL: &str = "files {bar:30} {pos} of {len}  {msg}";
const UPLOAD: &str = "  {bar:30} {bytes:>10} of {total_bytes:<10} {wide_msg}";

impl Bars {
    fn new() -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
        let text = || all.add(ProgressBar::new(0).with_style(style(TEXT)));
        let (summary, trouble) = (text(), text());
        let total = all.add(ProgressBar::new(0).with_style(style(TOTAL)));
        let more = text();
        Self { summary, trouble, total, uploads: HashMap::new(), more, verified: None, all }
    }
}

impl View for Bars {
    fn show(&mut self, state: &Value) -> Result<bool, Failure> {
        let number = |value: &Value| value.as_u64().unwrap_or(0);
        let text = |value: &Value| plain(value.as_str().unwrap_or("?"));
        let verified = number(&state["verified"]);
        let done = verified.saturating_sub(*self.verified.get_or_insert(verified));
        self.summary.set_message(line(state));
        self.trouble.set_message(last_trouble(state).unwrap_or_default());
        self.total.set_length(done + number(&state["owed"]["files"]));
        self.total.set_position(done);
        self.total.set_message(speed(state));
        let uploading = state["uploading"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut here: HashMap<String, ProgressBar> = HashMap::new();
        // Those that have a bar keep it: bars that change places cannot be read.
        let (mut shown, others): (Vec<&Value>, Vec<&Value>) =
            uploading.iter().partition(|upload| self.uploads.contains_key(&text(&upload["path"])));
        shown.extend(others);
        for upload in shown.iter().take(BARS) {
            let path = text(&upload["path"]);
            let bar = self.uploads.remove(&path).unwrap_or_else(|| {
                self.all.insert_before(&self.more, ProgressBar::new(0).with_style(style(UPLOAD)))
            });
            bar.set_message(path.clone());
            bar.set_length(number(&upload["size"]));
            bar.set_position(number(&upload["sent"]));
            here.insert(path, bar);
        }
        for (_, gone) in std::mem::replace(&mut self.uploads, here) {
            gone.finish_and_clear();
            self.all.remove(&gone);
        }
        let rest = uploading.len().saturating_sub(BARS);
        self.more.set_message(if rest > 0 { format!("  and {rest} more") } else { String::new() });
        Ok(true)
    }

    fn pause(&self) -> Duration {
        FRAME
    }

    fn end(&mut self) {
        let _ = self.all.clear();
    }
}

/// The last thing that went wrong and is not mended yet.
fn last_trouble(state: &Value) -> Option<String> {
    if let Some(cause) = state["causes"].get(0).cloned().and_then(|cause| serde_json::from_value(cause).ok())
    {
        return Some(plain(&told(&cause)));
    }
    ["held", "errors"].iter().find_map(|name| {
        let trouble = state[name].as_array()?.first()?;
        let (path, message) = (trouble["path"].as_str()?, trouble["message"].as_str()?);
        Some(plain(&format!("{name}: {path}: {message}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn state() -> Value {
        json!({
            "owed": { "files": 2, "bytes": 2048, "attributes": 1 },
            "rate": { "bytes_per_second": 1024, "files_per_second": 0.5 }, "eta_seconds": 4,
            "uploading": [{ "path": "/a\u{1b}[2J", "sent": 1, "size": 2 }],
            "held": [], "errors": [{ "path": "/b", "message": "no network" }],
            "verified": 7, "cache": { "used": 1, "limit": 2 },
        })
    }

    #[test]
    fn a_line_says_all_that_matters() {
        assert_eq!(
            line(&state()),
            "owed 2 files, 2.0 KiB, 1 changes; 1.0 KiB/s, 0.5 files/s, done in 4 s; uploading 1, held 0, \
             errors 1; verified 7; cache 1 B of 2 B"
        );
        assert_eq!(last_trouble(&state()).unwrap(), "errors: /b: no network");
        assert!(line(&json!({})).starts_with("owed 0 files"), "a state of another version");
    }

    #[test]
    fn bars_come_and_go_with_the_uploads() {
        for template in [TEXT, TOTAL, UPLOAD] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
        let mut bars = Bars::new();
        bars.show(&state()).unwrap();
        let path = bars.uploads.keys().next().unwrap().clone();
        assert!(!path.contains('\u{1b}'), "a name cannot command the terminal");
        assert_eq!((bars.total.position(), bars.total.length()), (0, Some(2)));
        let mut later = state();
        later["verified"] = json!(8);
        later["uploading"] = json!([]);
        bars.show(&later).unwrap();
        assert_eq!((bars.total.position(), bars.uploads.len()), (1, 0));
    }
}
