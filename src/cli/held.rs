//! `held`: what Files.com refused for good, and what a person decides about it.

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::arguments::{HeldArguments, HeldCommand};
use super::drain::named;
use super::exit_codes::{ExitCode, Failure};
use super::export::{Stamp, copy_file, copy_link};
use super::manifest::local_name;
use super::quantities::show_size;
use super::{place, plain, print};
use crate::fs::{Decided, HeldThing, Verdict};
use crate::mount::asking::Talk;
use crate::mount::control::{ControlError, Request};

/// How long the mount may think about a question that asks nobody else.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long another attempt may take: files may be large.
const LONG: Duration = Duration::from_secs(86_400);

/// Does what was asked.
pub fn run(arguments: &HeldArguments) -> Result<ExitCode, Failure> {
    let mount = Talk::with(&named(&arguments.mountpoint)?)?;
    let desk = Desk { typed: &arguments.mountpoint, mount };
    match &arguments.what {
        HeldCommand::List { json, paths } => desk.list(*json, paths),
        HeldCommand::Retry { paths } => desk.retry(paths),
        HeldCommand::Export { folder, paths } => desk.export(folder, paths),
        HeldCommand::Discard { paths, all, yes } => desk.discard(paths, *all, *yes),
    }
}

struct Desk<'a> {
    typed: &'a Path,
    mount: Talk,
}

impl Desk<'_> {
    fn below(&self, paths: &[PathBuf]) -> Result<Vec<String>, Failure> {
        paths.iter().map(|path| place::below(self.typed, self.mount.mountpoint(), path)).collect()
    }

    fn ask(&self, request: &Request, patience: Duration) -> Result<Value, Failure> {
        Ok(self.mount.ask(request, patience)?)
    }

    fn held(&self, paths: &[PathBuf]) -> Result<(Value, Vec<HeldThing>), Failure> {
        let mut answer = self.ask(&Request::Held { paths: self.below(paths)? }, PATIENCE)?;
        let held = answer["held"].take();
        let things = serde_json::from_value(held.clone()).map_err(|_| ControlError::Garbled)?;
        Ok((held, things))
    }

    fn list(&self, json: bool, paths: &[PathBuf]) -> Result<ExitCode, Failure> {
        let (answer, things) = self.held(paths)?;
        let text = match (json, things.is_empty()) {
            (true, _) => format!("{answer:#}\n"),
            (false, true) => "Nothing is held.\n".to_owned(),
            (false, false) => things.iter().map(shown).collect(),
        };
        print(&text)?;
        Ok(ExitCode::Done)
    }

    fn retry(&self, paths: &[PathBuf]) -> Result<ExitCode, Failure> {
        let answer = self.ask(&Request::Retry { paths: self.below(paths)? }, LONG)?;
        let decided = decided(&answer, "retried")?;
        print(&told(&decided))?;
        let done = decided.iter().all(|one| one.outcome == Verdict::Done);
        Ok(if done { ExitCode::Done } else { ExitCode::Owed })
    }

    /// Through the mount: it shows the bytes that are held, and a file that is open stays what it is.
    fn export(&self, folder: &Path, paths: &[PathBuf]) -> Result<ExitCode, Failure> {
        let (_, things) = self.held(paths)?;
        let (mut copied, mut failures) = (0u64, String::new());
        for below in things.iter().filter_map(|thing| thing.below.as_deref()) {
            let name = local_name(below).ok_or(ControlError::Garbled)?;
            match copy(&self.mount.mountpoint().join(&name), &folder.join(&name)) {
                Ok(()) => copied += 1,
                Err(error) => failures.push_str(&format!("  {}: {error}\n", name.display())),
            }
        }
        print(&format!("{copied} files copied to {}; they are still held\n", folder.display()))?;
        let others = things.iter().filter(|thing| thing.below.is_none()).count();
        if others > 0 {
            print(&format!(
                "{others} held things are no files of the mount and have nothing to copy here\n"
            ))?;
        }
        if failures.is_empty() {
            return Ok(ExitCode::Done);
        }
        Err(Failure::new(ExitCode::Failed, format!("these were not copied:\n{failures}")))
    }

    fn discard(&self, paths: &[PathBuf], all: bool, yes: bool) -> Result<ExitCode, Failure> {
        let (_, things) = self.held(paths)?;
        if things.is_empty() {
            print("Nothing is held there.\n")?;
            return Ok(ExitCode::Done);
        }
        if !yes {
            confirm(&things)?;
        }
        // What was shown, and what it was then: meanwhile more may be held, or something else.
        let keys: Vec<String> = things.iter().map(|thing| thing.key.clone()).collect();
        let answer = self.ask(&Request::Discard { paths: self.below(paths)?, all, keys }, LONG)?;
        let decided = decided(&answer, "discarded")?;
        print(&told(&decided))?;
        if decided.len() < things.len() {
            let changed = things.len() - decided.len();
            print(&format!("{changed} of what was shown changed meanwhile, and were not touched\n"))?;
        }
        let done =
            decided.iter().all(|one| one.outcome == Verdict::Discarded) && decided.len() == things.len();
        Ok(if done { ExitCode::Done } else { ExitCode::Owed })
    }
}

