//! System calls beside reading and writing: each works, or is refused in a way that tools know.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use filescomfs::emulator::{Effect, Fault};

use crate::close::close;
use crate::stage::{FOLDER, Mount, Stage, noise, run, sh, wait_until};

/// The errno of a call, or 0.
fn errno(answer: i64) -> i32 {
    if answer >= 0 { 0 } else { io::Error::last_os_error().raw_os_error().unwrap_or(-1) }
}

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

fn open(mount: &Mount, name: &str) -> File {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).open(mount.path(name)).unwrap()
}

#[test]
fn requests_for_devices_are_refused_as_for_a_plain_file() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    let (file, other) = (open(&mount, "f"), open(&mount, "g"));
    let mut room = [0u8; 64];
    // SAFETY: each call gets an open descriptor and room for its answer.
    unsafe {
        assert_eq!(
            errno(libc::ioctl(file.as_raw_fd(), libc::TCGETS, room.as_mut_ptr()).into()),
            libc::ENOTTY
        );
        let clone = libc::ioctl(file.as_raw_fd(), libc::FICLONE, other.as_raw_fd());
        assert_eq!(errno(clone.into()), libc::EOPNOTSUPP);
    }
    drop((file, other));
    mount.umount();
}

#[test]
fn room_is_reserved_by_lengthening_and_holes_are_not_punched() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    let file = open(&mount, "f");
    file.write_all_at(b"data", 0).unwrap();
    let reserve = |mode: i32, offset: i64, length: i64| {
        // SAFETY: an open descriptor and numbers.
        errno(unsafe { libc::fallocate(file.as_raw_fd(), mode, offset, length) }.into())
    };
    assert_eq!(reserve(0, 0, 10_000), 0);
    assert_eq!(reserve(0, 0, 5_000), 0);
    assert_eq!(file.metadata().unwrap().len(), 10_000);
    assert_eq!(reserve(libc::FALLOC_FL_KEEP_SIZE, 0, 50_000), 0, "room that no reader sees");
    assert_eq!(file.metadata().unwrap().len(), 10_000);
    for mode in [
        libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE,
        libc::FALLOC_FL_ZERO_RANGE,
        libc::FALLOC_FL_COLLAPSE_RANGE,
    ] {
        assert_eq!(reserve(mode, 0, 4096), libc::EOPNOTSUPP, "{mode}");
    }
    // SAFETY: as above. posix_fallocate returns the errno.
    assert_eq!(unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, 20_000) }, 0);
    close(file).unwrap();
    let mut expected = b"data".to_vec();
    expected.resize(20_000, 0);
    assert!(stage.stored("f").unwrap() == expected);
    mount.umount();
}

#[test]
fn bytes_are_copied_between_files_of_the_mount() {
    let mut stage = Stage::new();
    let bytes = noise(1, 300_000);
    stage.site.put(&format!("{FOLDER}/from"), &bytes);
    let mount = stage.mount(&[]);
    let (from, to) = (open(&mount, "from"), open(&mount, "to"));
    let mut left = bytes.len();
    while left > 0 {
        let (none, descriptors) = (std::ptr::null_mut(), (from.as_raw_fd(), to.as_raw_fd()));
        // SAFETY: open descriptors, and their own offsets.
        let copied = unsafe { libc::copy_file_range(descriptors.0, none, descriptors.1, none, left, 0) };
        assert!(copied > 0, "{}", io::Error::last_os_error());
        left -= copied as usize;
    }
    close(to).unwrap();
    assert!(stage.stored("to").unwrap() == bytes);
    sh(&format!("cp --reflink=auto --sparse=always {0}/from {0}/again", mount.point.display()));
    assert!(stage.stored("again").unwrap() == bytes);
    drop(from);
    mount.umount();
}

#[test]
fn a_file_is_data_all_through_and_a_hole_at_its_end() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    let file = open(&mount, "f");
    file.set_len(1 << 20).unwrap();
    let seek = |offset: i64, whence: i32| {
        // SAFETY: an open descriptor and numbers.
        unsafe { libc::lseek(file.as_raw_fd(), offset, whence) }
    };
    assert_eq!(seek(5000, libc::SEEK_DATA), 5000);
    assert_eq!(seek(5000, libc::SEEK_HOLE), 1 << 20);
    assert_eq!(errno(seek(1 << 20, libc::SEEK_DATA)), libc::ENXIO);
    drop(file);
    mount.umount();
}

