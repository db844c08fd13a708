//! The program whose daemon dies: makes the calls of a history on a real mount, one after the other, and
//! tells the [`World`] how each was answered.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::fd::IntoRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use super::step::{Bytes, SLOTS, Step};
use super::world::{Change, Id, Seen, Sight, World};

/// What a new file gets, less the umask that the program sets no other.
const NEW_FILE: u32 = 0o644;
/// rsync's temporary files are for their owner alone.
const PRIVATE: u32 = 0o600;

/// How a step ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// All of it was answered, well or not.
    Answered(&'static str),
    /// The daemon died in the middle.
    Dead,
}

/// The answer of one call.
enum Answer<T> {
    Done(T),
    Refused(i32),
    /// The daemon is dead; `maybe`, it had the request already.
    Dead {
        maybe: bool,
    },
}

struct Open {
    file: File,
    id: Id,
    append: bool,
}

/// A program with a few descriptors.
pub struct Program<'a> {
    pub world: World,
    point: PathBuf,
    slots: [Option<Open>; SLOTS],
    is_dead: Box<dyn FnMut() -> bool + 'a>,
}

/// The daemon died, or an answer was wrong.
pub enum Broken {
    Dead,
    Wrong(String),
}

type Outcome<T = ()> = Result<T, Broken>;

impl<'a> Program<'a> {
    /// A program that starts in a mount. `is_dead` tells a dead daemon from a refusal.
    pub fn new(world: World, point: &Path, is_dead: impl FnMut() -> bool + 'a) -> Self {
        Self { world, point: point.to_owned(), slots: Default::default(), is_dead: Box::new(is_dead) }
    }

    /// Makes a step. The text says what the mount answered.
    ///
    /// # Errors
    /// An answer that the calls before it do not explain.
    pub fn make(&mut self, step: &Step) -> Result<Ended, String> {
        let outcome = match step {
            Step::Write { path, bytes } => self.whole(path, *bytes),
            Step::Save { path, temporary, bytes, fsync, mode, time } => {
                self.save(path, temporary, *bytes, *fsync, *mode, *time)
            }
            Step::Cut { path, size } => self.cut(path, *size),
            Step::Rename { from, to } => self.rename(from, to),
            Step::Unlink { path } => self.name(&Change::Unlink(path), |at| fs::remove_file(at(path))),
            Step::Mkdir { path } => self.name(&Change::Mkdir(path), |at| fs::create_dir(at(path))),
            Step::Rmdir { path } => self.name(&Change::Rmdir(path), |at| fs::remove_dir(at(path))),
            Step::Link { path, target } => {
                self.name(&Change::Link { path, target }, |at| std::os::unix::fs::symlink(target, at(path)))
            }
            Step::Mode { path, mode } => self.mode(path, *mode),
            Step::Open { slot, path, create, empty, append } => {
                self.reopen(*slot, path, *create, *empty && !*append, *append)
            }
            Step::Put { slot, offset, bytes } => self.put(*slot, *offset as usize, *bytes),
            Step::Resize { slot, size } => self.resize(*slot, *size),
            Step::Fsync { slot } => self.fsync(*slot),
            Step::Date { slot, time } => self.date(*slot, *time),
            Step::ModeOf { slot, mode } => self.mode_of(*slot, *mode),
            Step::Close { slot } => self.close(*slot),
            Step::Sync => self.close_all().map(|()| "all closed"),
        };
        match outcome {
            Ok(told) => Ok(Ended::Answered(told)),
            Err(Broken::Dead) => Ok(Ended::Dead),
            Err(Broken::Wrong(why)) => Err(why),
        }
    }

    /// Closes every descriptor.
    pub fn close_all(&mut self) -> Outcome {
        (0..SLOTS).try_for_each(|slot| self.close(slot).map(drop))
    }

    fn answer<T>(&mut self, outcome: io::Result<T>) -> Answer<T> {
        match outcome {
            Ok(value) => Answer::Done(value),
            Err(error) => match error.raw_os_error().unwrap_or(libc::EIO) {
                libc::ENOTCONN => Answer::Dead { maybe: false },
                libc::ECONNABORTED => Answer::Dead { maybe: true },
                _ if (self.is_dead)() => Answer::Dead { maybe: true },
                errno => Answer::Refused(errno),
            },
        }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.point.join(path)
    }

