//! The mount against a folder that is obviously right: random steps are made in both, and after each
//! one that answers for Files.com, what Files.com holds is compared with the folder.
//!
//! `FILESCOMFS_SEED` repeats a run, `FILESCOMFS_STEPS` makes it longer. Each step is printed before it
//! is made. Where the two may answer differently, [`Pair::is_deliberate`] says so and why.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use filescomfs::emulator::{Effect, Fault};
use filescomfs::model::temporary::TemporaryNames;

use crate::stage::{FOLDER, Mount, Stage, noise};

const FILES: [&str; 7] = ["a", "b", "c", "data.bin", "w.tmp", "pack-tmp-1", "z.partial"];
const FOLDERS: [&str; 5] = ["d", "e", "d/s", "lock.tmp", "e/x.tmp"];
/// Folder that another client uses, too.
const THEIRS: &str = "theirs";

/// Dice that fall the same for the same seed.
pub struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let given = std::env::var("FILESCOMFS_SEED").ok().and_then(|text| text.parse().ok());
        let seed: u64 = given.unwrap_or_else(|| UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64);
        eprintln!("FILESCOMFS_SEED={seed}");
        Self::of(seed)
    }

    /// The dice of a seed.
    pub fn of(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    /// One of `from`.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// True once in `count` times.
    pub fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    /// A path of a file, in any folder or none.
    fn file(&mut self) -> String {
        let name = self.pick(&FILES);
        if self.one_in(3) { name.to_owned() } else { format!("{}/{name}", self.pick(&FOLDERS)) }
    }

    fn bytes(&mut self) -> Vec<u8> {
        let len = if self.one_in(6) { self.below(300_000) } else { self.below(5_000) };
        noise(self.0, len as usize)
    }
}

