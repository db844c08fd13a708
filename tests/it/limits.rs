//! The limits of the local disk: what `--cache-size` bounds, who waits for it, and a disk that is full.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use filescomfs::emulator::{Effect, Fault};
use filescomfs::fs::{Filesystem, Maker, Rules};
use filescomfs::local::journal::Journal;
use filescomfs::local::store::Store;
use filescomfs::model::attributes::Defaults;
use filescomfs::model::bandwidth::Bandwidth;
use filescomfs::model::ino::Ino;
use filescomfs::model::path::RemotePath;
use filescomfs::model::policy::{Close, HardLinks, Metadata, Names, Symlinks, Verify};
use filescomfs::model::temporary::TemporaryNames;
use filescomfs::remote::{Client, ClientOptions, Credentials, Secret};

use crate::close::{close, write_and_close};
use crate::patience::Stopwatch;
use crate::stage::{FOLDER, KEY, Mount, PATIENCE, Stage, noise, run, same_trees, sh, told, wait_until};

const MIB: u64 = 1 << 20;

/// The files of a folder by their numbers, with the bytes that they take on the disk.
fn files_in(folder: &Path) -> BTreeMap<u64, u64> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|file| (file.ino(), file.blocks() * 512)).collect()
}

/// Bytes that the files of a folder take on the disk.
fn taken(folder: &Path) -> u64 {
    files_in(folder).values().sum()
}

/// The spool and the cache of a mount.
fn rooms(mount: &Mount) -> (PathBuf, PathBuf) {
    let spool = mount.state.join("state/spool");
    let spool = if spool.exists() { spool } else { mount.state.join("spool") };
    (spool, mount.state.join("content"))
}

/// The most that was seen while something went on.
struct Watch {
    over: Arc<AtomicBool>,
    watcher: thread::JoinHandle<(u64, u64)>,
}

impl Watch {
    fn begin(mount: &Mount) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let ((spool, cache), ended) = (rooms(mount), over.clone());
        assert!(spool.exists() && cache.exists());
        let watcher = thread::spawn(move || {
            let mut most = (0, 0);
            while !ended.load(Ordering::Relaxed) {
                let mut all = files_in(&spool);
                let owed = all.values().sum();
                // What moves from one to the other between the two looks is one file all the same.
                all.extend(files_in(&cache));
                most = (most.0.max(owed), most.1.max(all.values().sum()));
                thread::sleep(Duration::from_millis(2));
            }
            most
        });
        Self { over, watcher }
    }

    /// The most of the spool, and of spool and cache together.
    fn end(self) -> (u64, u64) {
        self.over.store(true, Ordering::Relaxed);
        self.watcher.join().unwrap()
    }
}

/// A small disk that goes with the test.
struct Disk(PathBuf);

impl Disk {
    fn of(stage: &Stage, name: &str, size: &str) -> Self {
        let point = stage.path(name);
        fs::create_dir_all(&point).unwrap();
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size},mode=0700"), "tmpfs"])
            .arg(&point));
        Self(point)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

fn sync(stage: &Stage, mount: &Mount) {
    let done = stage.filescomfs(["sync", "--timeout", "10m"]).arg(&mount.point).output().unwrap();
    assert!(done.status.success(), "{}", told(&done));
}

/// Writes until there is no room, and tells how many bytes went in.
fn fill(file: &mut File) -> u64 {
    let piece = noise(9, 256 << 10);
    let mut written = 0;
    loop {
        match file.write(&piece) {
            Ok(count) => written += count as u64,
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::ENOSPC), "{error}");
                return written;
            }
        }
        assert!(written < 1 << 30, "a small disk took a gigabyte");
    }
}

