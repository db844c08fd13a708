//! `umount`: drain, unmount, wait for the daemon's end.
//!
//! A mount whose daemon has died is unmounted all the same, and said to be so: what it owed is in its
//! state folder, and the next mount takes it up. One that lives and cannot be asked stays mounted: nobody knows what
//! it owes.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::arguments::UmountArguments;
use super::drain::{SLACK, debt, drain, named, what_helps};
use super::exit_codes::{ExitCode, Failure};
use super::print;
use crate::mount::control::{self, ControlError, Request};

/// How long a mount may be busy before that is told, and the pause between two attempts.
const BUSY: Duration = Duration::from_secs(2);
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// The least that the daemon is given to end once nothing is mounted any more.
const LAST_WORK: Duration = Duration::from_secs(30);
/// How long a mount may take to say whether its daemon lives.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
/// How long a daemon that was told to end with a debt may take: it tries for a minute.
const ENDING: Duration = Duration::from_secs(90);

/// Unmounts.
pub fn run(arguments: &UmountArguments) -> Result<ExitCode, Failure> {
    // Not `canonicalize`: a dead mount answers no question about itself.
    let mountpoint = named(&arguments.mountpoint)?;
    match drain(&mountpoint, "", if arguments.lazy { Duration::ZERO } else { arguments.timeout }) {
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
                    let daemon = process(&mountpoint);
                    unmount(&mountpoint, arguments.lazy)?;
                    wait_for_end(&mountpoint, daemon, arguments.timeout.max(LAST_WORK))?;
                }
                Some(debt) => leave(&mountpoint, &debt)?,
            }
            Ok(ExitCode::Done)
        }
        Err(ControlError::NotServed(_)) => {
            must_be_ours(&mountpoint)?;
            let is_dead = is_dead(&mountpoint);
            if !is_dead && !arguments.lazy {
                let text = format!(
                    "{0} is mounted, and its filescomfs cannot be asked what it owes: another user mounted it \
                     (ask as that user, or as root), its socket was removed, or it hangs. It stays mounted; \
                     --lazy unmounts it, and what is owed is then sent for up to 10 minutes, or by the next mount",
                    mountpoint.display()
                );
                return Err(Failure::new(ExitCode::Owed, text));
            }
            unmount(&mountpoint, arguments.lazy)?;
            let about = match is_dead {
                true => "The mount had no running filescomfs.",
                false => "Its filescomfs could not be asked, and goes on sending for up to 10 minutes.",
            };
            print(&format!(
                "{about} What it owed, if anything, is in its state folder, and the next mount takes it up.\n"
            ))?;
            Ok(ExitCode::Done)
        }
        Err(ControlError::TimedOut(_) | ControlError::Garbled) if arguments.lazy => {
            unmount(&mountpoint, true)?;
            Ok(ExitCode::Done)
        }
        Err(error @ ControlError::TimedOut(_)) => {
            Err(Failure::new(ExitCode::Owed, format!("{error}; it is still mounted")))
        }
        Err(error) => Err(error.into()),
    }
}

/// Where no daemon answers, only the kernel can say what is mounted: root must not unmount a disk by
/// a slip of the finger.
fn must_be_ours(mountpoint: &Path) -> Result<(), Failure> {
    let shown = mountpoint.display();
    let failed = |text: String| Err(Failure::new(ExitCode::Failed, text));
    match std::fs::read("/proc/self/mountinfo") {
        Err(error) => failed(format!("cannot see what is mounted: {error}")),
        Ok(mounts) => match mounted_type(&mounts, mountpoint) {
            Some(kind) if kind == b"fuse.filescomfs" => Ok(()),
            Some(kind) => {
                let kind = String::from_utf8_lossy(kind);
                failed(format!("{shown} is a {kind} mount, none of filescomfs; umount(8) unmounts it"))
            }
            None => failed(format!("nothing is mounted on {shown}")),
        },
    }
}

