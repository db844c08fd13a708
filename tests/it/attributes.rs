//! Attributes: what went in comes back through a mount that knows nothing, and what cannot be kept is refused.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use filescomfs::emulator::{Effect, Fault};

use crate::stage::{FOLDER, Mount, Stage, sh, wait_until};

fn text(bytes: &[u8]) -> CString {
    CString::new(bytes).unwrap()
}

fn outcome(answer: isize) -> io::Result<usize> {
    usize::try_from(answer).map_err(|_| io::Error::last_os_error())
}

/// setxattr(2); the errno, or 0.
fn set(path: &Path, name: &[u8], value: &[u8], flags: i32) -> i32 {
    let (path, name) = (text(path.as_os_str().as_bytes()), text(name));
    // SAFETY: two C strings and a buffer with its length.
    let answer = unsafe {
        libc::setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), flags) as isize
    };
    outcome(answer).err().map_or(0, |error| error.raw_os_error().unwrap_or(-1))
}

/// removexattr(2); the errno, or 0.
fn remove(path: &Path, name: &[u8]) -> i32 {
    let (path, name) = (text(path.as_os_str().as_bytes()), text(name));
    // SAFETY: two C strings.
    let answer = unsafe { libc::removexattr(path.as_ptr(), name.as_ptr()) as isize };
    outcome(answer).err().map_or(0, |error| error.raw_os_error().unwrap_or(-1))
}

fn get(path: &Path, name: &[u8]) -> Result<Vec<u8>, i32> {
    let (path, name) = (text(path.as_os_str().as_bytes()), text(name));
    let mut value = vec![0; 65_536];
    // SAFETY: two C strings and a buffer with its length.
    let answer =
        unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    let len = outcome(answer).map_err(|error| error.raw_os_error().unwrap_or(-1))?;
    value.truncate(len);
    Ok(value)
}

/// All extended attributes that are listed, in the order of their names.
fn all(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let c_path = text(path.as_os_str().as_bytes());
    let mut names = vec![0; 65_536];
    // SAFETY: a C string and a buffer with its length.
    let answer = unsafe { libc::listxattr(c_path.as_ptr(), names.as_mut_ptr().cast(), names.len()) };
    names.truncate(outcome(answer).unwrap());
    let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names.map(|name| (name.to_vec(), get(path, name).unwrap())).collect()
}

fn sync(stage: &Stage, mount: &Mount) {
    let done = stage.filescomfs(["sync", "--timeout", "10m"]).arg(&mount.point).output().unwrap();
    assert!(done.status.success(), "{}", crate::stage::told(&done));
}

#[test]
fn extended_attributes_come_back_from_another_mount() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/theirs"), b"x");
    let others = BTreeMap::from([("owner".to_owned(), "somebody else".to_owned())]);
    stage.site.set_metadata(&format!("{FOLDER}/theirs"), others.clone());
    let mount = stage.mount(&[]);
    let at = |name: &str| mount.path(name);
    let bytes: Vec<u8> = (0..=255).cycle().take(5000).collect();
    fs::write(at("f"), "x").unwrap();
    fs::create_dir(at("d")).unwrap();
    assert_eq!(set(&at("f"), b"user.comment", "für alle".as_bytes(), 0), 0);
    assert_eq!(set(&at("f"), b"user.\xff\xfe=:%", &bytes, libc::XATTR_CREATE), 0);
    assert_eq!(set(&at("f"), b"user.empty", b"", 0), 0);
    assert_eq!(set(&at("f"), b"user.gone", b"x", 0), 0);
    assert_eq!(remove(&at("f"), b"user.gone"), 0);
    assert_eq!(set(&at("d"), b"user.of.a.folder", b"1", 0), 0);
    assert_eq!(set(&at("theirs"), b"user.ours", b"2", 0), 0);
    let expected = BTreeMap::from([
        (b"user.comment".to_vec(), "für alle".as_bytes().to_vec()),
        (b"user.\xff\xfe=:%".to_vec(), bytes),
        (b"user.empty".to_vec(), Vec::new()),
    ]);
    assert_eq!(all(&at("f")), expected);
    mount.umount();

    let mount = stage.mount(&[]);
    let at = |name: &str| mount.path(name);
    assert!(all(&at("f")) == expected, "{:?}", all(&at("f")).keys());
    assert_eq!(get(&at("d"), b"user.of.a.folder"), Ok(b"1".to_vec()));
    assert_eq!(get(&at("theirs"), b"user.ours"), Ok(b"2".to_vec()));
    // A new version of a file keeps them, as on any disk; and others keep their keys.
    fs::write(at("f"), "longer").unwrap();
    fs::write(at("theirs"), "longer").unwrap();
    assert_eq!(remove(&at("theirs"), b"user.ours"), 0);
    mount.umount();
    let mount = stage.mount(&[]);
    assert!(all(&mount.path("f")) == expected);
    assert!(all(&mount.path("theirs")).is_empty());
    assert_eq!(stage.site.files()[&format!("{FOLDER}/theirs")].custom_metadata["owner"], others["owner"]);
    mount.umount();
}