fn steps(usual: u64) -> u64 {
    std::env::var("FILESCOMFS_STEPS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// One file, open in the mount and in the folder.
struct Open {
    there: File,
    here: File,
    writable: bool,
}

/// The mount, the folder, and what is open in both.
struct Pair<'a> {
    stage: &'a Stage,
    mount: PathBuf,
    folder: PathBuf,
    open: Vec<Open>,
    temporary: TemporaryNames,
    /// A close answers for this machine only, so the site is not looked at after each step.
    journaled: bool,
}

type Outcome<T> = Result<T, i32>;

fn told<T>(outcome: io::Result<T>) -> Outcome<T> {
    outcome.map_err(|error| error.raw_os_error().unwrap_or(-1))
}

fn close(file: File) -> io::Result<()> {
    // SAFETY: the descriptor was just given up by `file`, and is closed exactly once.
    match unsafe { libc::close(file.into_raw_fd()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn truncate(path: &Path, size: u64) -> io::Result<()> {
    let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes())?;
    // SAFETY: `path` is a C string that lives through the call.
    match unsafe { libc::truncate(path.as_ptr(), size as libc::off_t) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Files below `root` with their paths, and folders with a slash at the end.
fn walk(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let entry = entry.unwrap();
            let name = entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
                found.insert(name + "/");
            } else {
                found.insert(name);
            }
        }
    }
    found
}

impl<'a> Pair<'a> {
    fn new(stage: &'a Stage, mount: &Mount) -> Self {
        let folder = stage.path("reference");
        fs::create_dir_all(&folder).unwrap();
        let temporary = TemporaryNames::default();
        Self { stage, mount: mount.point.clone(), folder, open: Vec::new(), temporary, journaled: false }
    }

    /// Makes a step in both, and compares the answers. `None` when it failed in both, or only in the
    /// mount and for a reason of its own.
    fn both<T, U>(
        &self,
        mut step: impl FnMut(&Path) -> io::Result<T>,
        same: impl Fn(&T, &T) -> Option<U>,
    ) -> Option<U> {
        let there = told(step(&self.mount));
        if let Err(errno) = there
            && Self::is_deliberate(errno)
        {
            return None;
        }
        let here = told(step(&self.folder));
        match (&there, &here) {
            (Ok(there), Ok(here)) => Some(same(there, here).expect("both answer the same")),
            (Err(there), Err(here)) => {
                assert_eq!(there, here, "the errors differ");
                None
            }
            _ => panic!("the mount answers {:?} and the folder {:?}", there.err(), here.err()),
        }
    }

    /// Answers that a local folder does not give: EXDEV, where something published would move into a
    /// folder that Files.com does not have yet, since it goes by a temporary name.
    fn is_deliberate(errno: i32) -> bool {
        errno == libc::EXDEV
    }

    /// Is anything on this path held back until it is renamed?
    fn is_temporary(&self, path: &str) -> bool {
        path.split('/').any(|name| self.temporary.matches(name.as_ref(), false))
    }

    fn is_being_written(&self, path: &Path) -> bool {
        let Ok(wanted) = fs::metadata(path) else { return false };
        self.open
            .iter()
            .any(|open| open.writable && open.here.metadata().is_ok_and(|found| found.ino() == wanted.ino()))
    }

    /// Files.com holds every file that is closed and has its final name, byte for byte, and no file
    /// that is not here.
    fn compare_with_the_site(&self) {
        if self.journaled {
            return;
        }
        let here = walk(&self.folder);
        for path in here.iter().filter(|path| !path.ends_with('/') && !self.is_temporary(path)) {
            let local = self.folder.join(path);
            if !self.is_being_written(&local) {
                let stored = self.stage.stored(path);
                assert!(stored.is_some(), "{path} is not on the site");
                assert!(stored.as_ref() == Some(&fs::read(local).unwrap()), "{path} has other bytes there");
            }
        }
        for path in self.stage.stored_names() {
            assert!(path.starts_with(THEIRS) || here.contains(&path), "{path} is on the site and not here");
        }
    }

    /// Every file, as the mount shows it.
    fn compare_files(&self) {
        let here = walk(&self.folder);
        let there = walk(&self.mount);
        let files = |names: &BTreeSet<String>| -> Vec<String> {
            names.iter().filter(|name| !name.ends_with('/')).cloned().collect()
        };
        assert_eq!(files(&there), files(&here), "the names differ");
        for path in files(&here) {
            let (there, here) = (fs::read(self.mount.join(&path)), fs::read(self.folder.join(&path)));
            assert!(there.unwrap() == here.unwrap(), "the bytes of {path} differ");
        }
    }

    fn close_all(&mut self) {
        while let Some(open) = self.open.pop() {
            close(open.here).unwrap();
            close(open.there).unwrap();
        }
    }

    /// Every name, every byte, and the modes and times, as the mount shows them.
    fn compare_trees(&self, mount: &Path) {
        let mut there = walk(mount);
        there.retain(|path| !path.starts_with(THEIRS));
        let here = walk(&self.folder);
        assert_eq!(there, here, "the names differ");
        for path in here {
            let (there, here) = (mount.join(&path), self.folder.join(&path));
            let (left, right) = (fs::metadata(&there).unwrap(), fs::metadata(&here).unwrap());
            assert_eq!(left.mode(), right.mode(), "the modes of {path} differ");
            assert_eq!(left.modified().unwrap(), right.modified().unwrap(), "the times of {path} differ");
            if !path.ends_with('/') {
                assert!(fs::read(there).unwrap() == fs::read(here).unwrap(), "the bytes of {path} differ");
            }
        }
    }

    /// Gives every file and folder a time of its own.
    fn date_everything(&self) {
        for (path, n) in walk(&self.folder).into_iter().rev().zip(1_000_000_000..) {
            for root in [&self.mount, &self.folder] {
                let file = File::open(root.join(&path)).unwrap();
                file.set_modified(UNIX_EPOCH + Duration::from_secs(n)).unwrap();
            }
        }
    }

    fn step(&mut self, dice: &mut Dice) {
        let ok = |_: &(), _: &()| Some(());
        match dice.below(if self.open.len() < 6 { 24 } else { 17 }) {
            0..=2 => {
                let (path, bytes) = (dice.file(), dice.bytes());
                eprintln!("write {path} {}", bytes.len());
                let whole = |root: &Path| {
                    let file = File::create(root.join(&path))?;
                    file.write_all_at(&bytes, 0)?;
                    close(file)
                };
                self.both(whole, ok);
            }
            3 => {
                let path = dice.file();
                eprintln!("read {path}");
                self.both(|root| fs::read(root.join(&path)), |there, here| (there == here).then_some(()));
            }
            4 => {
                let path = if dice.one_in(8) { dice.pick(&FOLDERS).to_owned() } else { dice.file() };
                eprintln!("unlink {path}");
                self.both(|root| fs::remove_file(root.join(&path)), ok);
            }
            5 | 6 => {
                let (from, to) = (dice.file(), dice.file());
                eprintln!("rename {from} {to}");
                self.both(|root| fs::rename(root.join(&from), root.join(&to)), ok);
            }
            7 => {
                let (from, to) = (dice.pick(&FOLDERS), dice.pick(&FOLDERS));
                eprintln!("rename {from}/ {to}/");
                self.both(|root| fs::rename(root.join(from), root.join(to)), ok);
            }
            8 | 9 => {
                let path = dice.pick(&FOLDERS);
                eprintln!("mkdir {path}");
                self.both(|root| fs::create_dir(root.join(path)), ok);
            }
            10 => {
                let path = dice.pick(&FOLDERS);
                eprintln!("rmdir {path}");
                self.both(|root| fs::remove_dir(root.join(path)), ok);
            }
            11 => {
                let (path, size) = (dice.file(), dice.below(8_000) * dice.below(3));
                eprintln!("truncate {path} {size}");
                self.both(|root| truncate(&root.join(&path), size), ok);
            }
            12 => {
                let path = if dice.one_in(3) { dice.pick(&FOLDERS).to_owned() } else { dice.file() };
                let mode = dice.pick(&[0o600, 0o644, 0o755, 0o700, 0o640]);
                eprintln!("chmod {path} {mode:o}");
                self.both(|root| fs::set_permissions(root.join(&path), fs::Permissions::from_mode(mode)), ok);
            }
            13 => {
                let path = dice.file();
                let time = UNIX_EPOCH + Duration::new(dice.below(2_000_000_000), 5);
                eprintln!("date {path}");
                self.both(|root| File::open(root.join(&path))?.set_modified(time), ok);
            }
            14 => {
                let folder = dice.pick(&FOLDERS);
                eprintln!("list {folder}");
                let list = |root: &Path| -> io::Result<BTreeSet<_>> {
                    fs::read_dir(root.join(folder))?.map(|entry| Ok(entry?.file_name())).collect()
                };
                self.both(list, |there, here| {
                    assert_eq!(there, here);
                    Some(())
                });
            }
            15 | 16 if !self.open.is_empty() => self.close_one(dice),
            17 | 18 => self.open_one(dice),
            _ if !self.open.is_empty() => self.use_one(dice),
            _ => self.open_one(dice),
        }
        self.compare_with_the_site();
    }

    fn open_one(&mut self, dice: &mut Dice) {
        let path = dice.file();
        let writable = !dice.one_in(4);
        let (create, exclusive, truncate) = (dice.one_in(2), dice.one_in(4), dice.one_in(4));
        let append = dice.one_in(4);
        let mode = dice.pick(&[0o600, 0o644]);
        eprintln!("open {path} {writable} {create} {exclusive} {truncate} {append} {mode:o}");
        let mut options = OpenOptions::new();
        options.read(true).write(writable).mode(mode);
        if writable {
            options.create(create).create_new(create && exclusive).append(append);
            options.truncate(truncate && !append);
        }
        let opened = self.both(
            |root| options.open(root.join(&path)),
            |there, here| Some((there.try_clone(), here.try_clone())),
        );
        if let Some((there, here)) = opened {
            // The clones outlive the originals, whose close is that of one of two descriptors.
            self.open.push(Open { there: there.unwrap(), here: here.unwrap(), writable });
        }
    }

    fn close_one(&mut self, dice: &mut Dice) {
        let open = self.open.swap_remove(dice.below(self.open.len() as u64) as usize);
        let path = fs::read_link(format!("/proc/self/fd/{}", open.here.as_raw_fd())).unwrap();
        eprintln!("close {}", path.display());
        close(open.here).unwrap();
        close(open.there).unwrap_or_else(|error| panic!("close: {error}"));
    }

    fn use_one(&mut self, dice: &mut Dice) {
        let at = dice.below(self.open.len() as u64) as usize;
        let Open { there, here, .. } = &self.open[at];
        let name = fs::read_link(format!("/proc/self/fd/{}", here.as_raw_fd())).unwrap();
        let offset = if dice.one_in(3) { 0 } else { dice.below(10_000) };
        let what = dice.below(8);
        eprintln!("use {} {what} at {offset}", name.display());
        let bytes = dice.bytes();
        let size = dice.below(12_000);
        let step = |file: &File| -> io::Result<Vec<u8>> {
            match what {
                0..=3 => file.write_all_at(&bytes, offset)?,
                4 => file.set_len(size)?,
                5 => file.sync_all()?,
                _ => {
                    let mut read = vec![0; 400_000];
                    let mut filled = 0;
                    loop {
                        match file.read_at(&mut read[filled..], offset + filled as u64)? {
                            0 => break,
                            count => filled += count,
                        }
                    }
                    read.truncate(filled);
                    return Ok(read);
                }
            }
            Ok(Vec::new())
        };
        let (there, here) = (told(step(there)), told(step(here)));
        assert!(there == here, "{:?} {:?}", there.map(|read| read.len()), here.map(|read| read.len()));
    }
}

/// Something that goes away by itself.
fn misfortune(stage: &Stage, dice: &mut Dice) {
    // Three that meet one upload are more than goes away by itself.
    if stage.site.waiting_faults().len() > 1 {
        return;
    }
    let kind =
        dice.pick(&["begin_upload", "part", "complete", "move", "delete", "mkdir", "list", "stat", "patch"]);
    let fault = match dice.below(6) {
        0 => Fault::on(kind, Effect::Reset),
        1 => Fault::on(kind, Effect::Reset).after_effect(),
        2 => Fault::on(kind, Effect::Proxy { status: 503 }),
        3 => Fault::on("part", Effect::FlipPart),
        4 => Fault::on("part", Effect::ExpireUrl),
        _ => {
            let slow = Effect::Storage { status: 503, code: "SlowDown".into(), retry_after: None };
            Fault::on(dice.pick(&["part", "fetch"]), slow)
        }
    };
    eprintln!("fault {:?} {:?} {}", fault.kind, fault.what, fault.after);
    stage.site.inject(fault);
}

/// Ends a run: everything is closed, unmounted, and looked at by a mount that knows nothing.
fn finish(mut pair: Pair<'_>, mount: Mount) {
    eprintln!("the end");
    pair.close_all();
    pair.compare_with_the_site();
    pair.date_everything();
    pair.compare_trees(&mount.point);
    mount.umount();
    for path in walk(&pair.folder).iter().filter(|path| !path.ends_with('/')) {
        let stored = pair.stage.stored(path);
        assert!(stored == Some(fs::read(pair.folder.join(path)).unwrap()), "{path} after umount");
    }
    let fresh = pair.stage.mount_beside("fresh");
    pair.compare_trees(&fresh.point);
    fresh.umount();
}

#[test]
fn random_steps_do_the_same_as_in_a_local_folder() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    let mut dice = Dice::new();
    let mut pair = Pair::new(&stage, &mount);
    for _ in 0..steps(1500) {
        pair.step(&mut dice);
    }
    finish(pair, mount);
}

#[test]
fn random_misfortunes_stay_invisible() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    let mut dice = Dice::new();
    let mut pair = Pair::new(&stage, &mount);
    for _ in 0..steps(600) {
        if dice.one_in(6) {
            misfortune(&stage, &mut dice);
        }
        pair.step(&mut dice);
    }
    stage.site.clear_faults();
    finish(pair, mount);
}

