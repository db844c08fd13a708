//! Carries a history out: a site, a state folder, and one daemon after the other over both.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use filescomfs::model::name;

use super::daemon::{Daemon, ask};
use super::program::{Ended, Program, look};
use super::step::{History, Kill, Life, Step};
use super::world::{Node, Sight, World};
use crate::patience::Stopwatch;
use crate::power::{Losses, Supply};
use crate::stage::{FOLDER, PATIENCE, Stage, is_running, kill, told};

const STATE: &str = "state";
/// A dead process may answer nobody any more a moment before it is seen to be dead.
const LAST_BREATH: Duration = Duration::from_millis(300);

/// How often it is looked whether a daemon still answers.
const GLANCE: Duration = Duration::from_millis(200);

/// How long a shorter history that fails is looked for.
const LONGEST_SHORTENING: Duration = Duration::from_secs(60);

/// What a history has shown.
#[derive(Debug, Default)]
pub struct Report {
    /// Fail points at which a daemon died.
    pub died_at: BTreeSet<&'static str>,
    /// All deaths.
    pub kills: usize,
}

/// A broken promise, with everything that was done before it.
#[derive(Debug)]
pub struct Violation {
    pub what: String,
    pub transcript: Vec<String>,
}

/// A history under way.
struct Stand<'a> {
    stage: Stage,
    options: &'a [&'a str],
    world: World,
    transcript: Vec<String>,
    report: Report,
    /// With it, each life ends with a loss of power.
    supply: Option<Supply>,
}

/// Carries a history out. Where there are losses of power, each life ends with one.
///
/// # Errors
/// The first broken promise.
pub fn run(history: &History, options: &[&str], losses: Option<Losses>) -> Result<Report, Violation> {
    let stage = Stage::in_memory(|site| (site.checksum_delay_ms, site.log_length) = (0, 100));
    let (world, report) = (World::default(), Report::default());
    let supply = losses.map(|losses| Supply::of(losses, &stage));
    let mut stand = Stand { stage, options, world, transcript: Vec::new(), report, supply };
    let outcome = history.lives.iter().enumerate().try_for_each(|(n, life)| {
        stand.transcript.push(format!("life {}: {}", n + 1, life.kill));
        stand.live(life)?;
        if let Some(supply) = &mut stand.supply {
            supply.fail();
            stand.world.power_failed();
            stand.note("the power failed");
        }
        Ok(())
    });
    match outcome.and_then(|()| stand.judge()) {
        Ok(()) => Ok(stand.report),
        Err(what) => Err(Violation { what, transcript: stand.transcript }),
    }
}