#[test]
fn a_tree_larger_than_the_cache_size_goes_through_and_the_spool_stays_within_it() {
    let mut stage = Stage::with(|site| site.bandwidth_bits = Some(8_000_000));
    let source = stage.path("source");
    for n in 0..160 {
        let folder = source.join(format!("d{}", n % 8));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{n}")), noise(n, 1000 + (n as usize * 7919) % 600_000)).unwrap();
    }
    sh(&format!("find {} -exec touch -d 2020-02-02 {{}} +", source.display()));
    assert!(taken(&source.join("d0")) * 8 > 30 * MIB);
    let mount = stage.mount(&["--close", "journaled", "--cache-size", "8M"]);
    let watch = Watch::begin(&mount);
    let line = format!("rsync -a {}/ {}/", source.display(), mount.point.display());
    let rsync = thread::spawn(move || sh(&line));
    wait_until("rsync waits for room", || mount.status()["cache"]["writers_waiting"] == 1);
    stage.site.change(|site| site.bandwidth_bits = Some(300_000_000));
    rsync.join().unwrap();
    sync(&stage, &mount);
    let (spool, all) = watch.end();
    assert!(spool <= 8 * MIB, "the spool took {spool} bytes");
    assert!(all <= 9 * MIB, "spool and cache took {all} bytes");
    assert!(spool > 4 * MIB, "it was never full ({spool} bytes): nothing was shown");
    let status = mount.status();
    assert_eq!((&status["cache"]["spool"], &status["errors"]), (&0.into(), &serde_json::json!([])));
    mount.umount();
    let mount = stage.mount(&[]);
    same_trees(&source, &mount.point);
    mount.umount();
}

#[test]
fn a_writer_waits_for_room_while_others_are_served_and_goes_on_when_the_site_does() {
    for mode in ["verified", "journaled"] {
        let mut stage = Stage::new();
        stage.site.put(&format!("{FOLDER}/there"), b"readable");
        let mount = stage.mount(&["--close", mode, "--cache-size", "4M"]);
        write_and_close(&mount.path("small"), b"published").unwrap();
        sync(&stage, &mount);
        stage.site.inject(Fault::on("part", Effect::Hold { until: 0 }).path("first"));
        let first = mount.path("first");
        let owed = thread::spawn(move || write_and_close(&first, &noise(1, 3 << 20)));
        wait_until("the first file is being sent", || stage.site.held() == 1);
        let path = mount.path("second");
        let writer = thread::spawn(move || write_and_close(&path, &noise(2, 3 << 20)));
        wait_until("the second writer waits", || mount.status()["cache"]["writers_waiting"] == 1);
        // Nobody else waits with it.
        assert_eq!(fs::read(mount.path("there")).unwrap(), b"readable");
        let small = OpenOptions::new().write(true).open(mount.path("small")).unwrap();
        small.sync_all().unwrap();
        close(small).unwrap();
        assert!(fs::metadata(mount.path("second")).unwrap().len() < 3 << 20);
        assert!(!writer.is_finished(), "{mode}: there was no room, and the writer did not wait");
        stage.site.clear_faults();
        owed.join().unwrap().unwrap();
        writer.join().unwrap().unwrap();
        sync(&stage, &mount);
        assert!(stage.stored("second").unwrap() == noise(2, 3 << 20));
        assert!(mount.log().contains("writers wait"));
        mount.umount();
    }
}

#[test]
fn a_site_that_takes_nothing_for_the_network_timeout_is_enospc_and_loses_nothing() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--close", "journaled", "--cache-size", "4M", "--network-timeout", "2s"]);
    stage.site.inject(Fault::on("part", Effect::Stall).times(0));
    write_and_close(&mount.path("owed"), &noise(1, 3 << 20)).unwrap();
    let (start, watch) = (Instant::now(), Stopwatch::start());
    let mut file = File::create(mount.path("late")).unwrap();
    let failed = file.write_all(&noise(2, 3 << 20)).unwrap_err();
    assert_eq!(failed.raw_os_error(), Some(libc::ENOSPC), "{failed}");
    assert!(start.elapsed() >= Duration::from_secs(2), "it did not wait");
    assert!(watch.elapsed() < PATIENCE, "it waited too long");
    assert!(mount.log().contains("raise --cache-size"), "the log says what to do");
    file.set_len(5).unwrap();
    close(file).unwrap();
    stage.site.clear_faults();
    sync(&stage, &mount);
    assert!(stage.stored("owed").unwrap() == noise(1, 3 << 20));
    assert_eq!(stage.stored("late").unwrap(), &noise(2, 3 << 20)[..5]);
    mount.umount();
}

