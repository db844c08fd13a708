//! Is this machine ready for a mount: FUSE, the mountpoint, the local disk, the descriptors?

use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::check::Checklist;
use crate::cli::exit_codes::ExitCode;
use crate::cli::quantities::show_size;
use crate::mount::beneath::Beneath;
use crate::mount::fuse_fault;
use crate::mount::life::is_dead;
use crate::mount::mountinfo::{KIND, View};

/// Descriptors below which many files at a time do not fit: each takes some for itself, its parts and its connections.
const ENOUGH: u64 = 4096;

/// Checks what every mount needs.
pub fn machine(checks: &mut Checklist<'_>) {
    match fuse_fault::look() {
        None => checks.good("FUSE", "can be mounted"),
        Some(fault) => {
            let text = fault.to_string();
            let (what, remedy) = text.split_once(": ").unwrap_or((&text, "See to it, and test again."));
            checks.bad("FUSE", ExitCode::Failed, what, capitalised(remedy));
        }
    }
    match descriptors() {
        Some(limit) if limit < ENOUGH => checks.warn(
            "descriptors",
            format!("{limit} at most"),
            format!("Raise the hard limit to {ENOUGH} or more (ulimit -Hn, LimitNOFILE= of a unit)."),
        ),
        Some(limit) => checks.good("descriptors", format!("{limit} at most")),
        None => {}
    }
}

/// Checks a mountpoint.
pub fn mountpoint(path: &Path, checks: &mut Checklist<'_>) {
    let shown = path.display();
    let view = View::of(path);
    let top = view.as_ref().ok().and_then(View::top).filter(|top| top.path == path);
    if let Some(top) = top {
        let kind = String::from_utf8_lossy(top.kind).into_owned();
        if top.kind != KIND {
            let remedy = "Unmount it, or name another folder.";
            checks.warn("mountpoint", format!("a {kind} mount is on {shown}"), remedy);
        } else if is_dead(path) {
            let remedy = "The next mount takes it away, and sends what it owed.";
            checks.warn("mountpoint", format!("a mount whose process has ended is on {shown}"), remedy);
        } else {
            checks.good("mountpoint", format!("{shown} is mounted"));
        }
        return;
    }
    match path.metadata() {
        Ok(found) if found.is_dir() => {}
        Ok(_) => {
            return checks.bad(
                "mountpoint",
                ExitCode::Usage,
                format!("{shown} is no folder"),
                "Name a folder.",
            );
        }
        Err(error) => {
            let remedy = format!("Type: mkdir {shown}");
            return checks.bad("mountpoint", ExitCode::Usage, format!("{shown}: {error}"), remedy);
        }
    }
    match Beneath::of(path) {
        Ok(beneath) if beneath.entries > 0 => checks.warn(
            "mountpoint",
            format!("{shown} is not empty: {beneath}"),
            "A tool may have written there while nothing was mounted. Move it away: a mount hides it.",
        ),
        Ok(_) => checks.good("mountpoint", format!("{shown} is an empty folder")),
        Err(error) => checks.warn("mountpoint", format!("{shown}: {error}"), "Let this user read it."),
    }
}

/// Checks the disk for what is owed and cached. Nothing is made there.
pub fn disk(state: &Path, cache: &Path, wanted: u64, checks: &mut Checklist<'_>) {
    for (name, folder) in [("state", state), ("cache", cache)] {
        let there = folder.ancestors().find(|above| above.exists()).unwrap_or(Path::new("/"));
        let Ok(path) = CString::new(there.as_os_str().as_bytes()) else { continue };
        // SAFETY: a C string that lives through the call.
        if unsafe { libc::access(path.as_ptr(), libc::W_OK | libc::X_OK) } != 0 {
            let error = std::io::Error::last_os_error();
            let detail = format!("{} cannot be written to: {error}", there.display());
            checks.bad(
                name,
                ExitCode::Failed,
                detail,
                "Give it to this user, or name another: --state-dir, --cache-dir.",
            );
            continue;
        }
        let mut about = MaybeUninit::<libc::statvfs>::zeroed();
        // SAFETY: both pointers live through the call, and all zero is a value of the struct.
        let (failed, about) =
            unsafe { (libc::statvfs(path.as_ptr(), about.as_mut_ptr()) != 0, about.assume_init()) };
        let free = about.f_bavail * about.f_frsize;
        let place = folder.display();
        match free {
            _ if failed => {}
            free if free < wanted => checks.warn(
                name,
                format!("{place}: {} free, and --cache-size is {}", show_size(free), show_size(wanted)),
                "Writers get ENOSPC when the disk is full: free some space, or lower --cache-size.",
            ),
            free => checks.good(name, format!("{place}: {} free", show_size(free))),
        }
    }
}

/// How many files a process may have open, at most.
fn descriptors() -> Option<u64> {
    let mut limit = MaybeUninit::<libc::rlimit>::zeroed();
    // SAFETY: the struct lives through the call, and all zero is a value of it.
    let (failed, limit) =
        unsafe { (libc::getrlimit(libc::RLIMIT_NOFILE, limit.as_mut_ptr()) != 0, limit.assume_init()) };
    (!failed).then_some(limit.rlim_max)
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", characters.as_str())
}
