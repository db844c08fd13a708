//! The caller's end of the control socket: who answers for a mountpoint, and is it the mount that is there?
//!
//! An answer counts only when it comes from the mount at the path, as [`identity`](super::identity) judges it; every
//! answer is judged anew, so that what holds before a long wait holds behind it.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::control::{ControlError, is_alone_with, own_uid, runtime_folder, socket_name};
use super::identity::{Astray, Said, judge};
use super::life::is_stopped;
use super::mountinfo::View;
use super::request::Request;

/// Longer than any answer.
const LONGEST_ANSWER: u64 = 64 << 20;
/// A peer that says nothing for this long is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// A process that answers for a mountpoint.
#[derive(Debug)]
pub struct Talk {
    mountpoint: PathBuf,
    socket: PathBuf,
    /// Which mount it said that it is.
    instance: Option<String>,
    /// Which process it is, as the kernel says.
    process: u32,
}

/// What a process answered when it was met.
#[derive(Debug)]
pub struct Met {
    /// The way to ask further.
    pub talk: Talk,
    /// Its status.
    pub status: Value,
    /// Why the path is not this mount, if it is not.
    pub astray: Option<Astray>,
}

/// An answer, and who gave it.
pub(super) struct Answer {
    pub value: Value,
    user: u32,
    process: u32,
}

impl Met {
    /// The mount that is at its path.
    ///
    /// # Errors
    /// [`ControlError::Astray`].
    pub fn proven(self) -> Result<Talk, ControlError> {
        match self.astray {
            None => Ok(self.talk),
            Some(astray) => Err(ControlError::Astray(self.talk.mountpoint, astray)),
        }
    }
}

impl Talk {
    /// The mount at `mountpoint` (absolute, without links), proven to be there.
    ///
    /// # Errors
    /// [`ControlError::NotServed`], [`ControlError::Astray`], and what else keeps it from answering.
    pub fn with(mountpoint: &Path) -> Result<Self, ControlError> {
        meet(mountpoint)?.proven()
    }

    /// Where it is mounted.
    pub fn mountpoint(&self) -> &Path {
        &self.mountpoint
    }

    /// The process that answers.
    pub fn process(&self) -> u32 {
        self.process
    }

    /// Asks the mount, and waits for its answer, which is proven to be that of the mount at the path.
    ///
    /// # Errors
    /// [`ControlError::Astray`] also where it has become another mount since.
    pub fn ask(&self, request: &Request, timeout: Duration) -> Result<Value, ControlError> {
        let answer = ask_socket(&self.socket, request, timeout).map_err(|error| self.named(error))?;
        let astray = |astray| ControlError::Astray(self.mountpoint.clone(), astray);
        let view = view_of(&self.mountpoint)?;
        let said = said(&answer.value);
        judge(&view, &self.mountpoint, said.as_ref(), answer.user).map_err(astray)?;
        match said.map(|said| said.instance) == self.instance {
            true => Ok(answer.value),
            false => Err(astray(Astray::Replaced)),
        }
    }

    /// Asks the process, wherever it is mounted: for what is told to it, and not promised to anybody.
    ///
    /// # Errors
    /// As for [`Self::ask`].
    pub fn ask_wherever(&self, request: &Request, timeout: Duration) -> Result<Value, ControlError> {
        ask_socket(&self.socket, request, timeout)
            .map(|answer| answer.value)
            .map_err(|error| self.named(error))
    }

    /// Does anybody listen there still?
    pub fn is_served(&self) -> bool {
        UnixStream::connect(&self.socket).is_ok()
    }

    fn named(&self, error: ControlError) -> ControlError {
        match error {
            ControlError::NotServed(_) => ControlError::NotServed(self.mountpoint.clone()),
            ControlError::TimedOut(_) => ControlError::TimedOut(self.mountpoint.clone()),
            ControlError::Stopped(_, process) => ControlError::Stopped(self.mountpoint.clone(), process),
            error => error,
        }
    }
}

/// Whoever answers for `mountpoint`: the mount that is there, where one of those who answer is it.
///
/// # Errors
/// [`ControlError::NotServed`] where no daemon listens: the mount is stale, or none of ours.
pub fn meet(mountpoint: &Path) -> Result<Met, ControlError> {
    let mut found = Err(ControlError::NotServed(mountpoint.to_owned()));
    for socket in candidates(mountpoint) {
        let met = match meet_at(&socket, mountpoint) {
            Ok(met) if met.astray.is_none() => return Ok(met),
            Err(ControlError::NotServed(_)) => continue,
            Err(ControlError::TimedOut(_)) => Err(ControlError::TimedOut(mountpoint.to_owned())),
            Err(ControlError::Stopped(_, process)) => {
                Err(ControlError::Stopped(mountpoint.to_owned(), process))
            }
            met => met,
        };
        // Somebody else who listens for it keeps nobody from the one who is it; of several, the first is told.
        if matches!(found, Err(ControlError::NotServed(_))) {
            found = met;
        }
    }
    found
}

/// Everybody who answers for a mount and whom this user may ask, and why others could not be asked.
pub fn meet_all() -> (Vec<Met>, Vec<ControlError>) {
    let (mut all, mut silent) = (Vec::new(), Vec::new());
    for socket in sockets() {
        let told = ask_socket(&socket, &Request::Status, PATIENCE).and_then(|answer| {
            // A socket is named by its mountpoint: nobody answers for another one.
            let mountpoint = PathBuf::from(answer.value["mountpoint"].as_str().unwrap_or_default());
            let is_its_own = socket.file_name() == Some(OsStr::new(&socket_name(&mountpoint)));
            if is_its_own { met(&socket, &mountpoint, answer) } else { Err(ControlError::Garbled) }
        });
        match told {
            Ok(met) => all.push(met),
            // Left by a daemon that was killed. Its mount may be there still.
            Err(ControlError::NotServed(_)) => {}
            Err(error) => silent.push(error),
        }
    }
    (all, silent)
}

