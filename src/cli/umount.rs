//! `umount`: drain, unmount, wait for the daemon's end.
//!
//! A mount whose daemon has died is unmounted all the same, and said to be so: what it owed is in its
//! state folder, and the next mount takes it up. One that lives and cannot be asked stays mounted: nobody knows what
//! it owes.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::arguments::UmountArguments;
use super::drain::{SLACK, debt, drain, named, what_helps};
use super::exit_codes::{ExitCode, Failure};
use super::print;
use crate::mount::asking::{Met, Talk, meet};
use crate::mount::beneath::Beneath;
use crate::mount::control::{ControlError, Request};
use crate::mount::identity::Astray;
use crate::mount::life::is_dead;
use crate::mount::mountinfo::{KIND, View};
use crate::mount::utab;

/// How long a mount may be busy before that is told, and the pause between two attempts.
const BUSY: Duration = Duration::from_secs(2);
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// The least that the daemon is given to end once nothing is mounted any more.
const LAST_WORK: Duration = Duration::from_secs(30);
/// How long a daemon that was told to end with a debt may take: it tries for a minute.
const ENDING: Duration = Duration::from_secs(90);

/// Unmounts.
pub fn run(arguments: &UmountArguments) -> Result<ExitCode, Failure> {
    // Not `canonicalize`: a dead mount answers no question about itself.
    let mountpoint = named(&arguments.mountpoint)?;
    let ended = match meet(&mountpoint) {
        Ok(Met { talk, astray: None | Some(Astray::Silent), .. }) => end(talk, arguments),
        Ok(Met { talk, astray: Some(Astray::Unmounted), .. }) => wait_alone(talk, arguments),
        // A process of somebody else's knows nothing of this mount.
        Ok(Met { astray: Some(Astray::OtherUser { .. } | Astray::NotMounted), .. })
        | Err(ControlError::NotServed(_)) => without_its_process(&mountpoint, arguments),
        // Covered, or elsewhere: what is there stays.
        Ok(met) => met.proven().map(|_| ExitCode::Done).map_err(Failure::from),
        Err(error) => cannot_be_asked(&mountpoint, error, arguments),
    };
    utab::forget_unmounted(&mountpoint);
    if ended.is_ok()
        && let Some(leaked) = Beneath::exposed(&mountpoint)
    {
        let shown = mountpoint.display();
        print(&format!(
            "In the folder {shown} itself, on the local disk, lies what the mount had hidden: {leaked}\n"
        ))?;
    }
    ended
}

/// Unmounts a mount that answers, once it owes nothing.
fn end(mount: Talk, arguments: &UmountArguments) -> Result<ExitCode, Failure> {
    let mountpoint = mount.mountpoint().to_owned();
    let timeout = if arguments.lazy { Duration::ZERO } else { arguments.timeout };
    match drain(|request, patience| mount.ask_wherever(request, patience), "", timeout) {
        Ok(outcome) => {
            let debt = debt(&outcome.remainder);
            if let Some(debt) = &debt
                && !arguments.lazy
            {
                let shown = mountpoint.display();
                let text = format!(
                    "{debt}{shown} is still mounted; {}, or leave the rest for the next mount with --lazy",
                    what_helps(&outcome.remainder, &mountpoint)
                );
                return Err(Failure::new(ExitCode::Owed, text));
            }
            match debt {
                None => {
                    // What came over it during the wait is not taken away in its place.
                    still_there(&mount)?;
                    unmount(&mountpoint, arguments.lazy)?;
                    wait_for_end(&mount, arguments.timeout.max(LAST_WORK))?;
                }
                Some(debt) => leave(&mount, &debt)?,
            }
            Ok(ExitCode::Done)
        }
        Err(ControlError::NotServed(_)) => without_its_process(&mountpoint, arguments),
        Err(error) => cannot_be_asked(&mountpoint, error, arguments),
    }
}