impl Stand<'_> {
    fn note(&mut self, what: impl Into<String>) {
        self.transcript.push(format!("  {}", what.into()));
    }

    fn state(&self) -> &'static str {
        if self.supply.is_some() { Supply::STATE } else { STATE }
    }

    /// One daemon, from its start to its death.
    fn live(&mut self, life: &Life) -> Result<(), String> {
        let orders = match &life.kill {
            Kill::At { point, nth } => vec![("FILESCOMFS_FAIL_AT", format!("{point}:{nth}"))],
            _ => Vec::new(),
        };
        let mut daemon = Daemon::start(&self.stage, "mnt", self.state(), self.options, &orders);
        self.report.kills += 1;
        let killer = match life.kill {
            Kill::Starting { micros } => Some(kill_in(daemon.pid(), micros)),
            _ => None,
        };
        if let Some(killer) = killer {
            killer.join().expect("the killer does not panic");
            return Ok(());
        }
        let lived = self.use_it(life, &mut daemon);
        if let (Ok(Ended::Dead), Kill::At { point, .. }) = (&lived, &life.kill) {
            self.report.died_at.insert(point);
        }
        lived.and_then(|_| daemon.complained()).map_err(|why| format!("{why}\nlog:\n{}", daemon.told()))
    }

    fn use_it(&mut self, life: &Life, daemon: &mut Daemon) -> Result<Ended, String> {
        if !daemon.answers()? {
            self.note("dead before it answered");
            return Ok(Ended::Dead);
        }
        if !self.take_stock(&daemon.point.clone(), daemon)? {
            return Ok(Ended::Dead);
        }
        let pid = daemon.pid();
        let is_dead = move || {
            let watch = Stopwatch::start();
            while watch.elapsed() < LAST_BREATH {
                if !is_running(pid) {
                    return true;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            false
        };
        let watch = Watch::over(pid);
        let mut program = Program::new(self.world.clone(), &daemon.point, is_dead);
        let mut killer = None;
        let mut outcome = Ok(Ended::Answered("nothing to do"));
        for (n, step) in life.steps.iter().enumerate() {
            if let Kill::During { step, micros } = life.kill
                && step == n
            {
                killer = Some(kill_in(pid, micros));
            }
            outcome = program.make(step);
            if let (Step::Sync, Ok(Ended::Answered(_))) = (step, &outcome) {
                outcome = self.sync(&mut program, daemon);
            }
            let answer = match &outcome {
                Ok(Ended::Answered(told)) => (*told).to_owned(),
                Ok(Ended::Dead) => "no answer: the daemon is dead".to_owned(),
                Err(why) => why.clone(),
            };
            self.transcript.push(format!("  {n}: {step}: {answer}"));
            if watch.had_to_kill() {
                outcome = Err(format!("{step} was not answered for {PATIENCE:?}"));
            }
            if !matches!(outcome, Ok(Ended::Answered(_))) {
                break;
            }
            watch.alive();
        }
        self.world = program.world.clone();
        if let Some(killer) = killer {
            killer.join().expect("the killer does not panic");
        }
        // What the program has open is open to the end, and never closed.
        daemon.kill();
        outcome
    }

    /// What a new mount shows must be allowed; from then on it is what is there. False when the daemon died
    /// while it was looked at.
    fn take_stock(&mut self, point: &Path, daemon: &mut Daemon) -> Result<bool, String> {
        let sight = match look(point) {
            Ok(sight) => sight,
            Err(error) => {
                let watch = Stopwatch::start();
                while !daemon.is_dead() {
                    if watch.elapsed() > LAST_BREATH {
                        return Err(format!("the mount cannot be read: {error}"));
                    }
                }
                self.note("dead before everything was seen");
                return Ok(false);
            }
        };
        let (world, unpublished) =
            self.world.found(&sight).map_err(|why| format!("after the crash, in the mount:\n{why}"))?;
        let kept = self.quarantined();
        for (path, bytes) in unpublished {
            if !kept.contains(&*bytes) {
                return Err(format!(
                    "the {} bytes written to {path} are neither there nor set aside",
                    bytes.len()
                ));
            }
        }
        self.world = world;
        Ok(true)
    }

    fn quarantined(&self) -> Vec<Vec<u8>> {
        let state = self.stage.path(STATE);
        let folders = [state.join("quarantine"), state.join("state/quarantine")];
        let files = folders.iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
        files.filter_map(|file| fs::read(file.path()).ok()).collect()
    }

    /// `filescomfs sync` with nothing open: then Files.com holds what the mount shows.
    fn sync(&mut self, program: &mut Program<'_>, daemon: &mut Daemon) -> Result<Ended, String> {
        let output = ask(&self.stage, "sync", &daemon.point);
        if !output.status.success() {
            let watch = Stopwatch::start();
            while !daemon.is_dead() {
                if watch.elapsed() > LAST_BREATH {
                    return Err(format!("sync: {}", told(&output)));
                }
            }
            return Ok(Ended::Dead);
        }
        program.world.all_published();
        self.compare(&program.world)?;
        Ok(Ended::Answered("0"))
    }

    /// Files.com holds these names and bytes, and nothing else.
    fn compare(&self, world: &World) -> Result<(), String> {
        let local = |path: &str| -> Option<String> {
            let below = path.strip_prefix(FOLDER)?.strip_prefix('/')?;
            let names: Option<Vec<_>> = below.split('/').map(name::from_remote).collect();
            Some(names?.iter().map(|name| name.to_string_lossy()).collect::<Vec<_>>().join("/"))
        };
        let site = &self.stage.site;
        let mut there: BTreeSet<String> = site.folders().iter().filter_map(|path| local(path)).collect();
        for path in site.files().keys() {
            let Some(name) = local(path) else { continue };
            let Some(id) = world.file_at(&name) else {
                return Err(format!("Files.com has a file {path} that must not be"));
            };
            let file = world.file(id);
            if !file.is_link && site.read(path).as_ref() != Some(&*file.now) {
                let len = site.read(path).map(|bytes| bytes.len());
                return Err(format!("{path} has other bytes on Files.com: {len:?}, not {}", file.now.len()));
            }
            there.insert(name);
        }
        for (path, node) in world.names() {
            if !there.contains(path) {
                let slash = if *node == Node::Folder { "/" } else { "" };
                return Err(format!("{path}{slash} is not on Files.com"));
            }
        }
        match there.iter().find(|path| world.node(path).is_none()) {
            Some(path) => Err(format!("Files.com has a folder {path} that must not be")),
            None => Ok(()),
        }
    }

    /// The last daemon lives: everything is sent, and looked at on Files.com and by a mount that knows
    /// nothing.
    fn judge(&mut self) -> Result<(), String> {
        self.transcript.push("the end".to_owned());
        let mut daemon = Daemon::start(&self.stage, "mnt", self.state(), self.options, &[]);
        let judged = self.send_everything(&mut daemon).and_then(|()| daemon.complained());
        judged.map_err(|why| format!("{why}\nlog:\n{}", daemon.told()))?;
        self.umount(daemon)?;
        let mut fresh = Daemon::start(&self.stage, "fresh", "fresh-state", &[], &[]);
        if !fresh.answers()? {
            return Err("the fresh mount died".to_owned());
        }
        let sight: Sight = look(&fresh.point).map_err(|error| format!("the fresh mount: {error}"))?;
        self.world.found(&sight).map_err(|why| format!("in a mount that knows nothing:\n{why}"))?;
        self.umount(fresh)
    }

    fn send_everything(&mut self, daemon: &mut Daemon) -> Result<(), String> {
        if !daemon.answers()? {
            return Err("the last daemon died".to_owned());
        }
        if !self.take_stock(&daemon.point.clone(), daemon)? {
            return Err("the last daemon died".to_owned());
        }
        let mut program = Program::new(self.world.clone(), &daemon.point, || false);
        self.sync(&mut program, daemon)?;
        Ok(())
    }

    fn umount(&self, daemon: Daemon) -> Result<(), String> {
        let watch = Stopwatch::start();
        loop {
            let output = ask(&self.stage, "umount", &daemon.point);
            if output.status.success() {
                return daemon.ended();
            }
            // A program that is being started elsewhere in these tests holds for a moment what we had open.
            if !told(&output).contains("busy") || watch.elapsed() > PATIENCE {
                return Err(format!("umount: {}", told(&output)));
            }
        }
    }
}

/// Kills a daemon that answers nothing any more: a call that never ends would be the end of the tests.
struct Watch {
    steps: Option<Sender<()>>,
    killed: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    fn over(pid: i32) -> Self {
        let (steps, heard) = channel();
        let killed = Arc::new(AtomicBool::new(false));
        let mark = killed.clone();
        let thread = std::thread::spawn(move || {
            let mut watch = Stopwatch::start();
            loop {
                match heard.recv_timeout(GLANCE) {
                    Ok(()) => watch = Stopwatch::start(),
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) if watch.elapsed() < PATIENCE => {}
                    Err(RecvTimeoutError::Timeout) => {
                        mark.store(true, Ordering::SeqCst);
                        kill(pid, libc::SIGKILL);
                        return;
                    }
                }
            }
        });
        Self { steps: Some(steps), killed, thread: Some(thread) }
    }

    fn alive(&self) {
        let _ = self.steps.as_ref().map(|steps| steps.send(()));
    }

    fn had_to_kill(&self) -> bool {
        self.killed.load(Ordering::SeqCst)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.steps = None;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// SIGKILL at a moment that nobody chose.
fn kill_in(pid: i32, micros: u64) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_micros(micros));
        kill(pid, libc::SIGKILL);
    })
}

