//! Reading: only what is asked for is fetched, and bad bytes are never handed out.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::time::Duration;

use filescomfs::emulator::{Effect, Fault};

use crate::stage::{FOLDER, Mount, Stage, noise, run, wait_until};

const MIB: usize = 1 << 20;

#[test]
fn a_random_read_of_a_large_file_fetches_little() {
    let mut stage = Stage::new();
    let bytes = noise(1, 64 * MIB);
    stage.site.put(&format!("{FOLDER}/big"), &bytes);
    let mount = stage.mount(&[]);
    let file = File::open(mount.path("big")).unwrap();
    let mut buffer = [0; 4096];
    file.read_exact_at(&mut buffer, 40 * MIB as u64).unwrap();
    assert!(buffer[..] == bytes[40 * MIB..40 * MIB + 4096]);
    let fetched: u64 = stage.site.requests().iter().filter(|r| r.kind == "fetch").map(|r| r.bytes).sum();
    assert!(fetched < 3 * MIB as u64, "{fetched} bytes were fetched for 4096");
    drop(file);
    mount.umount();
}

#[test]
fn readers_of_one_file_share_what_is_fetched() {
    let mut stage = Stage::with(|site| site.storage_latency_ms = 50);
    let bytes = noise(2, 20 * MIB);
    stage.site.put(&format!("{FOLDER}/f"), &bytes);
    let mount = stage.mount(&[]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert!(fs::read(mount.path("f")).unwrap() == bytes));
        }
    });
    let fetched: u64 = stage.site.requests().iter().filter(|r| r.kind == "fetch").map(|r| r.bytes).sum();
    assert!(fetched <= 21 * MIB as u64, "{fetched} bytes were fetched of 20 MiB");
    assert_eq!(stage.requests("download"), 1);
    mount.umount();
}

#[test]
fn bytes_that_are_damaged_on_the_way_are_never_handed_out() {
    for stated in [true, false] {
        let mut stage = Stage::with(|site| (site.md5, site.crc32) = (stated, stated));
        stage.site.put(&format!("{FOLDER}/f"), &noise(3, 300_000));
        let mount = stage.mount(&[]);
        stage.site.inject(Fault { times: 0, ..Fault::on("fetch", Effect::FlipBody { at: 1000 }) });
        let failure = fs::read(mount.path("f")).unwrap_err();
        assert_eq!(failure.raw_os_error(), Some(libc::EIO));
        assert!(mount.log().contains("MD5"), "the log says what was compared");
        stage.site.clear_faults();
        assert!(fs::read(mount.path("f")).unwrap() == noise(3, 300_000), "the next attempt gets good bytes");
        mount.umount();
    }
}

#[test]
fn a_download_that_breaks_off_goes_on_where_it_was() {
    let mut stage = Stage::new();
    let bytes = noise(4, 12 * MIB);
    stage.site.put(&format!("{FOLDER}/f"), &bytes);
    let mount = stage.mount(&[]);
    stage.site.inject(Fault::on("fetch", Effect::TruncateBody { at: 500_000 }));
    stage.site.inject(Fault::on("fetch", Effect::ExpireUrl));
    stage.site.inject(Fault::on("fetch", Effect::Proxy { status: 502 }));
    assert!(fs::read(mount.path("f")).unwrap() == bytes);
    mount.umount();
}

#[test]
fn an_open_file_never_mixes_two_versions() {
    let mut stage = Stage::new();
    let (old, new) = (noise(5, 48 * MIB), noise(6, 48 * MIB));
    let at = 40 * MIB;
    for name in ["f", "g"] {
        stage.site.put(&format!("{FOLDER}/{name}"), &old);
    }
    let mount = stage.mount(&[]);
    let begin = |name: &str| {
        let mut file = File::open(mount.path(name)).unwrap();
        let mut start = [0; 4096];
        file.read_exact(&mut start).unwrap();
        assert!(start[..] == old[..4096]);
        stage.site.put(&format!("{FOLDER}/{name}"), &new);
        file.seek(SeekFrom::Start(at as u64)).unwrap();
        file
    };
    let mut later = [0; 4096];
    // The URL that it has leads to the version that it has.
    begin("f").read_exact(&mut later).unwrap();
    assert!(later[..] == old[at..at + 4096], "bytes of another version");
    // A fresh one does not.
    let mut file = begin("g");
    stage.site.advance(Duration::from_secs(61));
    assert_eq!(file.read_exact(&mut later).unwrap_err().raw_os_error(), Some(libc::ESTALE));
    assert!(mount.log().contains("/backups/g was replaced by somebody else"), "{}", mount.log());
    drop(file);
    mount.umount();
}

