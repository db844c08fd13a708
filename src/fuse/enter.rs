//! Entering the tree: mount(2) where we may, fusermount3 where we may not.

use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use fuser::{Config, MountOption, Session, SessionACL};

use super::Door;

/// What the kernel is told when a filesystem enters the tree.
#[derive(Debug, Clone)]
pub struct Entrance {
    /// What `mount` and `df` show as the source.
    pub source: String,
    /// Where it enters.
    pub mountpoint: PathBuf,
    /// Nothing may change.
    pub read_only: bool,
    /// Other users than ours may come in.
    pub allow_other: bool,
    /// `noexec` and `noatime`, where they are wanted; other words mean nothing here.
    pub words: Vec<String>,
}

/// What `mount` and `df` show as the type, and fstab names.
const TYPE: &str = "fuse.filescomfs";
const DEVICE: &str = "/dev/fuse";
/// fusermount3 is root's, and opens the device with the rights of whoever calls it all the same.
const CLOSED: &str = "this user may not open /dev/fuse, which fusermount3 opens as the user who calls it; `chmod 666 \
                      /dev/fuse`, as most systems have it";
/// Threads that take requests from the kernel.
const EVENT_LOOPS: usize = 4;

/// Mounts, and shakes hands with the kernel.
///
/// # Errors
/// What mount(2) or fusermount3 answer.
pub fn enter(door: Door, entrance: &Entrance) -> io::Result<Session<Door>> {
    let config = config(entrance);
    // fuser mounts as plain "fuse", which neither fstab nor `findmnt -t` would recognise.
    match mount(entrance) {
        Ok(device) => Session::from_fd(door, device, config.acl, config),
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            Session::new(door, &entrance.mountpoint, &config)
        }
        Err(error) => Err(error),
    }
}

fn config(entrance: &Entrance) -> Config {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName(entrance.source.clone()),
        MountOption::Subtype("filescomfs".into()),
        MountOption::DefaultPermissions,
        MountOption::NoDev,
        MountOption::NoSuid,
    ];
    if entrance.read_only {
        config.mount_options.push(MountOption::RO);
    }
    config.mount_options.extend(entrance.words.iter().filter_map(|word| match word.as_str() {
        "noexec" => Some(MountOption::NoExec),
        "noatime" => Some(MountOption::NoAtime),
        _ => None,
    }));
    config.acl = if entrance.allow_other { SessionACL::All } else { SessionACL::Owner };
    config.n_threads = Some(EVENT_LOOPS);
    config
}

/// mount(2) with our own type. EPERM for those who need fusermount3.
fn mount(entrance: &Entrance) -> io::Result<OwnedFd> {
    let device = OpenOptions::new().read(true).write(true).custom_flags(libc::O_CLOEXEC).open(DEVICE);
    let device = device.map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => io::Error::new(error.kind(), CLOSED),
        _ => error,
    })?;
    let mode = fs::metadata(&entrance.mountpoint)?.mode();
    // SAFETY: both calls only read the process's identity.
    let (uid, gid) = unsafe { (libc::getuid(), libc::getgid()) };
    let mut data = format!(
        "fd={},rootmode={mode:o},user_id={uid},group_id={gid},default_permissions",
        device.as_raw_fd()
    );
    if entrance.allow_other {
        data.push_str(",allow_other");
    }
    let mut flags = libc::MS_NODEV | libc::MS_NOSUID;
    if entrance.read_only {
        flags |= libc::MS_RDONLY;
    }
    for word in &entrance.words {
        flags |= match word.as_str() {
            "noexec" => libc::MS_NOEXEC,
            "noatime" => libc::MS_NOATIME,
            _ => 0,
        };
    }
    let text = |bytes: &[u8]| CString::new(bytes).map_err(io::Error::from);
    let (source, kind, data) =
        (text(entrance.source.as_bytes())?, text(TYPE.as_bytes())?, text(data.as_bytes())?);
    let target = text(entrance.mountpoint.as_os_str().as_bytes())?;
    // SAFETY: all four are C strings that live through the call.
    let outcome =
        unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, data.as_ptr().cast()) };
    if outcome == 0 { Ok(device.into()) } else { Err(io::Error::last_os_error()) }
}