#[test]
fn another_client_in_a_folder_of_its_own_disturbs_nobody_and_is_seen() {
    let mut stage = Stage::new();
    stage.site.mkdir(&format!("{FOLDER}/{THEIRS}"));
    let mount = stage.mount(&["--dir-ttl", "0s"]);
    let mut dice = Dice::new();
    let mut pair = Pair::new(&stage, &mount);
    for _ in 0..steps(600) {
        if dice.one_in(3) {
            let path = format!("{THEIRS}/{}", dice.pick(&FILES));
            let bytes = dice.bytes();
            if dice.one_in(3) {
                eprintln!("they delete {path}");
                stage.site.delete(&format!("{FOLDER}/{path}"));
            } else {
                eprintln!("they write {path}");
                stage.site.put(&format!("{FOLDER}/{path}"), &bytes);
            }
            let seen = fs::read(mount.path(&path)).ok();
            assert!(seen == stage.stored(&path), "{path} is not seen as it is");
        }
        pair.step(&mut dice);
    }
    finish(pair, mount);
}

/// Steps, everything closed, SIGKILL, the next mount; over and over.
fn steps_between_crashes(options: &[&str]) {
    // Slow enough that changes of names wait at every crash.
    let mut dice = Dice::new();
    let latency = dice.pick(&[0, 4, 40]);
    let stage = Stage::with(|site| site.latency_ms = latency);
    let mut mount = stage.mount_at("mnt0", "state", options);
    let mut pair = Pair::new(&stage, &mount);
    pair.journaled = true;
    for round in 1..=6 {
        for _ in 0..steps(600) / 6 {
            pair.step(&mut dice);
        }
        pair.close_all();
        eprintln!("crash");
        mount.kill();
        mount = stage.mount_at(&format!("mnt{round}"), "state", options);
        pair.mount.clone_from(&mount.point);
        pair.compare_files();
        assert_eq!(walk(&pair.mount), walk(&pair.folder), "after crash {round}");
    }
    pair.journaled = false;
    finish(pair, mount);
}

