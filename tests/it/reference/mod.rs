//! The mount against a folder that is obviously right: random steps are made in both, and after each
//! one that answers for Files.com, what Files.com holds is compared with the folder.
//!
//! `FILESCOMFS_SEED` repeats a run, `FILESCOMFS_STEPS` makes it longer; `histories.rs` makes many short ones. Each step is
//! printed before it is made. Where the two may answer differently, [`Pair::is_deliberate`] says so and why.

mod histories;
mod pair;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::UNIX_EPOCH;

use filescomfs::emulator::{Effect, Fault};

use self::pair::{Pair, close, truncate, walk};
use crate::stage::{FOLDER, Mount, Stage, noise, told};

const FILES: [&str; 7] = ["a", "b", "c", "data.bin", "w.tmp", "pack-tmp-1", "z.partial"];
const FOLDERS: [&str; 5] = ["d", "e", "d/s", "lock.tmp", "e/x.tmp"];
/// Folder that another client uses, too.
const THEIRS: &str = "theirs";

/// Dice that fall the same for the same seed.
pub struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let seed = seed();
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

/// The one that was given: a number, or "random" for another each time. Without it, always the same histories are made:
/// whoever changes something sees what it changed; what no history has shown yet is looked for on purpose.
fn seed() -> u64 {
    match std::env::var("FILESCOMFS_SEED").as_deref() {
        Ok("random") => UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64,
        Ok(number) => number.parse().expect("FILESCOMFS_SEED is a number, or random"),
        Err(_) => 1,
    }
}

fn steps(usual: u64) -> u64 {
    std::env::var("FILESCOMFS_STEPS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
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
    if std::mem::take(&mut pair.journaled) {
        let synced = pair.stage.filescomfs(["sync", "--timeout", "2m"]).arg(&mount.point).output().unwrap();
        assert!(synced.status.success(), "{}", told(&synced));
    }
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
    pair.journaled = options.contains(&"journaled");
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
                        !matches!(errno, Some(libc::EIO | libc::ETIMEDOUT)),
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
