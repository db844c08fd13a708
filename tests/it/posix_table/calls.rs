//! Attributes and what else is asked of a file system: times, modes, access, statvfs, locks, maps.

use std::fs;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::opening::{content, open};
use super::{Case, c, call, told};

const NOFOLLOW: i32 = libc::AT_SYMLINK_NOFOLLOW;
const OMIT: i64 = libc::UTIME_OMIT;

/// utimensat(2), with (seconds, nanoseconds) of access and modification.
fn set_times(path: &str, access: (i64, i64), modified: (i64, i64), flags: i32) -> String {
    let times = [access, modified].map(|(tv_sec, tv_nsec)| libc::timespec { tv_sec, tv_nsec });
    let path = c(path);
    // SAFETY: the path is a C string, and the times are two; both live through the call.
    told(call(unsafe { libc::utimensat(libc::AT_FDCWD, path.as_ptr(), times.as_ptr(), flags) }))
}

/// The times of `path` itself.
fn modified(path: &str) -> String {
    let found = fs::symlink_metadata(path).unwrap();
    format!("{}.{:09}", found.mtime(), found.mtime_nsec())
}

fn mode(path: &str) -> String {
    format!("{:o}", fs::metadata(path).unwrap().mode())
}

/// Did this change the time of the folder's last change?
fn touches(folder: &str, change: impl FnOnce()) -> String {
    set_times(folder, (0, OMIT), (1000, 0), 0);
    change();
    (modified(folder) != "1000.000000000").to_string()
}