    /// A call that changes names: either it was to be refused and is, or it happens.
    fn name(
        &mut self,
        change: &Change<'_>,
        call: impl FnOnce(&dyn Fn(&str) -> PathBuf) -> io::Result<()>,
    ) -> Outcome<&'static str> {
        let planned = self.world.plan(change);
        let outcome = call(&|path| self.at(path));
        match (self.answer(outcome), planned) {
            (Answer::Done(()), Some(planned)) => {
                let made = planned.made;
                self.world.happened(planned);
                if let (Some(id), Change::Link { .. }) = (made, change) {
                    self.world.published(id);
                }
                Ok("0")
            }
            (Answer::Refused(_), None) => Ok("refused, as it must be"),
            // Into a folder that Files.com does not have yet, since it goes by a temporary name.
            (Answer::Refused(libc::EXDEV), Some(_)) => Ok("refused: copy it"),
            (Answer::Done(()), None) => Err(Broken::Wrong(format!("{change:?} was answered with 0"))),
            (Answer::Refused(errno), Some(_)) => Err(wrong(&format!("{change:?}"), errno)),
            (Answer::Dead { maybe }, planned) => {
                if let Some(planned) = planned.filter(|_| maybe) {
                    self.world.may_have_happened(planned);
                }
                Err(Broken::Dead)
            }
        }
    }

    fn rename(&mut self, from: &str, to: &str) -> Outcome<&'static str> {
        let source = self.world.file_at(from);
        let told = self.name(&Change::Rename { from, to }, |at| fs::rename(at(from), at(to)))?;
        let Some(source) = source.filter(|_| told == "0" && from != to) else { return Ok(told) };
        match self.world.file_at(to) {
            // Never acknowledged, and in another's place: it goes by another identity now.
            Some(heir) if heir != source => {
                let open = self.slots.iter_mut().flatten().filter(|open| open.id == source);
                open.for_each(|open| open.id = heir);
            }
            // What was held back under a temporary name is published by its rename.
            _ if !self.is_open(source) => {
                self.world.published(source);
                self.world.changed(source);
            }
            _ => {}
        }
        Ok(told)
    }

    fn is_open(&self, id: Id) -> bool {
        self.slots.iter().flatten().any(|open| open.id == id)
    }

    /// Opens a path that is no link. `None` where that must be refused and was.
    fn open(&mut self, path: &str, create: Option<u32>, empty: bool, append: bool) -> Outcome<Option<Open>> {
        let existing = self.world.file_at(path);
        let is_folder = existing.is_none() && self.world.node(path).is_some();
        let planned = match create {
            Some(mode) if existing.is_none() => self.world.plan(&Change::Create { path, mode }),
            _ => None,
        };
        let mut options = OpenOptions::new();
        options.write(true).create(create.is_some()).truncate(empty).mode(create.unwrap_or(NEW_FILE));
        let exclusive = create == Some(PRIVATE);
        options.append(append && !empty).create_new(exclusive);
        let outcome = options.open(self.at(path));
        let may_open = !is_folder && (planned.is_some() || (existing.is_some() && !exclusive));
        match self.answer(outcome) {
            Answer::Done(file) if may_open => {
                let id = existing.or(planned.as_ref().and_then(|planned| planned.made));
                let Some(id) = id else { return Err(Broken::Wrong(format!("{path} opened"))) };
                let is_new = planned.is_some();
                if let Some(planned) = planned {
                    self.world.happened(planned);
                }
                if is_new || empty {
                    self.world.resize(id, 0);
                }
                Ok(Some(Open { file, id, append }))
            }
            Answer::Done(_) => Err(Broken::Wrong(format!("open {path} was answered with 0"))),
            Answer::Refused(errno) if may_open => Err(wrong(&format!("open {path}"), errno)),
            Answer::Refused(_) => Ok(None),
            Answer::Dead { maybe } => {
                if let Some(planned) = planned.filter(|_| maybe) {
                    self.world.may_have_happened(planned);
                } else if let Some(id) = existing.filter(|_| maybe && empty) {
                    self.world.may_resize(id, 0);
                }
                Err(Broken::Dead)
            }
        }
    }

    fn is_link(&self, path: &str) -> bool {
        self.world.file_at(path).is_some_and(|id| self.world.file(id).is_link)
    }

    fn write(&mut self, open: &mut Open, offset: usize, bytes: &[u8]) -> Outcome {
        let offset = if open.append { self.world.file(open.id).now.len() } else { offset };
        let outcome = match open.append {
            true => open.file.write_all(bytes),
            false => open.file.write_all_at(bytes, offset as u64),
        };
        match self.answer(outcome) {
            Answer::Done(()) if bytes.is_empty() => Ok(()),
            Answer::Done(()) => {
                self.world.write(open.id, offset, bytes);
                Ok(())
            }
            Answer::Refused(errno) => Err(wrong("write", errno)),
            Answer::Dead { maybe } => {
                if maybe {
                    self.world.may_write(open.id, offset, bytes.to_vec());
                }
                Err(Broken::Dead)
            }
        }
    }

    /// close(2). `held`: under a temporary name, which its rename publishes.
    fn finish(&mut self, open: Open, held: bool) -> Outcome {
        let (id, descriptor) = (open.id, open.file.into_raw_fd());
        // SAFETY: the descriptor was just given up by `file`, and is closed exactly once.
        let outcome = match unsafe { libc::close(descriptor) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        };
        match self.answer(outcome) {
            Answer::Done(()) => {
                if self.world.is_empty(id) && self.is_open(id) {
                    // By another descriptor: it is still the one of before, until that is closed.
                } else if held {
                    self.world.synced(id)
                } else {
                    self.world.published(id)
                }
                Ok(())
            }
            Answer::Refused(errno) => Err(wrong("close", errno)),
            Answer::Dead { .. } => Err(Broken::Dead),
        }
    }

    fn whole(&mut self, path: &str, bytes: Bytes) -> Outcome<&'static str> {
        if self.is_link(path) {
            return Ok("a link: left alone");
        }
        let Some(mut open) = self.open(path, Some(NEW_FILE), true, false)? else {
            return Ok("refused, as it must be");
        };
        self.write(&mut open, 0, &bytes.make())?;
        self.finish(open, false)?;
        Ok("0")
    }

    fn save(
        &mut self,
        path: &str,
        temporary: &str,
        bytes: Bytes,
        fsync: bool,
        mode: u32,
        time: u64,
    ) -> Outcome<&'static str> {
        let Some(mut open) = self.open(temporary, Some(PRIVATE), false, false)? else {
            return Ok("refused, as it must be");
        };
        let id = open.id;
        self.write(&mut open, 0, &bytes.make())?;
        if fsync {
            let outcome = open.file.sync_all();
            self.told(outcome, "fsync")?;
            self.world.synced(id);
        }
        let outcome = open.file.set_permissions(Permissions::from_mode(mode));
        self.world.set_mode(id, mode);
        self.told(outcome, "fchmod")?;
        self.finish(open, true)?;
        // The attributes of what is held back go with its rename.
        self.world.set_time(id, time);
        let outcome = File::open(self.at(temporary))
            .and_then(|file| file.set_modified(UNIX_EPOCH + Duration::from_secs(time)));
        self.told(outcome, "utimes")?;
        self.rename(temporary, path)
    }

    fn told(&mut self, outcome: io::Result<()>, what: &str) -> Outcome {
        match self.answer(outcome) {
            Answer::Done(()) => Ok(()),
            Answer::Refused(errno) => Err(wrong(what, errno)),
            Answer::Dead { .. } => Err(Broken::Dead),
        }
    }

    fn cut(&mut self, path: &str, size: u64) -> Outcome<&'static str> {
        if self.is_link(path) {
            return Ok("a link: left alone");
        }
        let id = self.world.file_at(path);
        let name = CString::new(self.at(path).into_os_string().into_encoded_bytes()).expect("no zeros");
        // SAFETY: `name` is a C string that lives through the call.
        let outcome = match unsafe { libc::truncate(name.as_ptr(), size as libc::off_t) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        };
        match (self.answer(outcome), id) {
            (Answer::Done(()), Some(id)) => {
                self.world.resize(id, size as usize);
                // With a writer, its close answers.
                if !self.is_open(id) {
                    self.world.published(id);
                }
                Ok("0")
            }
            (Answer::Done(()), None) => Err(Broken::Wrong(format!("truncate {path} was answered with 0"))),
            (Answer::Refused(_), None) => Ok("refused, as it must be"),
            (Answer::Refused(errno), Some(_)) => Err(wrong(&format!("truncate {path}"), errno)),
            (Answer::Dead { maybe }, id) => {
                if let Some(id) = id.filter(|_| maybe) {
                    self.world.may_resize(id, size as usize);
                }
                Err(Broken::Dead)
            }
        }
    }

    fn mode(&mut self, path: &str, mode: u32) -> Outcome<&'static str> {
        let Some(id) = self.world.file_at(path).filter(|_| !self.is_link(path)) else {
            return Ok("no file: left alone");
        };
        self.world.set_mode(id, mode);
        let outcome = fs::set_permissions(self.at(path), Permissions::from_mode(mode));
        self.told(outcome, "chmod")?;
        self.world.changed(id);
        Ok("0")
    }

    fn reopen(
        &mut self,
        slot: usize,
        path: &str,
        create: bool,
        empty: bool,
        append: bool,
    ) -> Outcome<&'static str> {
        self.close(slot)?;
        if self.is_link(path) {
            return Ok("a link: left alone");
        }
        let opened = self.open(path, create.then_some(NEW_FILE), empty, append)?;
        let told = if opened.is_some() { "0" } else { "refused, as it must be" };
        self.slots[slot] = opened;
        Ok(told)
    }

    /// Makes a call on what is open in a slot.
    fn with(
        &mut self,
        slot: usize,
        call: impl FnOnce(&mut Self, &mut Open) -> Outcome,
    ) -> Outcome<&'static str> {
        let Some(mut open) = self.slots[slot].take() else { return Ok("nothing is open") };
        let outcome = call(self, &mut open);
        self.slots[slot] = Some(open);
        outcome.map(|()| "0")
    }

    fn put(&mut self, slot: usize, offset: usize, bytes: Bytes) -> Outcome<&'static str> {
        self.with(slot, |program, open| program.write(open, offset, &bytes.make()))
    }

    fn resize(&mut self, slot: usize, size: u64) -> Outcome<&'static str> {
        self.with(slot, |program, open| {
            let outcome = open.file.set_len(size);
            match program.answer(outcome) {
                Answer::Done(()) => program.world.resize(open.id, size as usize),
                Answer::Refused(errno) => return Err(wrong("ftruncate", errno)),
                Answer::Dead { maybe } => {
                    if maybe {
                        program.world.may_resize(open.id, size as usize);
                    }
                    return Err(Broken::Dead);
                }
            }
            Ok(())
        })
    }

    fn fsync(&mut self, slot: usize) -> Outcome<&'static str> {
        self.with(slot, |program, open| {
            let outcome = open.file.sync_all();
            program.told(outcome, "fsync")?;
            program.world.synced(open.id);
            Ok(())
        })
    }

    fn date(&mut self, slot: usize, time: u64) -> Outcome<&'static str> {
        self.with(slot, |program, open| {
            program.world.set_time(open.id, time);
            let outcome = open.file.set_modified(UNIX_EPOCH + Duration::from_secs(time));
            program.told(outcome, "futimes")?;
            program.world.changed(open.id);
            Ok(())
        })
    }

    fn mode_of(&mut self, slot: usize, mode: u32) -> Outcome<&'static str> {
        self.with(slot, |program, open| {
            program.world.set_mode(open.id, mode);
            let outcome = open.file.set_permissions(Permissions::from_mode(mode));
            program.told(outcome, "fchmod")?;
            program.world.changed(open.id);
            Ok(())
        })
    }

    fn close(&mut self, slot: usize) -> Outcome<&'static str> {
        match self.slots[slot].take() {
            Some(open) => self.finish(open, false).map(|()| "0"),
            None => Ok("nothing is open"),
        }
    }
}

fn wrong(what: &str, errno: i32) -> Broken {
    Broken::Wrong(format!("{what} was refused: {}", io::Error::from_raw_os_error(errno)))
}

/// Everything that a mount shows.
///
/// # Errors
/// What the mount answers when it is dead, too.
pub fn look(root: &Path) -> io::Result<Sight> {
    let mut sight = Sight::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let found = fs::symlink_metadata(&path)?;
            let seen = if found.is_dir() {
                folders.push(path.clone());
                Seen::Folder
            } else if found.is_symlink() {
                Seen::Link(fs::read_link(&path)?.to_string_lossy().into_owned())
            } else {
                let time = found.mtime().try_into().unwrap_or(0);
                Seen::File { bytes: fs::read(&path)?, mode: found.mode() & 0o7777, time }
            };
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            sight.insert(name, seen);
        }
    }
    Ok(sight)
}