#[test]
fn what_is_set_before_the_close_costs_no_request_of_its_own() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    let file = fs::File::create(mount.path("f")).unwrap();
    assert_eq!(set(&mount.path("f"), b"user.a", b"1", 0), 0);
    crate::close::close(file).unwrap();
    mount.umount();
    assert_eq!(stage.requests("patch"), 0);
    let stored = &stage.site.files()[&format!("{FOLDER}/f")].custom_metadata["filescomfs.xattr"];
    assert_eq!(stored, "1 1 a=1");
}

#[test]
fn extended_attributes_that_cannot_be_kept_are_refused() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    let file = mount.path("f");
    fs::write(&file, "x").unwrap();
    for (name, value, flags, errno) in [
        ("user.a", &b"x"[..], libc::XATTR_REPLACE, libc::ENODATA),
        ("user.big", &[b'x'; 40_000], 0, libc::E2BIG),
        ("user.large", &[b'x'; 30_000], 0, 0),
        ("user.more", &[b'x'; 3_000], 0, libc::ENOSPC),
        ("user.large", &b"x"[..], libc::XATTR_CREATE, libc::EEXIST),
        ("user.filescomfs.state", b"verified", 0, libc::EPERM),
        ("security.x", b"x", 0, libc::ENOTSUP),
        ("trusted.x", b"x", 0, libc::ENOTSUP),
    ] {
        assert_eq!(set(&file, name.as_bytes(), value, flags), errno, "{name}");
    }
    assert_eq!(get(&file, b"user.filescomfs.state"), Ok(b"verified".to_vec()));
    assert_eq!(get(&file, b"system.posix_acl_access"), Err(libc::ENOTSUP));
    assert_eq!(get(&file, b"security.capability"), Err(libc::ENODATA));
    assert_eq!(remove(&file, b"user.none"), libc::ENODATA);
    assert_eq!(all(&file).into_keys().collect::<Vec<_>>(), [b"user.large"]);
    mount.umount();
    let mount = stage.mount(&["--metadata", "mtime"]);
    assert_eq!(set(&mount.path("f"), b"user.b", b"x", 0), libc::ENOTSUP);
    mount.umount();
}

#[test]
fn journaled_extended_attributes_survive_sigkill() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/there"), b"x");
    let mount = stage.mount_with_state("state", &["--close", "journaled"]);
    for kind in ["mkdir", "begin_upload", "patch"] {
        stage.site.inject(Fault { times: 0, ..Fault::on(kind, Effect::Proxy { status: 503 }) });
    }
    fs::write(mount.path("new"), "x").unwrap();
    fs::create_dir(mount.path("folder")).unwrap();
    fs::create_dir(mount.path("later.tmp")).unwrap();
    for name in ["there", "new", "folder", "later.tmp"] {
        assert_eq!(set(&mount.path(name), b"user.of", name.as_bytes(), 0), 0);
    }
    mount.kill();
    stage.site.clear_faults();
    let mount = stage.mount_with_state("state", &[]);
    sync(&stage, &mount);
    mount.umount();
    let mount = stage.mount(&[]);
    for name in ["there", "new", "folder", "later.tmp"] {
        assert_eq!(get(&mount.path(name), b"user.of"), Ok(name.as_bytes().to_vec()), "{name}");
    }
    mount.umount();
}