/// A shorter history that breaks a promise too: steps and lives are left out as long as it does.
pub fn shortened(
    mut history: History,
    options: &[&str],
    losses: Option<Losses>,
    attempts: usize,
) -> Option<(History, Violation)> {
    let mut found = None;
    let (start, mut left) = (Instant::now(), attempts);
    let mut try_it = |candidate: &History| -> Option<Violation> {
        left = left.checked_sub(1)?;
        (start.elapsed() < LONGEST_SHORTENING).then(|| run(candidate, options, losses).err())?
    };
    // Whole lives first, then halves of what they do, then single steps.
    let mut n = 0;
    while history.lives.len() > 1 && n < history.lives.len() {
        let mut shorter = history.clone();
        shorter.lives.remove(n);
        match try_it(&shorter) {
            Some(violation) => (history, found) = (shorter, Some(violation)),
            None => n += 1,
        }
    }
    for life in 0..history.lives.len() {
        let mut size = history.lives[life].steps.len().div_ceil(2).max(1);
        loop {
            let mut at = 0;
            while at < history.lives[life].steps.len() {
                let mut shorter = history.clone();
                let steps = &mut shorter.lives[life].steps;
                let end = (at + size).min(steps.len());
                steps.drain(at..end);
                match try_it(&shorter) {
                    Some(violation) => (history, found) = (shorter, Some(violation)),
                    None => at += size,
                }
            }
            if size == 1 {
                break;
            }
            size = size.div_ceil(2);
        }
    }
    found.map(|violation| (history, violation))
}
