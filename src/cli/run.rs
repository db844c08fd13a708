//! `run`: a command, then `sync`; ends with the worse exit code of the two.
//!
//! Worse is larger: 0 is the only good one, and which of two failures is told does not matter to a
//! script that looks for 0.

use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use super::arguments::{RunArguments, SyncArguments};
use super::drain::named;
use super::exit_codes::{ExitCode, Failure};
use super::signals::Signals;
use super::sync;
use crate::mount::asking::Talk;
use crate::mount::beneath::Beneath;

/// The end of the command ends a wait sooner, unless another thread of this process took the signal: who has more than
/// one must look again.
const A_WHILE: Duration = Duration::from_secs(1);
/// As shells answer for a command that is not there, and for one that cannot be started.
const NOT_FOUND: u8 = 127;
const NOT_STARTED: u8 = 126;

/// How the command ended.
struct Ended {
    code: u8,
    /// Somebody wanted an end.
    interrupted: bool,
}

/// Runs the command and waits for Files.com.
pub fn run(arguments: &RunArguments) -> Result<u8, Failure> {
    // A backup into a folder where nothing is mounted must not begin.
    let mount = Talk::with(&named(&arguments.mountpoint)?)?;
    let Some((program, rest)) = arguments.command.split_first() else {
        return Err(Failure::new(ExitCode::Usage, "a command is wanted behind --"));
    };
    let mut command = Command::new(program);
    command.args(rest);
    let ended = match carry_out(&mut command) {
        Ok(ended) => ended,
        Err(error) => {
            tell(&format!("cannot start {}: {error}", program.display()));
            return Ok(if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_STARTED });
        }
    };
    let timeout = if ended.interrupted { Duration::ZERO } else { arguments.timeout };
    let wanted = SyncArguments {
        mountpoint: arguments.mountpoint.clone(),
        path: None,
        manifest: arguments.manifest.clone(),
        timeout,
        strict: arguments.strict,
    };
    let synced = sync::with(&mount, &wanted).unwrap_or_else(|failure| {
        tell(&failure.to_string());
        if let Some(leaked) = Beneath::exposed(mount.mountpoint()) {
            tell(&format!("in the folder below, on the local disk: {leaked}"));
        }
        failure.code
    });
    Ok(ended.code.max(synced.number()))
}

fn tell(text: &str) {
    // Where nobody listens on standard error, the exit code still tells.
    let _ = writeln!(io::stderr(), "filescomfs: {text}");
}

/// Runs a command to its end, and passes on what others want to tell it.
fn carry_out(command: &mut Command) -> io::Result<Ended> {
    let signals = Signals::keep(&[libc::SIGCHLD, libc::SIGINT, libc::SIGTERM, libc::SIGHUP])?;
    let before = signals.before();
    // SAFETY: pthread_sigmask may be called between fork and exec.
    unsafe {
        command.pre_exec(move || {
            match libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut()) {
                0 => Ok(()),
                error => Err(io::Error::from_raw_os_error(error)),
            }
        });
    }
    let mut child = command.spawn()?;
    let mut interrupted = false;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Ended { code: code(status), interrupted });
        }
        let Some(came) = signals.wait(A_WHILE).filter(|came| came.signal != libc::SIGCHLD) else { continue };
        interrupted = true;
        // What the terminal sends, it sends to the command as well.
        if !came.from_terminal {
            // SAFETY: the child was not waited for yet, so its number is still its own.
            unsafe { libc::kill(child.id() as libc::pid_t, came.signal) };
        }
    }
}

/// The exit code as a shell tells it.
fn code(status: ExitStatus) -> u8 {
    let signal = || status.signal().map_or(1, |signal| 128 + signal);
    status.code().unwrap_or_else(signal).try_into().unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &'static str) -> Ended {
        // In a thread of its own: the signals that are kept are those of the thread.
        let ended = std::thread::spawn(move || carry_out(Command::new("sh").args(["-c", script])));
        ended.join().unwrap().unwrap()
    }

    #[test]
    fn a_command_ends_with_its_code_or_its_signal() {
        assert_eq!((shell("exit 23").code, shell("exit 0").code), (23, 0));
        assert_eq!(shell("kill -TERM $$").code, 128 + 15, "the command's signals are not held back");
    }

    #[test]
    fn a_command_that_is_not_there_is_an_error() {
        let error = std::thread::spawn(|| carry_out(&mut Command::new("/no/such/command")).err());
        assert_eq!(error.join().unwrap().unwrap().kind(), io::ErrorKind::NotFound);
    }
}