#[test]
fn a_mode_and_a_time_survive_sigkill_from_the_moment_that_they_are_answered() {
    for close in ["verified", "journaled"] {
        let mut stage = Stage::new();
        let mount = stage.mount_with_state("state", &["--close", close]);
        stage.site.inject(Fault { times: 0, ..Fault::on("patch", Effect::Proxy { status: 503 }) });
        let path = mount.path("f");
        fs::write(&path, "x").unwrap();
        // A writer that has nothing new, whose close has nothing to say.
        let open = fs::OpenOptions::new().write(true).open(&path).unwrap();
        let time = UNIX_EPOCH + Duration::new(1_600_000_000, 5);
        open.set_modified(time).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o4750)).unwrap();
        mount.kill();
        drop(open);
        stage.site.clear_faults();
        let mount = stage.mount_with_state("state", &[]);
        sync(&stage, &mount);
        mount.umount();
        let mount = stage.mount(&[]);
        let seen = fs::metadata(mount.path("f")).unwrap();
        assert_eq!((seen.mode() & 0o7777, seen.modified().unwrap()), (0o4750, time), "{close}");
        mount.umount();
    }
}

#[test]
fn what_is_taken_away_is_gone_where_the_service_merges_metadata() {
    let mut stage = Stage::with(|site| site.metadata_merges = true);
    let mount = stage.mount(&[]);
    let file = mount.path("f");
    fs::write(&file, "x").unwrap();
    sh(&format!("touch -d 2020-02-02 {}", file.display()));
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    assert_eq!(set(&file, b"user.a", &[b'x'; 2500], 0), 0);
    wait_until("they are sent", || stage.requests("patch") > 0);
    mount.umount();
    let mount = stage.mount(&[]);
    assert_eq!(remove(&mount.path("f"), b"user.a"), 0);
    fs::set_permissions(mount.path("f"), Permissions::from_mode(0o644)).unwrap();
    mount.umount();
    let mount = stage.mount(&[]);
    assert!(all(&mount.path("f")).is_empty());
    assert_eq!(fs::metadata(mount.path("f")).unwrap().mode() & 0o7777, 0o644);
    mount.umount();
}

#[test]
fn special_bits_come_back_and_a_new_owner_takes_them_off() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    let mode = |mount: &Mount, name: &str| fs::metadata(mount.path(name)).unwrap().mode() & 0o7777;
    for (name, bits) in [("setuid", 0o4755), ("setgid", 0o2755), ("both", 0o6711), ("sticky", 0o1644)] {
        fs::write(mount.path(name), "x").unwrap();
        fs::set_permissions(mount.path(name), Permissions::from_mode(bits)).unwrap();
    }
    for (name, bits) in [("shared", 0o2775), ("tmp", 0o1777)] {
        fs::create_dir(mount.path(name)).unwrap();
        fs::set_permissions(mount.path(name), Permissions::from_mode(bits)).unwrap();
    }
    std::os::unix::fs::chown(mount.path("shared"), None, Some(4321)).unwrap();
    assert_eq!(mode(&mount, "shared"), 0o2775, "a folder keeps it");
    fs::write(mount.path("shared/f"), "x").unwrap();
    fs::create_dir(mount.path("shared/d")).unwrap();
    std::os::unix::fs::chown(mount.path("both"), Some(1234), None).unwrap();
    mount.umount();
    let mount = stage.mount(&[]);
    for (name, bits) in [
        ("setuid", 0o4755),
        ("setgid", 0o2755),
        ("both", 0o711),
        ("sticky", 0o1644),
        ("shared", 0o2775),
        ("tmp", 0o1777),
        ("shared/d", 0o2755),
    ] {
        assert_eq!(mode(&mount, name), bits, "{name}");
    }
    for name in ["shared/f", "shared/d"] {
        assert_eq!(fs::metadata(mount.path(name)).unwrap().gid(), 4321, "{name}: handed on by the folder");
    }
    assert_eq!(fs::metadata(mount.path("both")).unwrap().uid(), 1234);
    mount.umount();
}

