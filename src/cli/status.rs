//! `status`: what a mount says of itself, for people or as it is.

use std::fmt::Write;

use serde_json::{Value, json};

use super::arguments::StatusArguments;
use super::drain::{NAMED, named, told};
use super::exit_codes::{ExitCode, Failure};
use super::quantities::{show_size, show_time};
use super::{plain, print, watch};
use crate::fs::Hindrance;
use crate::mount::asking::{Met, meet, meet_all};
use crate::mount::life::is_dead;
use crate::mount::mountinfo::ours;

/// Shows one mount, or all.
pub fn run(arguments: &StatusArguments) -> Result<ExitCode, Failure> {
    if let (true, Some(mountpoint)) = (arguments.watch, &arguments.mountpoint) {
        return watch::run(&named(mountpoint)?, arguments.json);
    }
    let (found, mut silent) = match &arguments.mountpoint {
        Some(mountpoint) => (vec![meet(&named(mountpoint)?)?], Vec::new()),
        None => of_all(),
    };
    // What answers is shown, and is no success where it is not the mount at its path.
    silent.extend(found.iter().filter_map(|met| {
        let path = met.talk.mountpoint().display();
        met.astray.as_ref().map(|astray| format!("{path} is {astray}"))
    }));
    let states: Vec<Value> = found.into_iter().map(state_of).collect();
    if arguments.json {
        let shown = match (states.as_slice(), &arguments.mountpoint) {
            ([state], Some(_)) => state.clone(),
            _ => Value::Array(states),
        };
        print(&format!("{shown:#}\n"))?;
    } else if states.is_empty() && silent.is_empty() {
        print("Nothing is mounted.\n")?;
    } else {
        print(&states.iter().map(table).collect::<Vec<_>>().join("\n"))?;
    }
    match silent.is_empty() {
        true => Ok(ExitCode::Done),
        false => Err(Failure::new(ExitCode::Failed, silent.join("\n"))),
    }
}

/// What a mount said, and whether it is at its path, as this process sees it.
pub(super) fn state_of(met: Met) -> Value {
    let mut state = met.status;
    state["mount"]["astray"] = json!(met.astray.map(|astray| astray.to_string()));
    state
}

/// All mounts that answer, and why others do not.
fn of_all() -> (Vec<Met>, Vec<String>) {
    let (found, silent) = meet_all();
    let mut silent: Vec<String> = silent.iter().map(ToString::to_string).collect();
    let mounts = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    for mountpoint in ours(&mounts) {
        let path = mountpoint.display();
        let told = found.iter().any(|met| met.talk.mountpoint() == mountpoint);
        if !told && is_dead(&mountpoint) {
            silent.push(format!(
                "the process of the mount on {path} has ended; `filescomfs umount {path}`, and mount again: what was \
                 owed is taken up"
            ));
        }
    }
    (found, silent)
}

/// How fast it goes, and for how much longer.
pub(super) fn speed(state: &Value) -> String {
    let rate = &state["rate"];
    let bytes = show_size(rate["bytes_per_second"].as_u64().unwrap_or(0));
    let files = rate["files_per_second"].as_f64().unwrap_or(0.0);
    let rest = match state["eta_seconds"].as_u64() {
        Some(0) | None => String::new(),
        Some(seconds) => format!(", done in {}", show_time(seconds)),
    };
    format!("{bytes}/s, {files:.1} files/s{rest}")
}