pub(super) const CASES: &[Case] = &[
    ("times are set to the nanosecond", || {
        fs::write("f", "x").unwrap();
        fs::create_dir("d").unwrap();
        symlink("f", "link").unwrap();
        vec![
            set_times("f", (0, OMIT), (1_500_000_000, 123_456_789), 0),
            modified("f"),
            set_times("d", (0, OMIT), (1, 999_999_999), 0),
            modified("d"),
            set_times("link", (0, OMIT), (5, 0), NOFOLLOW),
            modified("link"),
            modified("f"),
            set_times("link", (0, OMIT), (7, 0), 0),
            modified("link"),
            modified("f"),
        ]
    }),
    ("times are left alone, or set to now", || {
        fs::write("f", "x").unwrap();
        set_times("f", (0, OMIT), (1000, 0), 0);
        let omitted = [set_times("f", (0, OMIT), (0, OMIT), 0), modified("f")];
        let now = set_times("f", (0, OMIT), (0, libc::UTIME_NOW), 0);
        let is_now = (fs::metadata("f").unwrap().mtime() > 1_700_000_000).to_string();
        omitted.into_iter().chain([now, is_now]).collect()
    }),
    ("times that are none are refused", || {
        fs::write("f", "x").unwrap();
        vec![
            set_times("f", (0, OMIT), (0, 1_000_000_000), 0),
            set_times("f", (0, OMIT), (0, -5), 0),
            set_times("missing", (0, OMIT), (0, 0), 0),
            set_times("f/x", (0, OMIT), (0, 0), 0),
        ]
    }),
    ("times before 1970 and far ahead are kept", || {
        fs::write("f", "x").unwrap();
        [(-1, 0), (-1_000_000_000, 5), (4_294_967_296, 0), (i64::from(i32::MAX) + 1, 1)]
            .into_iter()
            .flat_map(|time| [set_times("f", (0, OMIT), time, 0), modified("f")])
            .collect()
    }),
    ("the time of access", || {
        fs::write("f", "x").unwrap();
        set_times("f", (1000, 0), (2000, 0), 0);
        vec![fs::metadata("f").unwrap().atime().to_string()]
    }),
    ("what changes in a folder changes its time", || {
        fs::create_dir_all("d/sub").unwrap();
        fs::create_dir("other").unwrap();
        vec![
            touches("d", || fs::write("d/new", "x").unwrap()),
            touches("d", || fs::write("d/new", "changed").unwrap()),
            touches("d", || fs::rename("d/new", "d/renamed").unwrap()),
            touches("d", || fs::rename("d/renamed", "other/moved").unwrap()),
            touches("other", || fs::rename("other/moved", "d/back").unwrap()),
            touches("d", || fs::remove_file("d/back").unwrap()),
            touches("d", || fs::create_dir("d/more").unwrap()),
            touches("d", || fs::remove_dir("d/more").unwrap()),
            touches("d", || symlink("x", "d/link").unwrap()),
            touches("d", || drop(fs::remove_file("d/missing"))),
            touches("d", || fs::write("d/sub/below", "x").unwrap()),
        ]
    }),
    ("writing changes the time of a file, reading does not", || {
        fs::write("f", "x").unwrap();
        let mut file = open("f", libc::O_WRONLY | libc::O_APPEND).unwrap();
        vec![
            touches("f", || file.write_all(b"y").unwrap()),
            touches("f", || file.set_len(1).unwrap()),
            touches("f", || drop(content("f"))),
            touches("f", || fs::set_permissions("f", fs::Permissions::from_mode(0o600)).unwrap()),
            touches("f", || fs::rename("f", "g").and_then(|()| fs::rename("g", "f")).unwrap()),
        ]
    }),
    ("a time that was set while a file is written stays after its close", || {
        let mut file = open("f", libc::O_CREAT | libc::O_WRONLY).unwrap();
        file.write_all(b"x").unwrap();
        set_times("f", (0, OMIT), (1000, 0), 0);
        drop(file);
        vec![modified("f")]
    }),
    ("modes are kept, those of special bits too", || {
        fs::write("f", "x").unwrap();
        fs::create_dir("d").unwrap();
        let mut outcomes = vec![mode("f"), mode("d")];
        for bits in [0, 0o400, 0o777, 0o4755, 0o2755, 0o1644] {
            fs::set_permissions("f", fs::Permissions::from_mode(bits)).unwrap();
            outcomes.push(mode("f"));
        }
        for bits in [0o700, 0o1777, 0o2775] {
            fs::set_permissions("d", fs::Permissions::from_mode(bits)).unwrap();
            outcomes.push(mode("d"));
        }
        outcomes.push(told(fs::set_permissions("missing", fs::Permissions::from_mode(0o600))));
        outcomes
    }),
    ("the umask is taken off", || {
        // SAFETY: the umask is that of this thread alone; the paths are C strings.
        unsafe {
            libc::umask(0o077);
            drop(call(libc::mkdir(c("d").as_ptr(), 0o777)));
            libc::close(libc::open(c("f").as_ptr(), libc::O_CREAT | libc::O_CLOEXEC, 0o666));
        }
        vec![mode("d"), mode("f")]
    }),
    ("access tells what is there", || {
        fs::write("f", "x").unwrap();
        fs::create_dir("d").unwrap();
        let asked = [("f", libc::F_OK), ("f", libc::R_OK | libc::W_OK), ("f", libc::X_OK), ("d", libc::X_OK)];
        let none = [("missing", libc::F_OK), ("f/x", libc::R_OK), ("f", 64)];
        // SAFETY: the paths are C strings that live through the calls.
        asked
            .iter()
            .chain(&none)
            .map(|(path, how)| told(call(unsafe { libc::access(c(path).as_ptr(), *how) })))
            .collect()
    }),
    ("statvfs tells of names and room", || {
        // SAFETY: the structure is plain numbers, which the call fills in.
        let (answer, found) = unsafe {
            let mut found: libc::statvfs = std::mem::zeroed();
            (libc::statvfs(c(".").as_ptr(), &raw mut found), found)
        };
        let room = found.f_bavail > 0 && found.f_bavail <= found.f_bfree && found.f_bfree <= found.f_blocks;
        vec![
            answer.to_string(),
            found.f_namemax.to_string(),
            room.to_string(),
            (found.f_frsize > 0).to_string(),
        ]
    }),
    ("size and blocks fit what was written", || {
        fs::write("f", vec![1; 10_000]).unwrap();
        let found = fs::metadata("f").unwrap();
        vec![
            found.size().to_string(),
            (found.blocks() * 512 >= 10_000).to_string(),
            found.nlink().to_string(),
        ]
    }),
    ("a shared map is read and written", || {
        fs::write("f", vec![b'a'; 8192]).unwrap();
        let file = open("f", libc::O_RDWR).unwrap();
        // SAFETY: the map covers the whole file, which nobody shortens, and ends before the file is closed.
        let (first, synced) = unsafe {
            let (protection, fd) = (libc::PROT_READ | libc::PROT_WRITE, file.as_raw_fd());
            let map = libc::mmap(std::ptr::null_mut(), 8192, protection, libc::MAP_SHARED, fd, 0);
            if map == libc::MAP_FAILED {
                return vec![std::io::Error::last_os_error().to_string()];
            }
            let bytes = std::slice::from_raw_parts_mut(map.cast::<u8>(), 8192);
            let first = bytes[0];
            bytes[4096] = b'b';
            let synced = told(call(libc::msync(map, 8192, libc::MS_SYNC)));
            libc::munmap(map, 8192);
            (first, synced)
        };
        drop(file);
        let bytes = fs::read("f").unwrap();
        vec![first.to_string(), synced, bytes[4096].to_string(), bytes.len().to_string()]
    }),
    ("locks are held between descriptors", || {
        let one = open("f", libc::O_CREAT | libc::O_RDWR).unwrap();
        let other = open("f", libc::O_RDWR).unwrap();
        // SAFETY: the descriptors are open; no memory is handed over.
        let lock =
            |file: &fs::File, how| told(call(unsafe { libc::flock(file.as_raw_fd(), how | libc::LOCK_NB) }));
        vec![
            lock(&one, libc::LOCK_EX),
            lock(&other, libc::LOCK_EX),
            lock(&other, libc::LOCK_SH),
            lock(&one, libc::LOCK_UN),
            lock(&other, libc::LOCK_EX),
        ]
    }),
];