#[test]
fn blocks_are_counted_by_512_bytes() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    for (size, blocks) in [(0, 0), (1, 1), (512, 1), (513, 2), (100_000, 196)] {
        fs::write(mount.path("f"), vec![7; size]).unwrap();
        let found = fs::metadata(mount.path("f")).unwrap();
        assert_eq!((found.size(), found.blocks()), (size as u64, blocks));
    }

    mount.umount();
}

#[test]
fn attributes_that_newer_bytes_have_overtaken_do_not_come_back_after_a_crash() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/f"), b"old");
    let options = ["--close", "journaled"];
    let mount = stage.mount_with_state("state", &options);
    for kind in ["begin_upload", "patch"] {
        stage.site.inject(Fault { times: 0, ..Fault::on(kind, Effect::Proxy { status: 503 }) });
    }
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    fs::File::open(mount.path("f")).unwrap().set_modified(old).unwrap();
    fs::write(mount.path("f"), "newer").unwrap();
    let newest = fs::metadata(mount.path("f")).unwrap().modified().unwrap();
    assert!(newest > old);
    mount.kill();
    stage.site.clear_faults();
    let mount = stage.mount_with_state("state", &options);
    sync(&stage, &mount);
    // Not the orderly end: what the journal has not forgotten now, the next mount believes.
    mount.kill();
    let mount = stage.mount_with_state("state", &options);
    sync(&stage, &mount);
    assert_eq!(fs::metadata(mount.path("f")).unwrap().modified().unwrap(), newest);
    assert_eq!(fs::read(mount.path("f")).unwrap(), b"newer");
    mount.umount();
}

/// Mode, owner and group of everything in a mount, by name.
fn shown(mount: &Mount, names: &[&str]) -> Vec<(String, u32, u32, u32)> {
    let look = |name: &&str| {
        let found = fs::symlink_metadata(mount.path(name)).unwrap();
        ((*name).to_owned(), found.mode() & 0o7777, found.uid(), found.gid())
    };
    names.iter().map(look).collect()
}

const OF_OTHERS: [&str; 6] = ["--umask", "077", "--uid", "1234", "--gid", "1235"];

#[test]
fn modes_and_owners_come_back_whatever_the_options_of_either_mount() {
    let names = ["private", "plain", "private folder", "plain folder", "link"];
    let (plain, others) = (&[][..], &OF_OTHERS[..]);
    for (before, after) in [(others, plain), (plain, others), (plain, plain), (others, others)] {
        for close in ["verified", "journaled"] {
            let mut stage = Stage::new();
            let mount = stage.mount(&[before, &["--close", close]].concat());
            for (name, mode) in [("private", 0o600), ("plain", 0o644)] {
                fs::write(mount.path(name), "x").unwrap();
                fs::set_permissions(mount.path(name), Permissions::from_mode(mode)).unwrap();
                sh(&format!("touch -d 2020-02-02T02:02:02Z '{}'", mount.path(name).display()));
            }
            for (name, mode) in [("private folder", 0o700), ("plain folder", 0o755)] {
                fs::create_dir(mount.path(name)).unwrap();
                fs::set_permissions(mount.path(name), Permissions::from_mode(mode)).unwrap();
            }
            std::os::unix::fs::symlink("plain", mount.path("link")).unwrap();
            for name in ["private", "private folder"] {
                std::os::unix::fs::chown(mount.path(name), Some(1234), Some(1235)).unwrap();
            }
            // A folder of which nothing is unusual, and nobody asked for anything else, has nothing stored.
            let kept = |name: &&&str| **name != "plain folder" || after.is_empty() || !before.is_empty();
            let names: Vec<&str> = names.iter().filter(kept).copied().collect();
            let expected = shown(&mount, &names);
            sync(&stage, &mount);
            mount.umount();
            let mount = stage.mount(after);
            assert_eq!(shown(&mount, &names), expected, "{before:?} {after:?} {close}");
            mount.umount();
        }
    }
}

