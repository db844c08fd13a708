//! The daemon's end of the control socket: one line of JSON there, one line back, over a Unix socket that only the user
//! of the mount, and root, may use. The other end is `asking.rs`.
//!
//! The socket is not inside the mount: it answers when the filesystem does not, and its end tells
//! that the daemon has ended. It knows nothing of what is asked: the mount brings the answers.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::identity::Astray;
use super::request;
pub use super::request::{PROTOCOL, Request};
use crate::model::digest::Md5;

/// Longer than any request; a peer that sends more is not one of ours.
const LONGEST_REQUEST: u64 = 1 << 20;
/// A peer that says nothing for this long is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// A mount that could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody listens: no filescomfs serves this mountpoint.
    #[error(
        "no filescomfs answers for {0}: nothing is mounted there, its process has ended, or another user \
         mounted it; see `findmnt {0}`, and ask as that user or as root"
    )]
    NotServed(PathBuf),
    /// It listens and says nothing.
    #[error("filescomfs at {0} does not answer in time; see *When a mount hangs* in docs/configuration.md")]
    TimedOut(PathBuf),
    /// Somebody has stopped its process.
    #[error("filescomfs at {0} is stopped (process {1}), and so is all that uses it; type: kill -CONT {1}")]
    Stopped(PathBuf, u32),
    /// The folder of the sockets belongs to somebody else, or others may write into it.
    #[error("{0} is not a folder of this user alone; remove it, `chmod 700` it, or set XDG_RUNTIME_DIR")]
    UnsafeFolder(PathBuf),
    /// Another daemon serves this mountpoint.
    #[error(
        "another filescomfs serves {0}: it is mounted, or was unmounted and still sends; see \
         `filescomfs status {0}`, and wait or `filescomfs umount {0}`"
    )]
    Served(PathBuf),
    /// The answer makes no sense, or is one of another version.
    #[error("filescomfs gave an answer that is not understood (another version?)")]
    Garbled,
    /// The path is not the mount that answers for it.
    #[error("{0} is {1}")]
    Astray(PathBuf, Astray),
    /// It cannot do what was asked; the text says why.
    #[error("{0}")]
    Refused(String),
    /// Anything else.
    #[error("cannot reach filescomfs at {0}: {1}")]
    Io(PathBuf, io::Error),
}

pub(super) fn own_uid() -> u32 {
    // SAFETY: only reads the process's identity and cannot fail.
    unsafe { libc::geteuid() }
}

/// The folder of this user's sockets.
pub fn runtime_folder() -> PathBuf {
    let uid = own_uid();
    if uid == 0 {
        return "/run/filescomfs".into();
    }
    match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute()) {
        Some(folder) => folder.join("filescomfs"),
        None => format!("/tmp/filescomfs-{uid}").into(),
    }
}

pub(super) fn socket_name(mountpoint: &Path) -> String {
    format!("{}.sock", Md5::of(mountpoint.as_os_str().as_bytes()))
}

/// Does `folder` belong to `user`, and may nobody else write into it? Others could answer in the daemon's place.
pub(super) fn is_alone_with(folder: &Path, user: u32) -> bool {
    fs::symlink_metadata(folder)
        .is_ok_and(|found| found.is_dir() && found.uid() == user && found.mode() & 0o022 == 0)
}

/// The daemon's end of the socket. The socket goes when this is dropped.
#[derive(Debug)]
pub struct Listener {
    listener: UnixListener,
    socket: PathBuf,
    mountpoint: PathBuf,
}

impl Listener {
    /// Listens for `mountpoint` (absolute), in the folder of this user. Called inside the runtime. A
    /// socket that nobody listens on is replaced.
    ///
    /// # Errors
    /// [`ControlError::Served`], [`ControlError::UnsafeFolder`].
    pub fn bind(mountpoint: &Path) -> Result<Self, ControlError> {
        Self::bind_in(&runtime_folder(), mountpoint)
    }

    fn bind_in(folder: &Path, mountpoint: &Path) -> Result<Self, ControlError> {
        own_folder(folder)?;
        let socket = folder.join(socket_name(mountpoint));
        if BlockingStream::connect(&socket).is_ok() {
            return Err(ControlError::Served(mountpoint.to_owned()));
        }
        let failed = |error| ControlError::Io(socket.clone(), error);
        match fs::remove_file(&socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        // The folder is ours alone, so nobody gets in before the permissions are set.
        let listener = UnixListener::bind(&socket).map_err(failed)?;
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self { listener, socket, mountpoint: mountpoint.to_owned() })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // A socket that stays is stale, and the next mount replaces it.
        let _ = fs::remove_file(&self.socket);
    }
}

/// Makes the folder, and looks that it is ours: in /tmp somebody else may have been first.
fn own_folder(folder: &Path) -> Result<(), ControlError> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(ControlError::Io(folder.to_owned(), error));
        }
        _ => {}
    }
    match is_alone_with(folder, own_uid()) {
        true => Ok(()),
        false => Err(ControlError::UnsafeFolder(folder.to_owned())),
    }
}

