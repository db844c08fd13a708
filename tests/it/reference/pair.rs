//! A mount and a local folder in which the same steps are made, and their comparison.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use filescomfs::model::temporary::TemporaryNames;

use super::{Dice, FOLDERS, THEIRS};
use crate::stage::{Mount, Stage};

/// One file, open in the mount and in the folder.
pub struct Open {
    pub there: File,
    pub here: File,
    pub writable: bool,
}

/// The mount, the folder, and what is open in both.
pub struct Pair<'a> {
    pub stage: &'a Stage,
    pub mount: PathBuf,
    pub folder: PathBuf,
    pub open: Vec<Open>,
    pub temporary: TemporaryNames,
    /// A close answers for this machine only, so the site is not looked at after each step.
    pub journaled: bool,
    /// Files.com cannot be reached: what is not known here may fail, and then does nothing.
    pub cut_off: bool,
}

type Outcome<T> = Result<T, i32>;

pub fn told<T>(outcome: io::Result<T>) -> Outcome<T> {
    outcome.map_err(|error| error.raw_os_error().unwrap_or(-1))
}

pub fn close(file: File) -> io::Result<()> {
    // SAFETY: the descriptor was just given up by `file`, and is closed exactly once.
    match unsafe { libc::close(file.into_raw_fd()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

pub fn truncate(path: &Path, size: u64) -> io::Result<()> {
    let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes())?;
    // SAFETY: `path` is a C string that lives through the call.
    match unsafe { libc::truncate(path.as_ptr(), size as libc::off_t) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Files below `root` with their paths, and folders with a slash at the end.
pub fn walk(root: &Path) -> BTreeSet<String> {
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
    pub fn new(stage: &'a Stage, mount: &Mount) -> Self {
        let folder = stage.path("reference");
        fs::create_dir_all(&folder).unwrap();
        let temporary = TemporaryNames::default();
        let (mount, open, journaled) = (mount.point.clone(), Vec::new(), false);
        Self { stage, mount, folder, open, temporary, journaled, cut_off: false }
    }

    /// Makes a step in both, and compares the answers. `None` when it failed in both, or only in the
    /// mount and for a reason of its own.
    pub fn both<T, U>(
        &self,
        mut step: impl FnMut(&Path) -> io::Result<T>,
        same: impl Fn(&T, &T) -> Option<U>,
    ) -> Option<U> {
        let there = told(step(&self.mount));
        if there.as_ref().is_err_and(|errno| self.is_deliberate(*errno)) {
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
    /// folder that Files.com does not have yet, since it goes by a temporary name; and what a lost network means.
    pub fn is_deliberate(&self, errno: i32) -> bool {
        errno == libc::EXDEV || self.cut_off && matches!(errno, libc::EIO | libc::ETIMEDOUT)
    }

    /// Is anything on this path held back until it is renamed?
    pub fn is_temporary(&self, path: &str) -> bool {
        path.split('/').any(|name| self.temporary.matches(name.as_ref(), false))
    }

    pub fn is_being_written(&self, path: &Path) -> bool {
        let Ok(wanted) = fs::metadata(path) else { return false };
        self.open
            .iter()
            .any(|open| open.writable && open.here.metadata().is_ok_and(|found| found.ino() == wanted.ino()))
    }

    /// Files.com holds every file that is closed and has its final name, byte for byte, and no file
    /// that is not here.
    pub fn compare_with_the_site(&self) {
        if self.journaled {
            return;
        }
        let here = walk(&self.folder);
        for path in here.iter().filter(|path| !path.ends_with('/') && !self.is_temporary(path)) {
            let local = self.folder.join(path);
            if !self.is_being_written(&local) {
                let stored = self.stage.stored(path);
                if stored.is_none() && is_empty_and_private(&local) {
                    // Made for its owner alone, it waits to be written, renamed or removed.
                    continue;
                }
                assert!(stored.is_some(), "{path} is not on the site");
                assert!(stored.as_ref() == Some(&fs::read(local).unwrap()), "{path} has other bytes there");
            }
        }
        for path in self.stage.stored_names() {
            assert!(path.starts_with(THEIRS) || here.contains(&path), "{path} is on the site and not here");
        }
    }

    /// Every file, as the mount shows it.
    pub fn compare_files(&self) {
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

    pub fn close_all(&mut self) {
        while let Some(open) = self.open.pop() {
            close(open.here).unwrap();
            close(open.there).unwrap();
        }
    }

    /// Every name, every byte, and the modes and times, as the mount shows them.
    pub fn compare_trees(&self, mount: &Path) {
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
    pub fn date_everything(&self) {
        for (path, n) in walk(&self.folder).into_iter().rev().zip(1_000_000_000..) {
            for root in [&self.mount, &self.folder] {
                let file = File::open(root.join(&path)).unwrap();
                file.set_modified(UNIX_EPOCH + Duration::from_secs(n)).unwrap();
            }
        }
    }

    pub fn step(&mut self, dice: &mut Dice) {
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

    pub fn open_one(&mut self, dice: &mut Dice) {
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

    pub fn close_one(&mut self, dice: &mut Dice) {
        let open = self.open.swap_remove(dice.below(self.open.len() as u64) as usize);
        let path = fs::read_link(format!("/proc/self/fd/{}", open.here.as_raw_fd())).unwrap();
        eprintln!("close {}", path.display());
        close(open.here).unwrap();
        close(open.there).unwrap_or_else(|error| panic!("close: {error}"));
    }

    pub fn use_one(&mut self, dice: &mut Dice) {
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
        let there = told(step(there));
        if there.as_ref().is_err_and(|errno| self.is_deliberate(*errno)) {
            return;
        }
        let here = told(step(here));
        assert!(there == here, "{:?} {:?}", there.map(|read| read.len()), here.map(|read| read.len()));
    }
}

fn is_empty_and_private(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.len() == 0 && found.mode() & 0o077 == 0)
}