#[test]
fn locks_hold_between_the_processes_of_this_machine() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    let file = open(&mount, "f");
    let path = mount.path("f");
    let taken = |command: &str| {
        let told = std::process::Command::new("sh").arg("-c").arg(command).status().unwrap();
        !told.success()
    };
    let flock = format!("flock -n {} true", path.display());
    // SAFETY: an open descriptor.
    assert_eq!(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) }, 0);
    assert!(taken(&flock));
    // SAFETY: an open descriptor.
    assert_eq!(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_UN) }, 0);
    assert!(!taken(&flock));

    let lock = |kind: i32, command: i32, file: &File| {
        // SAFETY: all zeros is a value of this struct.
        let mut range: libc::flock = unsafe { std::mem::zeroed() };
        range.l_type = kind as i16;
        range.l_len = 100;
        // SAFETY: an open descriptor and a struct that outlives the call.
        errno(unsafe { libc::fcntl(file.as_raw_fd(), command, &range) }.into())
    };
    // Locks of open file descriptions: told apart within this process, too.
    let second = open(&mount, "f");
    assert_eq!(lock(libc::F_WRLCK, libc::F_OFD_SETLK, &file), 0);
    assert_eq!(lock(libc::F_WRLCK, libc::F_OFD_SETLK, &second), libc::EAGAIN);
    assert_eq!(lock(libc::F_UNLCK, libc::F_OFD_SETLK, &file), 0);
    assert_eq!(lock(libc::F_WRLCK, libc::F_SETLK, &second), 0);
    assert_eq!(lock(libc::F_UNLCK, libc::F_SETLK, &second), 0);
    drop((file, second));
    mount.umount();
}

#[test]
fn files_without_a_name_are_refused() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    for _ in 0..2 {
        let open = OpenOptions::new().write(true).custom_flags(libc::O_TMPFILE).open(&mount.point);
        assert_eq!(open.unwrap_err().raw_os_error(), Some(libc::EOPNOTSUPP));
    }
    mount.umount();
}

#[test]
fn flags_of_open_that_backup_tools_use_are_taken() {
    let mut stage = Stage::new();
    let bytes = noise(2, 64 << 10);
    stage.site.put(&format!("{FOLDER}/f"), &bytes);
    let mount = stage.mount(&[]);
    let flags = [
        ("O_DIRECT", libc::O_DIRECT),
        ("O_NOATIME", libc::O_NOATIME),
        ("O_SYNC", libc::O_SYNC),
        ("O_DSYNC", libc::O_DSYNC),
        ("O_NOFOLLOW", libc::O_NOFOLLOW),
        ("O_NONBLOCK", libc::O_NONBLOCK),
        ("O_NOCTTY", libc::O_NOCTTY),
    ];
    for (name, flag) in flags {
        let mut file = OpenOptions::new().read(true).custom_flags(flag).open(mount.path("f")).expect(name);
        let mut read = Vec::new();
        file.read_to_end(&mut read).unwrap();
        assert!(read == bytes, "{name}");
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).custom_flags(flag).open(mount.path(name)).expect(name);
        file.write_all_at(&bytes, 0).unwrap();
        close(file).unwrap();
        assert!(stage.stored(name).unwrap() == bytes, "{name}");
    }
    mount.umount();
}

#[test]
fn what_is_written_through_a_shared_map_arrives() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/f"), &noise(3, 20_000));
    let mount = stage.mount(&[]);
    let file = open(&mount, "f");
    // SAFETY: the map is as long as the file, and is not used after it was taken down.
    unsafe {
        let (protection, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        let map = libc::mmap(std::ptr::null_mut(), 20_000, protection, shared, file.as_raw_fd(), 0);
        assert_ne!(map, libc::MAP_FAILED, "{}", io::Error::last_os_error());
        let bytes = std::slice::from_raw_parts_mut(map.cast::<u8>(), 20_000);
        assert!(*bytes == *noise(3, 20_000));
        bytes[10_000..10_007].copy_from_slice(b"through");
        assert_eq!(libc::msync(map, 20_000, libc::MS_SYNC), 0);
        assert_eq!(libc::munmap(map, 20_000), 0);
    }
    close(file).unwrap();
    let mut expected = noise(3, 20_000);
    expected[10_000..10_007].copy_from_slice(b"through");
    assert!(stage.stored("f").unwrap() == expected);
    mount.umount();
}

#[test]
fn devices_pipes_and_sockets_are_refused() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    for kind in [libc::S_IFIFO, libc::S_IFSOCK, libc::S_IFCHR, libc::S_IFBLK] {
        let path = c_path(&mount.path("node"));
        // SAFETY: a C string and numbers.
        assert_eq!(errno(unsafe { libc::mknod(path.as_ptr(), kind | 0o600, 0) }.into()), libc::EPERM);
    }
    let path = c_path(&mount.path("plain"));
    // SAFETY: a C string and numbers.
    assert_eq!(errno(unsafe { libc::mknod(path.as_ptr(), libc::S_IFREG | 0o644, 0) }.into()), 0);
    assert_eq!(stage.stored("plain").unwrap(), b"");
    mount.umount();
}

