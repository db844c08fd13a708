//! `recover`: what a mount left that ended before its time, without a mount and without a network.

use std::fmt::Write;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::{Value, json};

use super::arguments::RecoverArguments;
use super::exit_codes::{ExitCode, Failure};
use super::export::{Stamp, copy_file, copy_link};
use super::manifest::local_name;
use super::quantities::{show_size, show_time};
use super::{plain, print, resolve};
use crate::config::{self, Environment};
use crate::local::journal::{EntryDebt, Journal, Owed};
use crate::local::lock::StateLock;
use crate::local::recovery::{self, Recovery};
use crate::model::ino::ContentId;

/// Shows the plan, and carries out what needs no network.
pub fn run(arguments: &RecoverArguments) -> Result<ExitCode, Failure> {
    let state_dir = resolve::absolute(&arguments.state_dir)?;
    let journal = state_dir.join("journal.sqlite");
    if !journal.is_file() {
        let text = format!("{} is no state folder of filescomfs: it has no journal", state_dir.display());
        return Err(Failure::new(ExitCode::Usage, text));
    }
    let failed = |text: String| Failure::new(ExitCode::Failed, text);
    let _lock = StateLock::take(&state_dir).map_err(|error| failed(error.to_string()))?;
    let facts = Journal::look(&journal).map_err(|error| {
        failed(format!("{} cannot be read: {error}; nothing was changed", journal.display()))
    })?;
    let cannot = |error: io::Error| failed(format!("cannot look into {}: {error}", state_dir.display()));
    let cache_dir = cache_of(&state_dir, arguments.cache_dir.as_deref())?;
    let left = recovery::survey(&state_dir, cache_dir.as_deref()).map_err(cannot)?;
    let plan = Recovery::plan(facts, left);
    let site = Site { quarantine: recovery::quarantined(&state_dir).map_err(cannot)?, state_dir, cache_dir };
    let mut shown = site.describe(&plan);
    let failures = match arguments.plan {
        true => String::new(),
        false => site.carry_out(&plan, arguments.export.as_deref(), &mut shown)?,
    };
    print(&if arguments.json { format!("{shown:#}\n") } else { table(&shown) })?;
    match failures.is_empty() {
        true => Ok(ExitCode::Done),
        false => Err(failed(format!("these were not copied:\n{failures}"))),
    }
}

/// The cache of the mount, which tells bytes that were proven from bytes that are lost.
fn cache_of(state_dir: &Path, given: Option<&Path>) -> Result<Option<PathBuf>, Failure> {
    if let Some(given) = given {
        return resolve::absolute(given).map(Some);
    }
    let name = state_dir.file_name().unwrap_or_default();
    let usual = if name == "state" {
        state_dir.parent().map(Path::to_owned)
    } else {
        let environment = Environment::of_this_process();
        let places =
            config::default_places(&environment, &name.to_string_lossy(), Some(state_dir.to_owned()), None);
        places.ok().map(|(_, cache)| cache)
    };
    Ok(usual.filter(|cache| cache.join("content").is_dir()))
}

struct Site {
    state_dir: PathBuf,
    cache_dir: Option<PathBuf>,
    quarantine: Vec<PathBuf>,
}

impl Site {
    fn describe(&self, plan: &Recovery) -> Value {
        let owed: Vec<Value> = plan
            .owed
            .iter()
            .map(|owed| {
                let spooled = self.spooled(owed.id);
                json!({
                    "path": owed.path.to_string(), "size": owed.size, "age_seconds": age(&spooled),
                    "link": owed.is_link, "file": spooled.display().to_string(),
                })
            })
            .collect();
        let unknown: Vec<Value> = plan.unknown.iter().map(|id| file(&self.spooled(*id))).collect();
        let quarantine: Vec<Value> = self.quarantine.iter().map(|path| file(path)).collect();
        let broken = plan.broken.iter();
        let broken: Vec<Value> =
            broken.map(|owed| json!({ "path": owed.path.to_string(), "size": owed.size })).collect();
        let entries = plan.entries.iter().map(|entry| {
            let what = if entry.what == EntryDebt::Folder { "folder" } else { "attributes" };
            json!({ "path": entry.path.to_string(), "what": what })
        });
        let entries: Vec<Value> = entries.collect();
        let changes: Vec<String> = plan.steps.iter().map(|(_, step)| step.to_string()).collect();
        json!({
            "state_dir": self.state_dir.display().to_string(),
            "cache_dir": self.cache_dir.as_ref().map(|folder| folder.display().to_string()),
            "owed": owed,
            "changes": changes,
            "entries": entries,
            "unknown": unknown,
            "broken": broken,
            "proven": plan.proven.len(),
            "quarantine": quarantine,
        })
    }

    fn spooled(&self, id: ContentId) -> PathBuf {
        recovery::spooled(&self.state_dir, id)
    }

