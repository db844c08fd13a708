//! Histories: short and random, of everything that this suite knows to be hard at the same time. Several handles and names,
//! some of which Files.com takes for one; requests that are late before or after their effect, or whose answer is lost;
//! somebody who looks on; links; a network that goes away; and the daemon killed at any moment, with and without a network
//! for the next one.
//!
//! `FILESCOMFS_SEED` repeats a run as far as dice decide (not which thread is faster), `FILESCOMFS_HISTORIES` says how many
//! to make, and `FILESCOMFS_HISTORIES_SECONDS` ends them after that long. One that fails prints its own seed.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use filescomfs::emulator::{Effect, Fault};

use super::pair::{Pair, walk};
use super::{Dice, seed};
use crate::stage::{Mount, Stage, told, wait_until};

const FILES: [&str; 8] = ["a", "b", "A", "é", "E", "w.tmp", "x.partial", ".n.Ab3dE9"];
const FOLDERS: [&str; 6] = ["d", "e", "d/s", "D", "lock.tmp", "e/x.tmp"];
const KINDS: [&str; 10] =
    ["begin_upload", "part", "complete", "move", "delete", "mkdir", "list", "stat", "patch", "copy"];

/// One history under way.
struct History<'a> {
    stage: &'a Stage,
    dice: Dice,
    pair: Pair<'a>,
    options: Vec<String>,
    journaled: bool,
    /// Names that were never used before.
    fresh: u32,
}

fn file(dice: &mut Dice) -> String {
    let name = dice.pick(&FILES);
    if dice.one_in(3) { name.to_owned() } else { format!("{}/{name}", dice.pick(&FOLDERS)) }
}

/// A copy with the attributes of its source, which is what link(2) means here.
fn link_in_folder(root: &Path, from: &str, to: &str) -> io::Result<()> {
    let (from, to) = (root.join(from), root.join(to));
    fs::hard_link(&from, &to)?;
    let aside = root.with_extension("aside");
    fs::copy(&from, &aside)?;
    File::options()
        .write(true)
        .open(&aside)
        .or_else(|_| File::open(&aside))?
        .set_modified(fs::metadata(&from)?.modified()?)?;
    fs::rename(aside, to)
}