/// Names of a folder, a few at a time; `between` runs after each handful.
fn read_slowly(folder: &Path, mut between: impl FnMut(usize)) -> Vec<String> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(folder).unwrap();
    let (mut names, mut buffer, mut handful) = (Vec::new(), [0u8; 200], 0);
    loop {
        let (room, length) = (buffer.as_mut_ptr(), buffer.len());
        // SAFETY: an open folder, and a buffer with its length.
        let filled = unsafe { libc::syscall(libc::SYS_getdents64, file.as_raw_fd(), room, length) };
        assert!(filled >= 0, "{}", io::Error::last_os_error());
        if filled == 0 {
            return names;
        }
        let mut at = 0;
        while at < filled as usize {
            let length = u16::from_ne_bytes([buffer[at + 16], buffer[at + 17]]) as usize;
            let name = buffer[at + 19..at + length].split(|byte| *byte == 0).next().unwrap();
            names.push(String::from_utf8(name.to_vec()).unwrap());
            at += length;
        }
        handful += 1;
        between(handful);
    }
}

#[test]
fn a_folder_that_changes_while_it_is_read_skips_and_repeats_nothing() {
    let mut stage = Stage::new();
    for n in 0..200 {
        stage.site.put(&format!("{FOLDER}/d/stays {n:03}"), b"x");
        stage.site.put(&format!("{FOLDER}/d/goes {n:03}"), b"x");
    }
    let mount = stage.mount(&["--close", "journaled"]);
    let folder = mount.path("d");
    let names = read_slowly(&folder, |handful| {
        if handful < 50 {
            fs::write(folder.join(format!("comes {handful}")), "x").unwrap();
            fs::remove_file(folder.join(format!("goes {:03}", 2 * handful))).unwrap();
            let (from, to) = (format!("goes {:03}", 2 * handful + 1), format!("went {handful}"));
            fs::rename(folder.join(from), folder.join(to)).unwrap();
        }
    });
    let mut once = names.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), names.len(), "a name was repeated");
    for n in 0..200 {
        assert!(once.contains(&format!("stays {n:03}")), "{n} was skipped");
    }
    assert_eq!(names[..2], [".", ".."]);
    mount.umount();
}

#[test]
fn df_shows_what_the_site_holds_and_does_not_wait_for_a_lost_network() {
    let mut stage = Stage::new();
    stage.site.put("elsewhere", &noise(4, 3 << 20));
    let mount = stage.mount(&[]);
    let df = |mount: &Mount| {
        let mut command = std::process::Command::new("df");
        let told = run(command.args(["-B1", "--output=used,avail"]).arg(&mount.point));
        let text = String::from_utf8(told.stdout).unwrap();
        let mut words = text.lines().last().unwrap().split_whitespace();
        (words.next().unwrap().parse::<u64>().unwrap(), words.next().unwrap().parse::<u64>().unwrap())
    };
    assert_eq!(df(&mount), (3 << 20, 1 << 50));
    stage.site.inject(Fault::on_any(Effect::Hold { until: 0 }).times(0));
    assert_eq!(df(&mount), (3 << 20, 1 << 50));
    assert_eq!(stage.site.held(), 0, "what is known is not asked for");
    stage.site.clear_faults();
    assert_eq!(stage.requests("usage"), 1);
    mount.umount();
    // A mount that knows nothing yet: the answer comes while the site still owes its own.
    let mount = stage.mount(&[]);
    stage.site.inject(Fault::on("usage", Effect::Hold { until: 0 }).times(0));
    assert_eq!(df(&mount).1, 1 << 50);
    assert_eq!(stage.site.held(), 1, "df waited for the site");
    stage.site.clear_faults();
    wait_until("it is known later", || df(&mount) == (3 << 20, 1 << 50));
    mount.umount();
}

#[test]
fn numbers_of_files_stay_in_the_mount_and_in_the_next() {
    use std::os::unix::fs::MetadataExt;
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/there/f"), b"x");
    let mount = stage.mount(&[]);
    let number = |mount: &Mount, name: &str| fs::metadata(mount.path(name)).unwrap().ino();
    fs::write(mount.path("new"), "x").unwrap();
    fs::create_dir(mount.path("folder")).unwrap();
    fs::write(mount.path("moved"), "x").unwrap();
    let moved = number(&mount, "moved");
    fs::rename(mount.path("moved"), mount.path("folder/other")).unwrap();
    assert_eq!(number(&mount, "folder/other"), moved, "a rename keeps it");
    fs::write(mount.path("moved"), "another").unwrap();
    assert_ne!(number(&mount, "moved"), moved, "nobody else gets it");
    sh(&format!("echo one > {}; rsync -a {0} {}/", stage.path("one").display(), mount.point.display()));
    let names = ["there", "there/f", "new", "folder", "one"];
    let before = names.map(|name| number(&mount, name));
    assert_eq!(fs::metadata(&mount.point).unwrap().ino(), 1);
    let mut file = open(&mount, "new");
    file.seek(SeekFrom::End(0)).unwrap();
    file.write_all(b"more").unwrap();
    close(file).unwrap();
    assert_eq!(number(&mount, "new"), before[2], "new content is no new file");
    mount.umount();
    let mount = stage.mount(&[]);
    assert_eq!(names.map(|name| number(&mount, name)), before);
    mount.umount();
}
