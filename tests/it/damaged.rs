//! Bytes that are damaged or lost on their way from Files.com: a reader gets an error, and never a wrong byte.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::process::Command;

use filescomfs::emulator::{Effect, Fault, Settings};

use crate::stage::{FOLDER, Mount, Stage, noise, told};

const MIB: usize = 1 << 20;

/// A download is damaged once: the one after `spared` others.
fn flip(stage: &Stage, spared: u64, at: u64) {
    stage.site.inject(Fault::on("fetch", Effect::FlipBody { at }).skip(spared));
}

/// Copies a file with a tool, and tells whether the tool was content.
fn copies(stage: &Stage, mount: &Mount, name: &str, tool: &str) -> bool {
    let (from, to) = (mount.path(name), stage.path("copy"));
    let _ = fs::remove_file(&to);
    let line = match tool {
        "cat" => "cat \"$1\" > \"$2\"",
        "cp" => "cp \"$1\" \"$2\"",
        "dd" => "dd if=\"$1\" of=\"$2\" bs=1M status=none",
        _ => "rsync --whole-file \"$1\" \"$2\"",
    };
    let output = Command::new("sh").args(["-c", line, "sh"]).arg(from).arg(to).output().unwrap();
    output.status.success()
}

#[test]
fn one_flipped_bit_of_a_large_file_is_an_error_of_every_tool_and_the_next_attempt_is_good() {
    let mut stage = Stage::new();
    let bytes = noise(1, 30 * MIB);
    let rounds = ["cat", "cp", "dd", "rsync"].into_iter().flat_map(|tool| [(tool, 0), (tool, 1)]);
    for (tool, spared) in rounds.clone() {
        stage.site.put(&format!("{FOLDER}/{tool}{spared}"), &bytes);
    }
    let mount = stage.mount(&[]);
    for (tool, spared) in rounds {
        let name = format!("{tool}{spared}");
        flip(&stage, spared, 100_000);
        assert!(!copies(&stage, &mount, &name, tool), "{tool} was content with a damaged range ({spared})");
        assert!(copies(&stage, &mount, &name, tool), "{tool} cannot read what is good");
        assert!(fs::read(stage.path("copy")).unwrap() == bytes, "{tool}: other bytes");
    }
    mount.umount();
}

#[test]
fn whoever_had_the_file_open_opens_it_again_before_it_reads_or_writes_on() {
    let mut stage = Stage::new();
    let bytes = noise(2, 30 * MIB);
    stage.site.put(&format!("{FOLDER}/f"), &bytes);
    let mount = stage.mount(&[]);
    let early = File::options().read(true).write(true).open(mount.path("f")).unwrap();
    let mut first = [0; 4096];
    flip(&stage, 0, 200);
    early.read_exact_at(&mut first, 0).unwrap();
    assert!(fs::read(mount.path("f")).is_err());
    assert!(fs::read(mount.path("f")).unwrap() == bytes);
    let told = |outcome: std::io::Result<()>| outcome.unwrap_err().raw_os_error();
    assert_eq!(told(early.read_exact_at(&mut first, 20 * MIB as u64)), Some(libc::EIO));
    assert_eq!(told(early.write_all_at(&first, 0)), Some(libc::EIO), "it has a bad byte in its hands");
    drop(early);
    let again = File::options().read(true).write(true).open(mount.path("f")).unwrap();
    again.read_exact_at(&mut first, 0).unwrap();
    assert!(first[..] == bytes[..4096]);
    again.write_all_at(b"new", 0).unwrap();
    drop(again);
    assert!(stage.stored("f").unwrap()[..] == [b"new", &bytes[3..]].concat());
    mount.umount();
}

/// How reading all of `f` ends.
fn errno(mount: &Mount) -> Option<i32> {
    fs::read(mount.path("f")).err().and_then(|error| error.raw_os_error())
}

fn is_told(settings: impl FnOnce(&mut Settings)) {
    let mut stage = Stage::with(settings);
    let bytes = noise(3, 5 * MIB);
    stage.site.put(&format!("{FOLDER}/f"), &bytes);
    let mount = stage.mount(&[]);
    flip(&stage, 0, 70_000);
    assert_eq!(errno(&mount), Some(libc::EIO));
    assert!(
        mount.log().contains("/backups/f cannot be read: the bytes that came are bad"),
        "{}",
        mount.log()
    );
    assert!(fs::read(mount.path("f")).unwrap() == bytes);
    mount.umount();
}