/// Does a daemon listen for this mountpoint?
pub fn is_served(mountpoint: &Path) -> bool {
    candidates(mountpoint).iter().any(|socket| UnixStream::connect(socket).is_ok())
}

fn meet_at(socket: &Path, mountpoint: &Path) -> Result<Met, ControlError> {
    met(socket, mountpoint, ask_socket(socket, &Request::Status, PATIENCE)?)
}

fn met(socket: &Path, mountpoint: &Path, answer: Answer) -> Result<Met, ControlError> {
    let Answer { value: status, user, process } = answer;
    let said = said(&status);
    // Looked at behind the answer: what it says is not older than what is seen.
    let astray = judge(&view_of(mountpoint)?, mountpoint, said.as_ref(), user).err();
    let (mountpoint, socket) = (mountpoint.to_owned(), socket.to_owned());
    let talk = Talk { mountpoint, socket, instance: said.map(|said| said.instance), process };
    Ok(Met { talk, status, astray })
}

fn view_of(mountpoint: &Path) -> Result<View, ControlError> {
    View::of(mountpoint).map_err(|error| ControlError::Io(mountpoint.to_owned(), error))
}

fn said(answer: &Value) -> Option<Said> {
    Said::deserialize(&answer["mount"]).ok()
}

/// Where the daemon of this mountpoint may listen.
fn candidates(mountpoint: &Path) -> Vec<PathBuf> {
    let name = socket_name(mountpoint);
    folders().into_iter().map(|folder| folder.join(&name)).collect()
}

/// The folders of this user's sockets, of root those of all users. A mount that was made at a login has another
/// `XDG_RUNTIME_DIR` than a job of cron that asks for it, so that all places are looked at.
fn folders() -> Vec<PathBuf> {
    let (run, tmp) = (Path::new("/run/user"), Path::new("/tmp"));
    let uid = own_uid();
    let mut folders = vec![(runtime_folder(), uid)];
    if uid == 0 {
        let numbered = |folder: &Path, before: &'static str| {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            entries.filter_map(move |entry| {
                let user = entry.file_name().to_str()?.strip_prefix(before)?.parse().ok()?;
                Some((entry.path(), user))
            })
        };
        folders.extend(numbered(run, "").map(|(folder, user)| (folder.join("filescomfs"), user)));
        folders.extend(numbered(tmp, "filescomfs-"));
    } else {
        let places = [run.join(uid.to_string()).join("filescomfs"), tmp.join(format!("filescomfs-{uid}"))];
        folders
            .extend(places.into_iter().filter(|place| *place != runtime_folder()).map(|place| (place, uid)));
    }
    folders
        .into_iter()
        .filter(|(folder, user)| is_alone_with(folder, *user))
        .map(|(folder, _)| folder)
        .collect()
}

/// Sockets of all mounts that this user may ask.
fn sockets() -> Vec<PathBuf> {
    let files = folders().into_iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
    let mut sockets: Vec<PathBuf> =
        files.map(|file| file.path()).filter(|path| path.extension() == Some(OsStr::new("sock"))).collect();
    sockets.sort();
    sockets
}

/// One question and its answer. Errors name the socket.
pub(super) fn ask_socket(
    socket: &Path,
    request: &Request,
    timeout: Duration,
) -> Result<Answer, ControlError> {
    let failed = |error: io::Error| match error.kind() {
        // Also of one that ends while it is being asked.
        io::ErrorKind::NotFound
        | io::ErrorKind::ConnectionRefused
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionReset => ControlError::NotServed(socket.into()),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ControlError::TimedOut(socket.into()),
        _ => ControlError::Io(socket.into(), error),
    };
    let mut stream = UnixStream::connect(socket).map_err(failed)?;
    let (user, process) = peer_of(&stream).map_err(failed)?;
    if is_stopped(process) {
        return Err(ControlError::Stopped(socket.into(), process));
    }
    // It may have been stopped only then.
    let failed = |error: io::Error| match failed(error) {
        ControlError::TimedOut(socket) if is_stopped(process) => ControlError::Stopped(socket, process),
        error => error,
    };
    stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
    stream.set_read_timeout(Some(timeout.max(Duration::from_millis(1)))).map_err(failed)?;
    let mut line = serde_json::to_vec(request).map_err(|_| ControlError::Garbled)?;
    line.push(b'\n');
    stream.write_all(&line).map_err(failed)?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(LONGEST_ANSWER)).read_until(b'\n', &mut answer).map_err(failed)?;
    if answer.is_empty() {
        return Err(ControlError::NotServed(socket.into()));
    }
    let value: Value = serde_json::from_slice(&answer).map_err(|_| ControlError::Garbled)?;
    match value["error"].as_str() {
        Some(error) => Err(ControlError::Refused(error.to_owned())),
        None => Ok(Answer { value, user, process }),
    }
}

/// The user and the process at the other end, as the kernel noted them when it began to listen.
fn peer_of(stream: &UnixStream) -> io::Result<(u32, u32)> {
    let mut peer = MaybeUninit::<libc::ucred>::zeroed();
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the descriptor is open, and both pointers live through the call and are as large as they say.
    let outcome = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            peer.as_mut_ptr().cast(),
            &mut length,
        )
    };
    if outcome != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: zeroed, and written by the call.
    let peer = unsafe { peer.assume_init() };
    Ok((peer.uid, peer.pid as u32))
}
