//! Is the folder there, can it be listed, and what may we do in it?

use super::Plan;
use super::check::Checklist;
use super::service::Service;
use crate::cli::exit_codes::ExitCode;
use crate::model::entry::{Kind, Permissions};
use crate::remote::ErrorKind;

/// Lists the folder. Says whether a probe file makes sense.
pub(super) async fn check<S: Service>(service: &S, plan: &Plan, checks: &mut Checklist<'_>) -> bool {
    let folder = &plan.folder;
    // An empty answer may also be that of a folder which is not there, so the entry is asked for too.
    let entry = match service.stat(folder).await {
        Ok(entry) => entry,
        Err(refusal) => {
            let code = ExitCode::from(refusal.kind);
            checks.bad("folder", code, denied(refusal.kind, &refusal.detail), refusal.remedy);
            return false;
        }
    };
    match &entry {
        None if !folder.is_root() => {
            let remedy = "Create it, or check its spelling. Files.com says 'not found' also where a \
                          permission is missing.";
            checks.bad("folder", ExitCode::Folder, format!("{folder} is not there"), remedy);
            return false;
        }
        Some(entry) if entry.kind == Kind::File => {
            checks.bad("folder", ExitCode::Folder, format!("{folder} is a file"), "Name a folder.");
            return false;
        }
        _ => {}
    }
    if let Err(refusal) = service.probe_list(folder).await {
        let code = ExitCode::from(refusal.kind);
        checks.bad("folder", code, denied(refusal.kind, &refusal.detail), refusal.remedy);
        return false;
    }
    checks.good("folder", format!("{folder} is there and can be listed"));
    match entry {
        Some(entry) => tell_permissions(entry.permissions, plan.read_only, checks),
        None if plan.write || plan.read_only => {}
        None => {
            let remedy = "Add --write: a small file shows whether this key may write there.";
            checks.warn("permissions", "Files.com tells none of the site's root", remedy);
        }
    }
    true
}

fn denied(kind: ErrorKind, detail: &str) -> String {
    match kind {
        ErrorKind::Permission | ErrorKind::ReadOnly => format!("permission denied: {detail}"),
        ErrorKind::NotFound => format!("folder not found: {detail}"),
        _ => detail.to_owned(),
    }
}

fn tell_permissions(allowed: Permissions, read_only: bool, checks: &mut Checklist<'_>) {
    let reading = [("list", allowed.list), ("read", allowed.read)];
    let writing = [("write", allowed.write), ("delete", allowed.delete)];
    let all: Vec<(&str, bool)> =
        reading.into_iter().chain(writing.into_iter().filter(|_| !read_only)).collect();
    let names = |wanted: bool| {
        let names: Vec<&str> = all.iter().filter(|(_, has)| *has == wanted).map(|(name, _)| *name).collect();
        names.join(", ")
    };
    if all.iter().all(|(_, has)| *has) {
        checks.good("permissions", names(true));
        return;
    }
    let detail = format!("missing: {} (allowed: {})", names(false), names(true));
    let is_enough = if read_only { allowed.read } else { allowed.write };
    if is_enough {
        let remedy = "Ask the site's administrator for them, unless the mount is meant to do without.";
        checks.warn("permissions", detail, remedy);
    } else {
        let remedy = "Ask the site's administrator for them. Without the permission to write this is no target \
                      for a backup; to read from it alone, test and mount with --read-only.";
        checks.bad("permissions", ExitCode::Permission, format!("permission denied: {detail}"), remedy);
    }
}