/// Is the mount still the uppermost one at its path?
fn still_there(mount: &Talk) -> Result<(), Failure> {
    match mount.ask(&Request::Status, SLACK) {
        Ok(_) | Err(ControlError::Astray(_, Astray::Silent)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Others have unmounted it already: what is left is to wait for its process, which goes on sending.
fn wait_alone(mount: Talk, arguments: &UmountArguments) -> Result<ExitCode, Failure> {
    let timeout = if arguments.lazy { Duration::ZERO } else { arguments.timeout };
    let drained = drain(|request, patience| mount.ask_wherever(request, patience), "", timeout);
    let shown = mount.mountpoint().display();
    match drained.as_ref().map(|outcome| debt(&outcome.remainder)) {
        Ok(Some(debt)) if !arguments.lazy => {
            let text = format!("{debt}{shown} was unmounted before; its filescomfs still sends");
            return Err(Failure::new(ExitCode::Owed, text));
        }
        Ok(Some(debt)) => leave(&mount, &debt)?,
        // It has sent all, and ends.
        Ok(None) | Err(ControlError::NotServed(_)) => wait_for_end(&mount, arguments.timeout.max(LAST_WORK))?,
        Err(_) => return drained.map(|_| ExitCode::Done).map_err(Failure::from),
    }
    Ok(ExitCode::Done)
}

/// Unmounts a mount whose process has ended, or, lazily, one whose process cannot be asked.
fn without_its_process(mountpoint: &Path, arguments: &UmountArguments) -> Result<ExitCode, Failure> {
    must_be_ours(mountpoint)?;
    let is_dead = is_dead(mountpoint);
    if !is_dead && !arguments.lazy {
        let text = format!(
            "{0} is mounted, and its filescomfs cannot be asked what it owes: another user mounted it \
             (ask as that user, or as root), its socket was removed, or it hangs. It stays mounted; \
             --lazy unmounts it, and what is owed is then sent for up to 10 minutes, or by the next mount",
            mountpoint.display()
        );
        return Err(Failure::new(ExitCode::Owed, text));
    }
    unmount(mountpoint, arguments.lazy)?;
    let about = match is_dead {
        true => "The mount had no running filescomfs.",
        false => "Its filescomfs could not be asked, and goes on sending for up to 10 minutes.",
    };
    print(&format!(
        "{about} What it owed, if anything, is in its state folder, and the next mount takes it up.\n"
    ))?;
    Ok(ExitCode::Done)
}

/// It lives and does not answer: nobody knows what it owes.
fn cannot_be_asked(
    mountpoint: &Path,
    error: ControlError,
    arguments: &UmountArguments,
) -> Result<ExitCode, Failure> {
    match error {
        ControlError::TimedOut(_) | ControlError::Garbled if arguments.lazy => {
            must_be_ours(mountpoint)?;
            unmount(mountpoint, true)?;
            Ok(ExitCode::Done)
        }
        error @ ControlError::TimedOut(_) => {
            Err(Failure::new(ExitCode::Owed, format!("{error}; it is still mounted")))
        }
        error => Err(error.into()),
    }
}

/// Where no daemon answers, only the kernel can say what is mounted: root must not unmount a disk by
/// a slip of the finger.
fn must_be_ours(mountpoint: &Path) -> Result<(), Failure> {
    let view = View::of(mountpoint)
        .map_err(|error| Failure::new(ExitCode::Failed, format!("cannot see what is mounted: {error}")))?;
    is_ours(&view, mountpoint)
}

/// The same, as the kernel tells.
fn is_ours(view: &View, mountpoint: &Path) -> Result<(), Failure> {
    let shown = mountpoint.display();
    let failed = |text: String| Err(Failure::new(ExitCode::Failed, text));
    match view.top().filter(|top| top.path == mountpoint).map(|top| top.kind) {
        Some(kind) if kind == KIND => Ok(()),
        Some(kind) => {
            let kind = String::from_utf8_lossy(kind);
            failed(format!("{shown} is a {kind} mount, none of filescomfs; umount(8) unmounts it"))
        }
        None => failed(format!("nothing is mounted on {shown}")),
    }
}

/// Programs that have just ended may let go of it a moment later.
fn unmount(mountpoint: &Path, lazy: bool) -> Result<(), Failure> {
    let end = Instant::now() + BUSY;
    let outcome = loop {
        match crate::mount::unmount::unmount(mountpoint, lazy) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < end => {
                std::thread::sleep(BUSY_PAUSE);
            }
            outcome => break outcome,
        }
    };
    outcome.map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::ResourceBusy => {
                "; end the programs that use it (fuser -vm shows them), or use --lazy"
            }
            _ => "",
        };
        let text = format!("cannot unmount {}: {error}{hint}", mountpoint.display());
        Failure::new(ExitCode::Failed, text)
    })
}

/// Unmounts although something is owed: the daemon does it itself, so that it knows that it is to
/// end and does not go on sending until the debt is paid.
fn leave(mount: &Talk, debt: &str) -> Result<(), Failure> {
    if mount.ask_wherever(&Request::Stop, SLACK).is_err() {
        unmount(mount.mountpoint(), true)?;
    }
    print(&format!("{debt}It stays in the state folder, and the next mount takes it up.\n"))?;
    if let Err(still_runs) = wait_for_end(mount, ENDING) {
        print(&format!("{still_runs}; it ends by itself\n"))?;
    }
    Ok(())
}

/// A process that has ended and waits to be collected does not count.
fn is_running(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

/// The next mount finds its folders free only when this daemon is gone.
fn wait_for_end(mount: &Talk, patience: Duration) -> Result<(), Failure> {
    let end = Instant::now() + patience;
    while mount.is_served() || is_running(mount.process()) {
        if Instant::now() >= end {
            let text =
                format!("{} is unmounted, but its filescomfs still runs", mount.mountpoint().display());
            return Err(Failure::new(ExitCode::Owed, text));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_kept_from_unmounting_what_is_not_ours() {
        let mounts = b"22 1 0:21 / /proc rw - proc proc rw\n\
                       23 1 0:50 / /mnt rw - fuse.filescomfs site:/b rw\n\
                       24 1 8:2 / /srv/backup rw - ext4 /dev/sdb1 rw\n\
                       25 1 0:51 / /srv/backup/mnt rw - fuse.filescomfs site:/c rw\n\
                       26 25 0:52 / /srv/backup/mnt rw - tmpfs tmpfs rw\n";
        let refused = |path: &str, top| {
            let view = View::invented(mounts, top);
            is_ours(&view, Path::new(path)).err().map(|failure| failure.message)
        };
        assert_eq!(refused("/mnt", Some(23)), None);
        for (path, top, words) in [
            ("/proc", Some(22), "is a proc mount, none of filescomfs"),
            ("/srv/backup", Some(24), "is a ext4 mount, none of filescomfs"),
            // Ours is below it, and what is unmounted is what lies on top.
            ("/srv/backup/mnt", Some(26), "is a tmpfs mount, none of filescomfs"),
            ("/mnt/inside", Some(23), "nothing is mounted on"),
            ("/", None, "nothing is mounted on"),
        ] {
            let told = refused(path, top).unwrap_or_else(|| panic!("{path} would be unmounted"));
            assert!(told.contains(words), "{path}: {told}");
        }
    }
}
