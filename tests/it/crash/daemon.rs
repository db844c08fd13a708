//! The daemon of one life: started in the foreground, waited for, killed, and taken away.

use std::fs::{self, File};
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use filescomfs::mount::unmount::unmount;

use crate::patience::Stopwatch;
use crate::stage::{PATIENCE, Stage};

/// How often a wait looks whether the daemon still lives.
const GLANCE: Duration = Duration::from_millis(2);

/// A daemon that was started.
pub struct Daemon {
    child: Child,
    pub point: PathBuf,
    pub log: PathBuf,
    notify: PathBuf,
    socket: UnixDatagram,
}

impl Daemon {
    /// Starts a daemon over `state`, mounted at `point`, with orders for its fail points. Both are folders
    /// of the stage.
    pub fn start(
        stage: &Stage,
        point: &str,
        state: &str,
        options: &[&str],
        orders: &[(&str, String)],
    ) -> Self {
        let point = stage.path(point);
        fs::create_dir_all(&point).unwrap();
        let notify = point.with_extension("notify");
        let _ = fs::remove_file(&notify);
        let socket = UnixDatagram::bind(&notify).unwrap();
        socket.set_read_timeout(Some(GLANCE)).unwrap();
        let log = point.with_extension("log");
        let child = stage
            .filescomfs(["mount", "--foreground"])
            .args(options)
            .arg("--cache-dir")
            .arg(stage.path(state))
            .arg(stage.source())
            .arg(&point)
            .env("NOTIFY_SOCKET", &notify)
            .envs(orders.iter().map(|(name, order)| (name, order)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::options().create(true).append(true).open(&log).unwrap())
            .spawn()
            .expect("filescomfs runs");
        Self { child, point, log, notify, socket }
    }

    /// Waits until it answers. False when it was killed before.
    ///
    /// # Errors
    /// When it gave up by itself: that is no crash.
    pub fn answers(&mut self) -> Result<bool, String> {
        let watch = Stopwatch::start();
        loop {
            let mut word = [0; 256];
            match self.socket.recv(&mut word) {
                Ok(len) if word[..len].starts_with(b"READY=1") => return Ok(true),
                Ok(_) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                }
                Err(error) => return Err(format!("the word of the daemon cannot be heard: {error}")),
            }
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return match status.code() {
                    None => Ok(false),
                    Some(code) => Err(format!("the mount gave up with exit code {code}:\n{}", self.told())),
                };
            }
            if watch.elapsed() > PATIENCE {
                return Err(format!("the mount does not answer:\n{}", self.told()));
            }
        }
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub fn is_dead(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_some()
    }

    /// SIGKILL, if it is not dead already.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until it has ended by itself.
    pub fn ended(mut self) -> Result<(), String> {
        let status = self.child.wait().expect("a child can be waited for");
        self.clear();
        if status.success() {
            Ok(())
        } else {
            Err(format!("the daemon ended with {status}:\n{}", self.told()))
        }
    }

    fn clear(&self) {
        let _ = unmount(&self.point, true);
        let _ = fs::remove_file(&self.notify);
    }

    /// Nothing goes wrong in these histories but the death of the daemon: an error in its log is one too many.
    pub fn complained(&self) -> Result<(), String> {
        let log = fs::read_to_string(&self.log).map_err(|error| format!("there is no log: {error}"))?;
        match log.lines().find(|line| line.contains(" ERROR ") || line.contains("panicked")) {
            Some(line) => Err(format!("the log complains: {line}")),
            None => Ok(()),
        }
    }

    /// The end of its log.
    pub fn told(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

/// SIGKILL, unless it is dead, and the dead mount taken away.
impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        self.clear();
    }
}

/// Asks the mount at `point` something.
pub fn ask(stage: &Stage, command: &str, point: &Path) -> Output {
    stage.filescomfs([command, "--timeout", "10m"]).arg(point).output().expect("filescomfs runs")
}