#[test]
fn the_cache_keeps_within_its_limit() {
    let mut stage = Stage::new();
    for n in 0..10 {
        stage.site.put(&format!("{FOLDER}/{n}"), &noise(n, 2 * MIB));
    }
    let mount = stage.mount(&["--cache-size", "5M"]);
    for n in 0..10 {
        assert!(fs::read(mount.path(&n.to_string())).unwrap() == noise(n, 2 * MIB));
    }
    let used = mount.status()["cache"]["used"].as_u64().unwrap();
    assert!(used <= 5 << 20, "{used} bytes in a cache of 5 MiB");
    mount.umount();
}

#[test]
fn a_change_in_the_middle_of_a_large_file_keeps_the_rest() {
    let mut stage = Stage::new();
    let mut bytes = noise(7, 18 * MIB);
    stage.site.put(&format!("{FOLDER}/f"), &bytes);
    let mount = stage.mount(&[]);
    let file = File::options().write(true).open(mount.path("f")).unwrap();
    file.write_all_at(b"changed", 9 * MIB as u64).unwrap();
    drop(file);
    bytes[9 * MIB..9 * MIB + 7].copy_from_slice(b"changed");
    assert!(stage.stored("f").unwrap() == bytes);
    mount.umount();
}

/// 40 folders, none of which was asked for yet.
fn forty_folders() -> (Stage, Mount) {
    let mut stage = Stage::new();
    for n in 0..40 {
        stage.site.put(&format!("{FOLDER}/d{n:02}/file"), b"x");
    }
    let mount = stage.mount(&[]);
    stage.site.clear_requests();
    (stage, mount)
}

#[test]
fn who_looks_for_names_in_folder_after_folder_finds_the_next_ones_listed() {
    let (stage, mount) = forty_folders();
    for n in 0..3 {
        assert!(mount.path(&format!("d{n:02}/file")).exists());
        assert!(!mount.path(&format!("d{n:02}/another")).exists());
    }
    wait_until("nobody asked for those", || stage.requests("list") >= 3 + 4);
    for n in 3..40 {
        assert!(mount.path(&format!("d{n:02}/file")).exists());
    }
    assert_eq!(stage.requests("list"), 40, "each folder costs one request");
    mount.umount();
}

#[test]
fn who_reads_folder_after_folder_and_never_their_parent_finds_the_next_ones_listed() {
    let (stage, mount) = forty_folders();
    let count = |n: usize| std::fs::read_dir(mount.path(&format!("d{n:02}"))).unwrap().count();
    assert_eq!(count(0) + count(1), 2);
    wait_until("nobody asked for the two after them", || stage.requests("list") >= 2 + 2);
    assert_eq!((2..40).map(count).sum::<usize>(), 38);
    assert_eq!(stage.requests("list"), 40, "each folder costs one request");
    mount.umount();
}

#[test]
fn a_walk_lists_each_folder_once_and_several_at_a_time() {
    let mut stage = Stage::new();
    for n in 0..40 {
        stage.site.put(&format!("{FOLDER}/d{n:02}/sub/file"), b"x");
    }
    let mount = stage.mount(&[]);
    stage.site.clear_requests();
    // The first folders teach where the walk goes. Of the others nobody is told anything until two are asked for at once.
    stage.site.inject(Fault::on("list", Effect::Hold { until: 2 }).skip(8).times(0));
    let found = run(Command::new("find").arg(&mount.point).args(["-type", "f"]));
    assert_eq!(String::from_utf8_lossy(&found.stdout).lines().count(), 40);
    assert_eq!(
        stage.requests("list"),
        80,
        "each folder costs one request, and the root none: the mount has asked"
    );
    assert_eq!(stage.site.waiting_faults(), [], "one after the other");

    // Whoever looks into one folder alone pays for one.
    let mount2 = stage.mount(&[]);
    stage.site.clear_requests();
    assert!(mount2.path("d07/sub/file").exists());
    assert_eq!(stage.requests("list"), 2);
    mount2.umount();
    mount.umount();
}