fn table(state: &Value) -> String {
    let text = |name: &str| state[name].as_str().map_or_else(|| "?".to_owned(), plain);
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let mut shown = format!("{}  {}:{}\n", text("mountpoint"), text("site"), text("folder"));
    let mut row = |name: &str, value: String| {
        let _ = writeln!(shown, "  {name:<10} {value}");
    };
    let owed = &state["owed"];
    if let Some(astray) = state["mount"]["astray"].as_str() {
        row("mount", plain(astray));
    }
    row("close", text("close"));
    if state["reachable"] == false {
        row("network", "Files.com cannot be reached; it is looked for every 5 s".to_owned());
    }
    for cause in state["causes"].as_array().into_iter().flatten() {
        if let Ok(cause) = serde_json::from_value::<Hindrance>(cause.clone()) {
            row("waits", plain(&told(&cause)));
        }
    }
    if let Some(why) = state["read_only"].as_str() {
        row("read-only", plain(why));
    }
    for kept in state["damaged_journals"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        row("journal", format!("an earlier one was damaged, and is kept at {}", plain(kept)));
    }
    let hidden = number(&state["hidden"]);
    if hidden > 0 {
        let (entries, lie) = if hidden == 1 { ("entry", "lies") } else { ("entries", "lie") };
        row("below", format!("{hidden} {entries} {lie} hidden in the folder below the mount"));
    }
    let mut debts = Vec::new();
    if number(&owed["files"]) > 0 {
        let open = number(&owed["open"]);
        let open = if open > 0 { format!(" ({open} of them open for writing)") } else { String::new() };
        debts.push(format!("{} files{open}, {}", number(&owed["files"]), show_size(number(&owed["bytes"]))));
    }
    if number(&owed["attributes"]) > 0 {
        debts.push(format!("{} changes of names and attributes", number(&owed["attributes"])));
    }
    if let Some(seconds) = owed["oldest_seconds"].as_u64() {
        debts.push(format!("oldest {seconds} s"));
    }
    if let (false, Some(seconds)) = (debts.is_empty(), owed["next_retry_seconds"].as_u64()) {
        debts.push(format!("tried again in {seconds} s"));
    }
    let debt = if debts.is_empty() { "nothing".to_owned() } else { debts.join(", ") };
    row("owed", debt);
    let rate = &state["rate"];
    if number(&rate["bytes_per_second"]) > 0 || rate["files_per_second"].as_f64().unwrap_or(0.0) > 0.0 {
        row("rate", speed(state));
    }
    row("verified", number(&state["verified"]).to_string());
    if number(&state["weak"]) > 0 {
        row("weak", format!("{}: enable MD5 in Data Governance, File Integrity", number(&state["weak"])));
    }
    let cache = &state["cache"];
    let [spool, used, limit] = ["spool", "used", "limit"].map(|name| show_size(number(&cache[name])));
    let waiting = number(&cache["writers_waiting"]);
    let waiting = if waiting > 0 { format!("; {waiting} writers wait for room") } else { String::new() };
    row("disk", format!("{spool} owed or being written, {used} cached, of {limit}{waiting}"));
    let calls = state["api_calls"].as_object();
    row("API calls", calls.map_or(0, |calls| calls.values().map(number).sum::<u64>()).to_string());
    if let Some(expiry) = state["key_expires_at"].as_str() {
        row("key ends", plain(expiry));
    }
    for (name, list) in
        [("uploading", &state["uploading"]), ("held", &state["held"]), ("error", &state["errors"])]
    {
        let entries = list.as_array().map(Vec::as_slice).unwrap_or_default();
        for entry in entries.iter().take(NAMED) {
            let path = plain(entry["path"].as_str().unwrap_or("?"));
            row(
                name,
                match entry["message"].as_str() {
                    Some(message) => format!("{path}: {}", plain(message)),
                    None => {
                        let (sent, size) = (number(&entry["sent"]), number(&entry["size"]));
                        format!("{path}: {} of {}", show_size(sent), show_size(size))
                    }
                },
            );
        }
        if entries.len() > NAMED {
            row("", format!("and {} more", entries.len() - NAMED));
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_table_shows_what_matters() {
        let shown = table(&json!({
            "mountpoint": "/mnt", "site": "mysite", "folder": "/b", "close": "verified",
            "owed": { "files": 1, "bytes": 1024, "oldest_seconds": 9, "next_retry_seconds": 4 },
            "uploading": [{ "path": "/x", "sent": 512, "size": 1024 }],
            "held": [], "errors": [{ "path": "/y", "message": "no network" }],
            "verified": 3, "weak": 0, "api_calls": { "list": 2, "stat": 5 },
            "cache": { "used": 0, "limit": 1024, "owed": 0, "spool": 512, "writers_waiting": 2 }, "key_expires_at": null,
        }));
        for line in [
            "/mnt  mysite:/b",
            "1 files, 1.0 KiB, oldest 9 s",
            "/x: 512 B of 1.0 KiB",
            "/y: no network",
            "disk       512 B owed or being written, 0 B cached, of 1.0 KiB; 2 writers wait for room",
        ] {
            assert!(shown.contains(line), "{line} in\n{shown}");
        }
        assert!(shown.contains("API calls  7") && !shown.contains("weak"), "{shown}");
    }

    #[test]
    fn a_rate_is_shown_while_something_moves() {
        let state = |eta: Value| {
            let rate = json!({ "bytes_per_second": 2048, "files_per_second": 1.5 });
            json!({ "rate": rate, "eta_seconds": eta })
        };
        assert!(table(&state(json!(90))).contains("rate       2.0 KiB/s, 1.5 files/s, done in 1 min 30 s"));
        assert!(table(&state(Value::Null)).contains("1.5 files/s\n"));
    }

    #[test]
    fn a_state_of_another_version_is_shown_as_far_as_it_goes() {
        assert!(table(&json!({})).contains("owed       nothing"));
    }
}