/// Has the process behind the mount ended? The kernel passes statfs(2) on whatever it has cached, and answers in its
/// place that nobody is there any more. A mount that does not answer in time lives.
fn is_dead(mountpoint: &Path) -> bool {
    let Ok(path) = CString::new(mountpoint.as_os_str().as_bytes()) else { return false };
    let (told, answer) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        // SAFETY: all zero is a value of this plain struct; a C string and a struct that outlive the call.
        let failed = unsafe { libc::statfs(path.as_ptr(), &mut std::mem::zeroed::<libc::statfs>()) } != 0;
        let error = io::Error::last_os_error().raw_os_error();
        let _ = told.send(failed && error == Some(libc::ENOTCONN));
    });
    answer.recv_timeout(SIGN_OF_LIFE).unwrap_or(false)
}

/// Type of the uppermost filesystem that is mounted on exactly this path, in the words of
/// `/proc/self/mountinfo` (proc(5)): the fifth field is the path, the one behind `-` the type.
fn mounted_type<'a>(mounts: &'a [u8], mountpoint: &Path) -> Option<&'a [u8]> {
    let of_line = |line: &'a [u8]| {
        let mut fields = line.split(|byte| *byte == b' ');
        let path = fields.nth(4)?;
        let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
        (unescaped(path) == mountpoint.as_os_str().as_bytes()).then_some(kind)
    };
    mounts.split(|byte| *byte == b'\n').rev().find_map(of_line)
}

/// Undoes the kernel's `\040` for blanks and the like.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if *first == b'\\' => {
                bytes.push(byte);
                rest = &after[3..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
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
fn leave(mountpoint: &Path, debt: &str) -> Result<(), Failure> {
    let daemon = process(mountpoint);
    if control::ask(mountpoint, &Request::Stop, SLACK).is_err() {
        unmount(mountpoint, true)?;
    }
    print(&format!("{debt}It stays in the state folder, and the next mount takes it up.\n"))?;
    if let Err(still_runs) = wait_for_end(mountpoint, daemon, ENDING) {
        print(&format!("{still_runs}; it ends by itself\n"))?;
    }
    Ok(())
}

/// The process that serves the mount.
fn process(mountpoint: &Path) -> Option<u64> {
    control::ask(mountpoint, &Request::Status, SLACK).ok()?["pid"].as_u64()
}

/// A process that has ended and waits to be collected does not count.
fn is_running(process: u64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

/// The next mount finds its folders free only when this daemon is gone.
fn wait_for_end(mountpoint: &Path, daemon: Option<u64>, patience: Duration) -> Result<(), Failure> {
    let end = Instant::now() + patience;
    while control::is_served(mountpoint) || daemon.is_some_and(is_running) {
        if Instant::now() >= end {
            let text = format!("{} is unmounted, but its filescomfs still runs", mountpoint.display());
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
    fn the_kernel_says_what_is_mounted() {
        let mounts = br"22 1 8:1 / / rw - ext4 /dev/sda1 rw
40 22 0:40 / /mnt/my\040backup rw,nosuid shared:5 master:1 - fuse.filescomfs mysite rw,user_id=0
41 22 8:2 / /mnt/disk rw - ext4 /dev/sdb rw
42 22 0:41 / /mnt/disk rw - fuse.sshfs host: rw";
        let kind = |path| {
            mounted_type(mounts, Path::new(path)).map(|kind| String::from_utf8_lossy(kind).into_owned())
        };
        assert_eq!(kind("/mnt/my backup").as_deref(), Some("fuse.filescomfs"));
        assert_eq!(kind("/mnt/disk").as_deref(), Some("fuse.sshfs"), "the uppermost counts");
        assert_eq!(kind("/mnt"), None);
    }

    #[test]
    fn root_is_kept_from_unmounting_what_is_not_ours() {
        assert!(must_be_ours(Path::new("/proc")).is_err());
        assert!(must_be_ours(Path::new("/no/such/mount")).is_err());
    }
}