#[test]
fn a_site_that_states_md5_alone_is_compared_by_it() {
    is_told(|site| (site.md5, site.crc32, site.opaque_etags) = (true, false, true));
}

#[test]
fn a_site_that_states_crc32_alone_is_compared_by_it() {
    is_told(|site| (site.md5, site.crc32, site.opaque_etags) = (false, true, true));
}

#[test]
fn a_site_that_states_nothing_is_compared_by_its_storage() {
    is_told(|site| (site.md5, site.crc32) = (false, false));
}

#[test]
fn what_this_machine_sent_is_compared_with_its_receipt_where_nothing_else_is_known() {
    let mut stage = Stage::with(|site| (site.md5, site.crc32) = (false, false));
    let bytes = noise(4, 30 * MIB);
    let mount = stage.mount_with_state("state", &[]);
    fs::write(mount.path("f"), &bytes).unwrap();
    mount.umount();
    let mount = stage.mount_with_state("state", &[]);
    flip(&stage, 1, 70_000);
    assert_eq!(errno(&mount), Some(libc::EIO));
    assert!(fs::read(mount.path("f")).unwrap() == bytes);
    mount.umount();
}

#[test]
fn a_limit_of_bandwidth_loses_no_byte_of_what_is_read() {
    let mut stage = Stage::new();
    let bytes = noise(5, 20 * MIB);
    stage.site.put(&format!("{FOLDER}/f"), &bytes);
    let mount = stage.mount(&["-o", "bwlimit-down=10M"]);
    assert!(fs::read(mount.path("f")).unwrap() == bytes);
    mount.umount();
}

#[test]
fn a_cache_folder_serves_one_mount_at_a_time() {
    let stage = Stage::new();
    let own = |name: &str| stage.path(name).to_str().unwrap().to_owned();
    let first = stage.mount_at("one", "cache", &["--state-dir", &own("state-one")]);
    let point = stage.path("two");
    fs::create_dir(&point).unwrap();
    let second = stage
        .filescomfs(["mount", "--state-dir", &own("state-two"), "--cache-dir", &own("cache")])
        .arg(stage.source())
        .arg(&point)
        .output()
        .unwrap();
    assert!(!second.status.success() && told(&second).contains("--cache-dir"), "{}", told(&second));
    first.umount();
    stage.mount_at("two", "cache", &["--state-dir", &own("state-two")]).umount();
}

/// The kernel forgets the bytes of a file.
fn forget_pages(path: &std::path::Path) {
    let file = File::open(path).unwrap();
    // SAFETY: the descriptor is open, and no memory is touched.
    let done = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    assert_eq!(done, 0);
}

#[test]
fn what_others_put_into_the_cache_folder_is_never_read() {
    let mut stage = Stage::new();
    let bytes = noise(6, 300_000);
    stage.site.put(&format!("{FOLDER}/f"), &bytes);
    for n in 0..300 {
        stage.site.put(&format!("{FOLDER}/many/{n}"), b"x");
    }
    let mount = stage.mount(&[]);
    assert!(fs::read(mount.path("f")).unwrap() == bytes);
    let is_ours = |path: &std::path::Path| fs::metadata(path).unwrap().len() == bytes.len() as u64;
    let mut content = fs::read_dir(mount.state.join("content")).unwrap().map(|entry| entry.unwrap().path());
    let cached = content.find(|path| is_ours(path)).expect("it is in the cache");
    fs::write(stage.path("other"), noise(7, bytes.len())).unwrap();
    fs::rename(stage.path("other"), &cached).unwrap();
    // So many that the file is not open any more.
    for n in 0..300 {
        fs::read(mount.path(&format!("many/{n}"))).unwrap();
    }
    forget_pages(&mount.path("f"));
    let read = fs::read(mount.path("f"));
    assert!(read.is_err() || read.is_ok_and(|read| read == bytes), "bytes of somebody else");
    assert!(fs::read(mount.path("f")).unwrap() == bytes);
    mount.umount();
}