#[test]
fn nothing_that_was_closed_is_lost_by_a_crash() {
    steps_between_crashes(&[]);
}

#[test]
fn nothing_that_was_closed_is_lost_by_a_crash_in_journaled_mode() {
    steps_between_crashes(&["--close", "journaled"]);
}

#[test]
fn random_steps_in_journaled_mode_arrive_in_the_end() {
    let mut dice = Dice::new();
    let latency = dice.pick(&[0, 4, 40]);
    let mut stage = Stage::with(|site| site.latency_ms = latency);
    let mount = stage.mount(&["--close", "journaled", "--dir-ttl", "100ms"]);
    let mut pair = Pair::new(&stage, &mount);
    pair.journaled = true;
    for _ in 0..steps(1000) {
        if dice.one_in(10) {
            misfortune(&stage, &mut dice);
        }
        pair.step(&mut dice);
    }
    stage.site.clear_faults();
    finish(pair, mount);
}

#[test]
fn many_at_once_in_the_same_folders_end_in_one_truth() {
    // Slow enough that there is time between each question and its answer.
    let mut stage = Stage::with(|site| (site.latency_ms, site.checksum_delay_ms) = (3, 60));
    let mount = stage.mount(&["--dir-ttl", "1s", "--verify", "strict"]);
    let seed = Dice::new().0;
    std::thread::scope(|scope| {
        for n in 0..6 {
            let root = mount.point.clone();
            scope.spawn(move || {
                let mut dice = Dice(seed ^ (n * 0x1234_5678_9abc) | 1);
                for _ in 0..steps(150) {
                    let (path, other) = (root.join(dice.file()), root.join(dice.file()));
                    let (folder, elsewhere) =
                        (root.join(dice.pick(&FOLDERS)), root.join(dice.pick(&FOLDERS)));
                    let outcome = match dice.below(10) {
                        0..=2 => File::create(&path).and_then(|file| {
                            file.write_all_at(&dice.bytes(), 0)?;
                            close(file)
                        }),
                        3 => fs::read(&path).map(drop),
                        4 => fs::remove_file(&path),
                        5 => fs::rename(&path, &other),
                        6 => fs::rename(&folder, &elsewhere),
                        7 => fs::create_dir(&folder),
                        8 => fs::remove_dir(&folder),
                        _ => truncate(&path, dice.below(9_000)),
                    };
                    // They are in each other's way; but nobody is told that the mount is broken.
                    let errno = outcome.err().and_then(|error| error.raw_os_error());
                    assert!(
                        !matches!(errno, Some(libc::EIO | libc::ETIMEDOUT | libc::EAGAIN)),
                        "{errno:?} for {} {} {}",
                        path.display(),
                        folder.display(),
                        elsewhere.display()
                    );
                }
            });
        }
    });
    let files: Vec<(String, Vec<u8>)> = walk(&mount.point)
        .into_iter()
        .filter(|path| !path.ends_with('/'))
        .map(|path| (path.clone(), fs::read(mount.path(&path)).unwrap()))
        .collect();
    mount.umount();
    for (path, bytes) in &files {
        assert!(stage.stored(path).as_ref() == Some(bytes), "{path} differs");
    }
    let names: BTreeSet<String> = files.into_iter().map(|(path, _)| path).collect();
    assert_eq!(stage.stored_names().into_iter().collect::<BTreeSet<_>>(), names);
}