#[test]
fn what_earlier_versions_left_out_is_still_what_the_mount_says() {
    let mut stage = Stage::new();
    for (name, words) in [("of one", "1 mtime=1700000000.000000001"), ("of two", "1 mode=640"), ("bare", "")]
    {
        stage.site.put(&format!("{FOLDER}/{name}"), b"x");
        let metadata = BTreeMap::from([("filescomfs".to_owned(), words.to_owned())]);
        stage.site.set_metadata(&format!("{FOLDER}/{name}"), metadata);
    }
    let mount = stage.mount(&OF_OTHERS);
    let expected = [("of one", 0o600), ("of two", 0o640), ("bare", 0o600)];
    let expected = expected.map(|(name, mode)| (name.to_owned(), mode, 1234, 1235));
    assert_eq!(shown(&mount, &["of one", "of two", "bare"]), expected);
    mount.umount();
}

#[test]
fn a_fresh_folder_costs_one_request_and_no_time_that_nobody_set() {
    for close in ["verified", "journaled"] {
        let mut stage = Stage::new();
        let mount = stage.mount(&["--close", close]);
        for n in 0..10 {
            fs::create_dir_all(mount.path(&format!("d{n}/in"))).unwrap();
        }
        fs::create_dir(mount.path("later.tmp")).unwrap();
        fs::rename(mount.path("later.tmp"), mount.path("renamed")).unwrap();
        sync(&stage, &mount);
        mount.umount();
        assert_eq!((stage.requests("mkdir"), stage.requests("patch")), (21, 0), "{close}");
        // What is unusual costs one more.
        let mount = stage.mount(&["--close", close]);
        fs::create_dir(mount.path("d")).unwrap();
        fs::set_permissions(mount.path("d"), Permissions::from_mode(0o700)).unwrap();
        sync(&stage, &mount);
        mount.umount();
        assert_eq!(stage.requests("patch"), 1, "{close}");
        let mount = stage.mount(&[]);
        assert_eq!(fs::metadata(mount.path("d")).unwrap().mode() & 0o7777, 0o700);
        let time = UNIX_EPOCH + Duration::new(1_500_000_000, 7);
        fs::File::open(mount.path("d")).unwrap().set_modified(time).unwrap();
        mount.umount();
        let mount = stage.mount(&[]);
        assert_eq!(fs::metadata(mount.path("d")).unwrap().modified().unwrap(), time);
        mount.umount();
    }
}

#[test]
fn the_last_days_of_the_year_9999_come_back() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    let times =
        ["9999-12-30T21:59:59Z", "9999-12-30T22:00:00Z", "9999-12-31T23:59:59Z", "12000-01-01T00:00:00Z"];
    let seconds = [253_402_207_199i64, 253_402_207_200, 253_402_300_799, 316_516_464_000];
    for (name, time) in times.iter().zip(seconds) {
        fs::write(mount.path(name), "x").unwrap();
        let time = UNIX_EPOCH + Duration::from_secs(time as u64);
        fs::File::options().write(true).open(mount.path(name)).unwrap().set_modified(time).unwrap();
    }
    mount.umount();
    let mount = stage.mount(&[]);
    for (name, time) in times.iter().zip(seconds) {
        assert_eq!(fs::metadata(mount.path(name)).unwrap().mtime(), time, "{name}");
    }
    mount.umount();
}

#[test]
fn attributes_of_a_folder_arrive_by_themselves_although_names_come_and_go_meanwhile() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--close", "journaled"]);
    stage.site.inject(Fault::on("patch", Effect::Hold { until: 0 }).after_effect());
    fs::set_permissions(&mount.point, fs::Permissions::from_mode(0o751)).unwrap();
    wait_until("they are on their way", || stage.site.held() == 1);
    fs::write(mount.path("f"), "a new name").unwrap();
    stage.site.clear_faults();
    wait_until("nothing is owed", || mount.status()["owed"]["attributes"] == 0);
    mount.umount();
    let fresh = stage.mount(&[]);
    assert_eq!(fs::metadata(&fresh.point).unwrap().mode() & 0o7777, 0o751);
    fresh.umount();
}