/// Answers requests until it is dropped, each in a task of its own, so that a long drain does not
/// keep `status` waiting. Objects get the `mountpoint`, by which `status` lists mounts.
pub async fn serve<F, Fut>(listener: Listener, answer: F)
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Value> + Send + 'static,
{
    let answer = Arc::new(answer);
    let mut peers = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (answer, mountpoint) = (Arc::clone(&answer), listener.mountpoint.clone());
                    peers.spawn(async move {
                        if let Err(error) = converse(stream, &mountpoint, &*answer).await {
                            tracing::debug!("a control connection ended early: {error}");
                        }
                    });
                }
                // Out of descriptors, say: the next attempt may fare better.
                Err(error) => {
                    tracing::warn!("cannot accept on the control socket: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = peers.join_next() => {}
        }
    }
}

async fn converse<F, Fut>(mut stream: UnixStream, mountpoint: &Path, answer: &F) -> io::Result<()>
where
    F: Fn(Request) -> Fut,
    Fut: Future<Output = Value>,
{
    let peer = stream.peer_cred()?.uid();
    if peer != 0 && peer != own_uid() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("uid {peer} is refused")));
    }
    let (reading, mut writing) = stream.split();
    let mut line = String::new();
    let mut reading = tokio::io::BufReader::new(reading.take(LONGEST_REQUEST));
    tokio::time::timeout(PATIENCE, reading.read_line(&mut line)).await??;
    let mut value = match request::understood(&line) {
        Ok(request) => answer(request).await,
        Err(refusal) => refusal,
    };
    if let Value::Object(fields) = &mut value {
        fields.entry("mountpoint").or_insert_with(|| mountpoint.to_string_lossy().into());
    }
    let mut line = value.to_string();
    line.push('\n');
    tokio::time::timeout(PATIENCE, writing.write_all(line.as_bytes())).await?
}

#[cfg(test)]
mod tests {
    use super::super::asking::ask_socket;
    use super::*;
    use serde_json::json;

    /// A daemon that answers what it was asked, on sockets in a folder of its own.
    fn echo(folder: &Path, mountpoint: &str) -> (PathBuf, tokio::task::JoinHandle<()>) {
        let listener = Listener::bind_in(folder, Path::new(mountpoint)).unwrap();
        let socket = listener.socket.clone();
        let serving = serve(listener, |request| async move {
            match request {
                Request::Drain { timeout_ms, .. } => json!({ "waited": timeout_ms }),
                request => serde_json::to_value(request).unwrap(),
            }
        });
        (socket, tokio::spawn(serving))
    }

    async fn asked(socket: &Path, request: Request) -> Result<Value, ControlError> {
        let socket = socket.to_owned();
        tokio::task::spawn_blocking(move || {
            ask_socket(&socket, &request, Duration::from_secs(30)).map(|answer| answer.value)
        })
        .await
        .unwrap()
    }

    #[tokio::test]
    async fn a_request_reaches_the_mount_and_its_answer_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, _serving) = echo(folder.path(), "/mnt/a");
        let answer = asked(&socket, Request::Drain { timeout_ms: 7, path: String::new() }).await.unwrap();
        assert_eq!(answer, json!({ "waited": 7, "mountpoint": "/mnt/a" }));
        assert_eq!(asked(&socket, Request::Status).await.unwrap()["request"], "status");
        assert_eq!(fs::metadata(&socket).unwrap().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_request_that_is_not_known_is_answered_too() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, _serving) = echo(folder.path(), "/mnt/a");
        let mut stream = UnixStream::connect(&socket).await.unwrap();
        stream.write_all(b"{\"request\":\"dance\"}\n").await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.contains("dance") && text.contains(r#""known":["status""#), "{text}");
    }

    #[tokio::test]
    async fn a_second_daemon_is_refused_and_a_stale_socket_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, serving) = echo(folder.path(), "/mnt/a");
        let second = Listener::bind_in(folder.path(), Path::new("/mnt/a"));
        assert!(matches!(second, Err(ControlError::Served(_))));
        serving.abort();
        let _ = serving.await;
        assert!(!socket.exists(), "the socket went with its daemon");

        // As a daemon that was killed leaves it.
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        assert!(matches!(asked(&socket, Request::Status).await, Err(ControlError::NotServed(_))));
        let (socket, _serving) = echo(folder.path(), "/mnt/a");
        assert!(asked(&socket, Request::Status).await.is_ok());
    }

    #[test]
    fn a_folder_of_another_user_is_not_asked() {
        let folder = tempfile::tempdir().unwrap();
        let uid = own_uid();
        assert!(is_alone_with(folder.path(), uid));
        assert!(!is_alone_with(folder.path(), uid + 1));
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        assert!(!is_alone_with(&link, uid), "a link may lead anywhere tomorrow");
    }

    #[tokio::test]
    async fn a_folder_that_others_can_write_to_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let refused = Listener::bind_in(folder.path(), Path::new("/mnt/a"));
        assert!(matches!(refused, Err(ControlError::UnsafeFolder(_))));
    }
}