#[test]
fn files_larger_than_the_cache_size_do_not_wait_for_themselves() {
    for mode in ["verified", "journaled"] {
        let mut stage = Stage::new();
        let mount = stage.mount(&["--close", mode, "--cache-size", "4M", "--network-timeout", "5s"]);
        write_and_close(&mount.path("alone"), &noise(1, 20 << 20)).unwrap();
        // One process writes to both in turn: if either waited for the other, both would wait for ever.
        let mut pair = ["a", "b"].map(|name| File::create(mount.path(name)).unwrap());
        for piece in noise(2, 8 << 20).chunks(1 << 20) {
            pair.iter_mut().for_each(|file| file.write_all(piece).unwrap());
        }
        pair.into_iter().for_each(|file| close(file).unwrap());
        sync(&stage, &mount);
        assert!(stage.stored("alone").unwrap() == noise(1, 20 << 20));
        for name in ["a", "b"] {
            assert!(stage.stored(name).unwrap() == noise(2, 8 << 20), "{name}");
        }
        assert!(mount.log().contains("beyond the cache size"), "the log names what exceeds the limit");
        mount.umount();
    }
}

#[test]
fn what_files_com_refused_keeps_its_room_and_one_file_beside_it_goes_on() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--close", "journaled", "--cache-size", "4M", "--network-timeout", "2s"]);
    stage.site.inject(Fault::on("part", Effect::FlipPart).path("refused").times(0));
    write_and_close(&mount.path("refused"), &noise(1, 1 << 20)).unwrap();
    wait_until("it is held", || mount.status()["held"].as_array().is_some_and(|held| held.len() == 1));
    write_and_close(&mount.path("large"), &noise(2, 9 << 20)).unwrap();
    sync_but_held(&stage, &mount);
    assert!(stage.stored("large").unwrap() == noise(2, 9 << 20));
    // Refused files alone fill the limit: then only a person makes room.
    write_and_close(&mount.path("refused too"), &noise(3, 3 << 20)).unwrap();
    wait_until("both are held", || mount.status()["held"].as_array().is_some_and(|held| held.len() == 2));
    let failed = fs::write(mount.path("more"), noise(4, 1 << 20)).unwrap_err();
    assert_eq!(failed.raw_os_error(), Some(libc::ENOSPC));
    for name in ["refused", "refused too", "more"] {
        fs::remove_file(mount.path(name)).unwrap();
    }
    write_and_close(&mount.path("more"), &noise(4, 3 << 20)).unwrap();
    sync(&stage, &mount);
    mount.umount();
}

fn sync_but_held(stage: &Stage, mount: &Mount) {
    let done = stage.filescomfs(["sync", "--timeout", "10m"]).arg(&mount.point).output().unwrap();
    assert_eq!(done.status.code(), Some(8), "{}", told(&done));
}

#[test]
fn a_mount_that_is_told_to_end_lets_waiting_writers_go() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--close", "journaled", "--cache-size", "4M", "--network-timeout", "2m"]);
    stage.site.inject(Fault::on("part", Effect::Stall).times(0));
    write_and_close(&mount.path("owed"), &noise(1, 3 << 20)).unwrap();
    let path = mount.path("late");
    let writer = thread::spawn(move || {
        let mut file = File::create(path).unwrap();
        file.write_all(&noise(2, 3 << 20))
    });
    wait_until("the writer waits", || mount.status()["cache"]["writers_waiting"] == 1);
    let watch = Stopwatch::start();
    crate::stage::kill(mount.pid, libc::SIGTERM);
    let failed = writer.join().unwrap().unwrap_err();
    assert_eq!(failed.raw_os_error(), Some(libc::ENOSPC));
    assert!(watch.elapsed() < PATIENCE, "it waited for the network timeout");
    mount.kill();
}