fn decided(answer: &Value, name: &str) -> Result<Vec<Decided>, Failure> {
    Ok(serde_json::from_value(answer[name].clone()).map_err(|_| ControlError::Garbled)?)
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    let metadata = from.symlink_metadata()?;
    match metadata.is_symlink() {
        true => copy_link(&from.read_link()?, to),
        false => copy_file(from, to, Stamp::of(&metadata)),
    }
}

fn shown(thing: &HeldThing) -> String {
    let size = thing.size.map(|size| format!(" ({})", show_size(size))).unwrap_or_default();
    let replaces = if thing.replaces { "; Files.com has another version" } else { "" };
    format!("{}{size}: {}{replaces}\n", plain(&thing.path), plain(&thing.message))
}

fn told(decided: &[Decided]) -> String {
    if decided.is_empty() {
        return "Nothing is held.\n".to_owned();
    }
    let line = |one: &Decided| {
        let word = match one.outcome {
            Verdict::Done => "on Files.com",
            Verdict::Owed => "still owed, and tried again",
            Verdict::Held => "still held",
            Verdict::Discarded => "discarded",
        };
        let why = one.message.as_deref().map(|why| format!(": {}", plain(why))).unwrap_or_default();
        format!("{}: {word}{why}\n", plain(&one.path))
    };
    decided.iter().map(line).collect()
}

/// A person says yes, or nothing happens.
fn confirm(things: &[HeldThing]) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(
            ExitCode::Usage,
            "nobody can be asked here; say --yes to give up the bytes",
        ));
    }
    let list: String = things.iter().map(shown).collect();
    print(&format!("{list}The only copy of these bytes on this side is given up. Type yes to go on: "))?;
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    let _ = std::io::stdout().flush();
    match read {
        Ok(_) if answer.trim() == "yes" => Ok(()),
        _ => Err(Failure::new(ExitCode::Failed, "nothing was given up")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::Kind;

    #[test]
    fn what_is_held_is_shown_with_its_reason() {
        let thing = HeldThing {
            path: "/a\u{1b}".into(),
            key: String::new(),
            below: Some("a".into()),
            kind: Kind::File,
            size: Some(1024),
            replaces: true,
            message: "refused".into(),
        };
        assert_eq!(shown(&thing), "/a\u{fffd} (1.0 KiB): refused; Files.com has another version\n");
    }

    #[test]
    fn an_outcome_is_told_with_its_reason() {
        let one = |outcome, message: Option<&str>| Decided {
            path: "/a".into(),
            outcome,
            message: message.map(str::to_owned),
        };
        let text = told(&[one(Verdict::Done, None), one(Verdict::Held, Some("no permission"))]);
        assert_eq!(text, "/a: on Files.com\n/a: still held: no permission\n");
        assert_eq!(told(&[]), "Nothing is held.\n");
    }
}