impl History<'_> {
    fn disturb(&mut self) {
        if self.stage.site.waiting_faults().len() > 2 {
            return;
        }
        let ms = self.dice.pick(&[3, 30, 200, 900]);
        let kind = self.dice.pick(&KINDS);
        let fault = match self.dice.below(if self.journaled { 8 } else { 6 }) {
            0 | 1 => Fault::on(kind, Effect::Delay { ms }),
            2..=5 => Fault::on(kind, Effect::Delay { ms }).after_effect(),
            6 => Fault::on(kind, Effect::Reset).after_effect(),
            _ => Fault::on(kind, Effect::Proxy { status: 503 }),
        };
        eprintln!("fault {:?} {:?} {}", fault.kind, fault.what, fault.after);
        self.stage.site.inject(fault);
    }

    fn step(&mut self) {
        let Self { pair, dice, .. } = self;
        let ok = |_: &(), _: &()| Some(());
        match dice.below(if pair.open.len() < 5 { 24 } else { 18 }) {
            0..=2 => {
                let (path, bytes) = (file(dice), dice.bytes());
                eprintln!("write {path} {}", bytes.len());
                pair.both(|root| fs::write(root.join(&path), &bytes), ok);
            }
            3 | 4 => {
                let path = file(dice);
                eprintln!("read {path}");
                pair.both(|root| fs::read(root.join(&path)), |there, here| (there == here).then_some(()));
            }
            5 => {
                let path = file(dice);
                eprintln!("unlink {path}");
                pair.both(|root| fs::remove_file(root.join(&path)), ok);
            }
            6 | 7 => {
                let (from, to) = (file(dice), file(dice));
                eprintln!("rename {from} {to}");
                pair.both(|root| fs::rename(root.join(&from), root.join(&to)), ok);
                if dice.one_in(3) {
                    eprintln!("rename {to} {from}");
                    pair.both(|root| fs::rename(root.join(&to), root.join(&from)), ok);
                }
            }
            8 | 9 => {
                let (from, to) = (dice.pick(&FOLDERS), dice.pick(&FOLDERS));
                eprintln!("rename {from}/ {to}/");
                pair.both(|root| fs::rename(root.join(from), root.join(to)), ok);
            }
            10 | 11 => {
                let path = dice.pick(&FOLDERS);
                eprintln!("mkdir {path}");
                pair.both(|root| fs::create_dir(root.join(path)), ok);
            }
            12 => {
                let path = dice.pick(&FOLDERS);
                eprintln!("rmdir {path}");
                pair.both(|root| fs::remove_dir(root.join(path)), ok);
            }
            13 => {
                let path = if dice.one_in(3) { dice.pick(&FOLDERS).to_owned() } else { file(dice) };
                let mode = dice.pick(&[0o600, 0o644, 0o755, 0o700]);
                eprintln!("chmod {path} {mode:o}");
                pair.both(|root| fs::set_permissions(root.join(&path), fs::Permissions::from_mode(mode)), ok);
            }
            14 => {
                let (from, to) = (file(dice), file(dice));
                eprintln!("link {from} {to}");
                let mount = pair.mount.clone();
                let link = |root: &Path| match root == mount {
                    true => fs::hard_link(root.join(&from), root.join(&to)),
                    false => link_in_folder(root, &from, &to),
                };
                pair.both(link, ok);
            }
            15 | 16 if !pair.open.is_empty() => pair.close_one(dice),
            17 => {
                eprintln!("look at everything");
                if !pair.cut_off {
                    assert_eq!(walk(&pair.mount), walk(&pair.folder));
                }
            }
            18 | 19 => pair.open_one(dice),
            _ if !pair.open.is_empty() => pair.use_one(dice),
            _ => pair.open_one(dice),
        }
    }

    /// Steps, while somebody else looks at the same names.
    fn steps(&mut self, count: u64) {
        let (mount, is_over) = (self.pair.mount.clone(), AtomicBool::new(false));
        let seed = self.dice.below(u64::MAX);
        std::thread::scope(|scope| {
            // Whatever becomes of the steps, the onlooker ends.
            let _end = End(&is_over);
            let (mount, is_over) = (&mount, &is_over);
            scope.spawn(move || {
                let mut dice = Dice::of(seed);
                while !is_over.load(Ordering::Relaxed) {
                    let path = mount.join(file(&mut dice));
                    let _ = fs::symlink_metadata(&path);
                    std::thread::sleep(Duration::from_millis(dice.below(20)));
                }
            });
            for _ in 0..count {
                if self.dice.one_in(4) {
                    self.disturb();
                }
                if self.journaled && self.dice.one_in(25) {
                    self.cut_off(!self.pair.cut_off);
                }
                self.step();
            }
        });
    }

    fn cut_off(&mut self, is_cut_off: bool) {
        self.pair.cut_off = is_cut_off;
        self.stage.site.clear_faults();
        if is_cut_off {
            eprintln!("cut off");
            self.stage.site.inject(Fault { kind: None, times: 0, ..Fault::on("", Effect::Reset) });
        } else {
            eprintln!("back again");
        }
    }

    /// What can be done with what a mount shows that knows nothing but its journal.
    fn steps_unseen(&mut self) {
        for _ in 0..self.dice.below(8) {
            let Self { pair, dice, fresh, .. } = self;
            let ok = |_: &(), _: &()| Some(());
            let shown: Vec<String> = walk(&pair.mount).into_iter().collect();
            let here = walk(&pair.folder);
            assert!(
                shown.iter().all(|path| here.contains(path)),
                "{shown:?} are shown, and {here:?} are here"
            );
            if shown.is_empty() {
                return;
            }
            let path = &shown[dice.below(shown.len() as u64) as usize];
            *fresh += 1;
            match (dice.below(4), path.strip_suffix('/')) {
                (0, None) => {
                    eprintln!("unseen: unlink {path}");
                    pair.both(|root| fs::remove_file(root.join(path)), ok);
                }
                // What is in it on the site and not shown keeps it there.
                (0 | 1, Some(path)) if fs::read_dir(pair.folder.join(path)).unwrap().next().is_none() => {
                    eprintln!("unseen: rmdir {path}");
                    pair.both(|root| fs::remove_dir(root.join(path)), ok);
                }
                (1, None) => {
                    let to = format!("fresh{fresh}");
                    eprintln!("unseen: rename {path} {to}");
                    pair.both(|root| fs::rename(root.join(path), root.join(&to)), ok);
                }
                (2, None) => {
                    let bytes = dice.bytes();
                    eprintln!("unseen: write {path} {}", bytes.len());
                    pair.both(|root| fs::write(root.join(path), &bytes), ok);
                }
                _ => {
                    eprintln!("unseen: chmod {path}");
                    let mode = fs::Permissions::from_mode(if path.ends_with('/') { 0o700 } else { 0o600 });
                    pair.both(|root| fs::set_permissions(root.join(path), mode.clone()), ok);
                }
            }
        }
    }

    fn mount(&self, name: &str, options: &[&str]) -> Mount {
        let options: Vec<&str> =
            self.options.iter().map(String::as_str).chain(options.iter().copied()).collect();
        self.stage.mount_at(name, "state", &options)
    }

    fn sync(&mut self, mount: &Mount) {
        self.cut_off(false);
        wait_until("Files.com can be reached", || mount.status()["reachable"] == true);
        let synced = self.stage.filescomfs(["sync", "--timeout", "2m"]).arg(&mount.point).output().unwrap();
        assert!(synced.status.success(), "{}", told(&synced));
    }

    /// SIGKILL, and the next mount, which shows the same.
    fn crash(&mut self, mount: Mount, round: u32) -> Mount {
        if self.dice.one_in(2) {
            self.pair.close_all();
        } else {
            eprintln!("fsync of what is open");
            let open = std::mem::take(&mut self.pair.open);
            for open in open.iter().filter(|open| open.writable) {
                open.there.sync_all().unwrap();
            }
            // Its close answers for Files.com in the other mode, and the kernel closes for the dead.
            eprintln!("crash");
            mount.kill();
            drop(open);
            return self.mount_again(round);
        }
        eprintln!("crash");
        mount.kill();
        self.mount_again(round)
    }

    fn mount_again(&mut self, round: u32) -> Mount {
        if self.journaled && self.dice.one_in(3) {
            self.cut_off(true);
            let unseen = self.mount(&format!("off{round}"), &["--offline-start", "--network-timeout", "1s"]);
            self.pair.mount.clone_from(&unseen.point);
            self.steps_unseen();
            self.cut_off(false);
            if self.dice.one_in(2) {
                wait_until("Files.com can be reached", || unseen.status()["reachable"] == true);
                self.sync(&unseen);
                assert_eq!(walk(&unseen.point), walk(&self.pair.folder), "after it was reached again");
                self.pair.compare_files();
                return unseen;
            }
            unseen.kill();
        } else if self.pair.cut_off || self.dice.one_in(2) {
            self.cut_off(false);
        }
        let mount = self.mount(&format!("mnt{round}"), &[]);
        self.pair.mount.clone_from(&mount.point);
        assert_eq!(walk(&mount.point), walk(&self.pair.folder), "after crash {round}");
        self.pair.compare_files();
        mount
    }

    fn live(mut self, mut mount: Mount) {
        for round in 1..=3 {
            let count = 10 + self.dice.below(30);
            self.steps(count);
            mount = self.crash(mount, round);
        }
        eprintln!("the end");
        self.sync(&mount);
        self.pair.date_everything();
        self.pair.compare_trees(&mount.point);
        mount.umount();
        let fresh = self.stage.mount_beside("fresh");
        self.pair.compare_trees(&fresh.point);
        let files = walk(&self.pair.folder).iter().filter(|path| !path.ends_with('/')).count();
        assert_eq!(self.stage.stored_names().len(), files, "the site has {:?}", self.stage.stored_names());
        fresh.umount();
    }
}