#[test]
fn a_full_disk_is_enospc_for_the_writer_alone_and_cached_bytes_go_first() {
    for mode in ["verified", "journaled"] {
        let mut stage = Stage::new();
        let disk = Disk::of(&stage, "state", "48m");
        let mount = stage.mount_with_state("state", &["--close", mode]);
        write_and_close(&mount.path("clean"), &noise(1, 12 << 20)).unwrap();
        sync(&stage, &mount);
        assert!(mount.status()["cache"]["used"].as_u64() >= Some(12 * MIB), "nothing is cached");
        stage.site.inject(Fault::on("part", Effect::Delay { ms: 1500 }).path("acknowledged"));
        let mut acknowledged = File::create(mount.path("acknowledged")).unwrap();
        acknowledged.write_all(&noise(2, 4 << 20)).unwrap();
        acknowledged.sync_all().unwrap();
        let mut large = File::create(mount.path("large")).unwrap();
        let written = fill(&mut large);
        assert!(written > 28 * MIB, "{mode}: only {written} bytes: the cached file was not let go");
        // The disk is full, and facts are still written.
        let mut small = File::create(mount.path("small")).unwrap();
        let _ = small.write(b"there may be room for a block or not");
        small.set_len(0).unwrap();
        small.sync_all().unwrap();
        acknowledged.sync_all().unwrap();
        close(acknowledged).unwrap();
        assert_eq!(fs::metadata(mount.path("large")).unwrap().len(), written);
        close(large).unwrap();
        close(small).unwrap();
        sync(&stage, &mount);
        assert!(stage.stored("acknowledged").unwrap() == noise(2, 4 << 20));
        assert_eq!(stage.stored("large").unwrap().len() as u64, written);
        assert!(fs::read(mount.path("clean")).unwrap() == noise(1, 12 << 20));
        mount.umount();
        drop(disk);
    }
}

#[test]
fn facts_find_room_on_a_disk_that_others_filled_and_it_is_kept_back_again_later() {
    let mut stage = Stage::new();
    let disk = Disk::of(&stage, "state", "32m");
    let mount = stage.mount_with_state("state", &["--close", "journaled"]);
    stage.site.inject(Fault::on("begin_upload", Effect::Stall).times(0));
    let open: Vec<File> = (0..400)
        .map(|n| {
            let mut file = File::create(mount.path(&format!("{n}"))).unwrap();
            write!(file, "bytes of {n}").unwrap();
            file
        })
        .collect();
    let mut filler = File::create(disk.0.join("of somebody else")).unwrap();
    fill(&mut filler);
    let reserve = [mount.state.join("state/journal.reserve"), mount.state.join("journal.reserve")];
    let is_kept = || reserve.iter().any(|path| path.exists());
    assert!(is_kept());
    open.into_iter().for_each(|file| close(file).unwrap());
    // The journal grows until the room that is kept back is needed, and beyond.
    let mut made = 0;
    let mut make = || {
        made += 1;
        fs::create_dir(mount.path(&format!("{made}.tmp")))
    };
    while is_kept() {
        make().unwrap();
    }
    let refused = OpenOptions::new().append(true).open(mount.path("7")).unwrap().write(b"more than a block");
    // In the block that it has, or not at all.
    assert!(refused.is_ok() || refused.is_err_and(|error| error.raw_os_error() == Some(libc::ENOSPC)));
    let new = fs::write(mount.path("new"), b"x").unwrap_err();
    assert_eq!(new.raw_os_error(), Some(libc::ENOSPC), "what is left belongs to the journal");
    // Nobody can keep others from taking that, too. Then nothing is acknowledged, and nothing is lost.
    fill(&mut filler);
    let failed = loop {
        if let Err(error) = make() {
            break error;
        }
    };
    assert_eq!(failed.raw_os_error(), Some(libc::ENOSPC), "{failed}");
    drop(filler);
    fs::remove_file(disk.0.join("of somebody else")).unwrap();
    wait_until("there is room for writers", || fs::write(mount.path("new"), b"x").is_ok());
    assert!(is_kept(), "nothing is kept back again");
    mount.kill();
    stage.site.clear_faults();
    let mount = stage.mount_with_state("state", &["--close", "journaled"]);
    sync(&stage, &mount);
    for n in (0..400).filter(|n| *n != 7) {
        assert_eq!(stage.stored(&format!("{n}")).unwrap(), format!("bytes of {n}").into_bytes());
    }
    mount.umount();
}