    /// Sets aside what is unknown, copies what is owed, and adds to `shown` what was done. What could
    /// not be copied is returned.
    fn carry_out(
        &self,
        plan: &Recovery,
        export: Option<&Path>,
        shown: &mut Value,
    ) -> Result<String, Failure> {
        let mut aside = Vec::new();
        for id in &plan.unknown {
            let moved = recovery::set_aside(&self.state_dir, *id);
            let moved = moved.map_err(|error| {
                let spooled = self.spooled(*id);
                Failure::new(ExitCode::Failed, format!("cannot set {} aside: {error}", spooled.display()))
            })?;
            aside.push(moved.display().to_string());
        }
        shown["set_aside"] = json!(aside);
        let Some(folder) = export else { return Ok(String::new()) };
        let (mut copied, mut failures) = (0u64, String::new());
        for owed in &plan.owed {
            match self.copy(owed, folder) {
                Ok(()) => copied += 1,
                Err(error) => {
                    let _ = writeln!(failures, "  {}: {error}", plain(&owed.path.to_string()));
                }
            }
        }
        shown["exported"] = json!({ "folder": folder.display().to_string(), "files": copied });
        Ok(failures)
    }

    fn copy(&self, owed: &Owed, folder: &Path) -> io::Result<()> {
        let from = self.spooled(owed.id);
        let name = local_name(owed.path.as_str()).ok_or(io::ErrorKind::InvalidFilename)?;
        let to = folder.join(name);
        if owed.is_link {
            return copy_link(Path::new(&std::ffi::OsString::from_vec(fs::read(from)?)), &to);
        }
        let attributes = owed.attributes;
        let (owner, mtime) = ((attributes.uid, attributes.gid), SystemTime::from(attributes.mtime));
        copy_file(&from, &to, Stamp { mode: attributes.mode.into(), owner, mtime })
    }
}

fn file(path: &Path) -> Value {
    let size = fs::symlink_metadata(path).map(|found| found.len()).ok();
    json!({ "file": path.display().to_string(), "size": size, "age_seconds": age(path) })
}

/// How long ago it was written.
fn age(path: &Path) -> Option<u64> {
    let written = fs::symlink_metadata(path).ok()?.modified().ok()?;
    SystemTime::now().duration_since(written).ok().map(|age| age.as_secs())
}

fn table(shown: &Value) -> String {
    let list = |name: &str| shown[name].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().map_or_else(String::new, plain);
    let size = |entry: &Value| entry["size"].as_u64().map_or("?".to_owned(), show_size);
    let age = |entry: &Value| entry["age_seconds"].as_u64().map_or("?".to_owned(), show_time);
    let mut table = String::new();
    let mut section = |name: &str, heading: &str, line: &dyn Fn(&Value) -> String| {
        let entries = list(name);
        if !entries.is_empty() {
            let _ = writeln!(table, "{heading}: {}", entries.len());
            for entry in &entries {
                let _ = writeln!(table, "  {}", line(entry));
            }
        }
    };
    section("owed", "Owed to Files.com; the next mount with this state folder sends them", &|entry| {
        format!("{}  {}, written {} ago", text(&entry["path"]), size(entry), age(entry))
    });
    section("changes", "Changes of names that the next mount makes on Files.com", &|step| text(step));
    section("entries", "Folders and attributes that the next mount tells Files.com of", &|entry| {
        format!("{}  {}", text(&entry["path"]), text(&entry["what"]))
    });
    section("unknown", "Unknown files in the spool: the end came before they were complete", &|entry| {
        format!("{}  {}, written {} ago", text(&entry["file"]), size(entry), age(entry))
    });
    let broken = match shown["cache_dir"].is_null() {
        true => {
            "In the journal without bytes: lost, or proven and in a cache that is not known (--cache-dir)"
        }
        false => "In the journal without bytes: lost",
    };
    section("broken", broken, &|entry| format!("{}  {}", text(&entry["path"]), size(entry)));
    section("quarantine", "Set aside earlier", &|entry| {
        format!("{}  {}, written {} ago", text(&entry["file"]), size(entry), age(entry))
    });
    section("set_aside", "Set aside now", &|entry| text(entry));
    if let Some(files) = shown["exported"]["files"].as_u64() {
        let _ = writeln!(table, "Copied to {}: {files}", text(&shown["exported"]["folder"]));
    }
    if table.is_empty() {
        table.push_str("Nothing is owed, and nothing is left.\n");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_shown_with_what_matters() {
        let shown = table(&json!({
            "cache_dir": null,
            "owed": [{ "path": "/b/f\u{1b}", "size": 1024, "age_seconds": 61 }],
            "changes": ["delete /b/old"], "entries": [], "unknown": [],
            "broken": [{ "path": "/b/lost", "size": 3 }], "quarantine": [],
        }));
        for line in [
            "sends them: 1\n  /b/f\u{fffd}  1.0 KiB, written 1 min 1 s ago\n",
            "on Files.com: 1\n  delete /b/old\n",
            "(--cache-dir): 1\n  /b/lost  3 B\n",
        ] {
            assert!(shown.contains(line), "{line} in\n{shown}");
        }
        assert_eq!(table(&json!({})), "Nothing is owed, and nothing is left.\n");
    }
}