/// Tells, when it is dropped, that it is over.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn history(seed: u64, journaled: bool) {
    let mut dice = Dice::of(seed);
    let (latency, proof) = (dice.pick(&[0, 3, 25]), dice.pick(&[0, 0, 60]));
    let gap = dice.pick(&[0, 0, 20]);
    let stage = Stage::in_memory(|site| {
        (site.latency_ms, site.checksum_delay_ms, site.move_gap_ms) = (latency, proof, gap);
    });
    let close = if journaled { "journaled" } else { "verified" };
    let ttl = dice.pick(&["0s", "100ms", "60s"]);
    let hold = dice.pick(&["1s", "60s"]);
    let options = [
        "--close",
        close,
        "--dir-ttl",
        ttl,
        "--temporary-hold",
        hold,
        "--hard-links",
        "copy",
        "--network-timeout",
        "10s",
    ];
    let mount = stage.mount_at("mnt0", "state", &options);
    let mut pair = Pair::new(&stage, &mount);
    pair.journaled = journaled;
    let options = options.map(str::to_owned).to_vec();
    History { stage: &stage, dice, pair, options, journaled, fresh: 0 }.live(mount);
}

fn histories(usual: u64, journaled: bool) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (first, count) = (seed(), number("FILESCOMFS_HISTORIES").unwrap_or(usual));
    let (start, limit) = (Instant::now(), number("FILESCOMFS_HISTORIES_SECONDS"));
    for n in 0..count {
        if limit.is_some_and(|limit| start.elapsed() > Duration::from_secs(limit)) {
            break;
        }
        let seed = first.wrapping_add(n);
        eprintln!("history {n}: FILESCOMFS_SEED={seed} FILESCOMFS_HISTORIES=1");
        history(seed, journaled);
    }
}

#[test]
fn short_histories_of_everything_at_once_end_in_one_truth_in_journaled_mode() {
    histories(4, true);
}

#[test]
fn short_histories_of_everything_at_once_end_in_one_truth() {
    histories(4, false);
}