/// A filesystem without the kernel, which would hold an unlink back while a write of the file waits.
pub fn without_kernel(stage: &Stage, cache_size: u64) -> Arc<Filesystem> {
    let client = Client::new(ClientOptions {
        base: stage.site.base_url().parse().unwrap(),
        credentials: Credentials::ApiKey(Secret::from(KEY.to_owned())),
        network_timeout: Duration::from_secs(120),
        max_uploads: 4,
        max_downloads: 4,
        bandwidth_up: Bandwidth::default(),
        bandwidth_down: Bandwidth::default(),
        allow_http: true,
    });
    let dir = stage.path("rooms");
    fs::create_dir_all(&dir).unwrap();
    let (store, _) = Store::open(&dir, &dir).unwrap();
    let (journal, _) = Journal::open(&dir.join("journal.sqlite")).unwrap();
    let rules = Rules {
        folder: RemotePath::parse(FOLDER).unwrap(),
        mountpoint: PathBuf::from("/nowhere"),
        defaults: Defaults::with_umask(0o22, 0, 0),
        close: Close::Journaled,
        verify: Verify::Auto,
        metadata: Metadata::Full,
        names: Names::Encode,
        hard_links: HardLinks::Refuse,
        symlinks: Symlinks::Keep,
        dir_ttl: Duration::from_secs(60),
        temporary: TemporaryNames::with([]),
        temporary_hold: Duration::from_secs(60),
        max_uploads: 4,
        cache_size,
        network_timeout: Duration::from_secs(120),
    };
    let receipts = filescomfs::local::receipts::Receipts::open(&dir.join("receipts.sqlite")).unwrap();
    let (fs, stale) = Filesystem::new(rules, client.unwrap(), store, journal, receipts);
    // Nobody listens, and nobody has to.
    drop(stale);
    fs
}

#[test]
fn a_wait_for_room_ends_when_the_file_is_unlinked() {
    let stage = Stage::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    stage.site.inject(Fault::on("part", Effect::Stall).times(0));
    runtime.block_on(async {
        let fs = without_kernel(&stage, MIB);
        tokio::spawn(fs.clone().run_errands());
        let maker = Maker { mode: 0o644, uid: 0, gid: 0, pid: std::process::id() };
        let (owed, handle) = fs.create(Ino::ROOT, "owed".as_ref(), maker, false).await.unwrap();
        fs.write(owed.ino, handle, 0, &noise(1, 1 << 20)).await.unwrap();
        fs.close(owed.ino, handle, maker.pid).await.unwrap();
        let (late, late_handle) = fs.create(Ino::ROOT, "late".as_ref(), maker, false).await.unwrap();
        let writing = {
            let fs = fs.clone();
            tokio::spawn(async move { fs.write(late.ino, late_handle, 0, &noise(2, 1000)).await })
        };
        let waiting = || fs.status()["cache"]["writers_waiting"] == 1;
        let watch = Stopwatch::start();
        while !waiting() {
            assert!(watch.elapsed() < PATIENCE && !writing.is_finished(), "it did not wait");
            tokio::task::yield_now().await;
        }
        fs.unlink(Ino::ROOT, "late".as_ref()).await.unwrap();
        let watch = Stopwatch::start();
        while !writing.is_finished() {
            assert!(watch.elapsed() < PATIENCE, "it still waits");
            tokio::task::yield_now().await;
        }
        assert_eq!(writing.await.unwrap().unwrap(), 1000, "whoever has it open goes on with it");
    });
    runtime.shutdown_background();
}
