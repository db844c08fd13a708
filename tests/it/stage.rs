//! The stage of a test: an emulated site, a folder of its own, and mounts that end with the test.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use filescomfs::emulator::{Emulator, Settings};
use serde_json::Value;

use crate::patience::Stopwatch;

/// The key that the tests mount with.
pub const KEY: &str = "k3yOfTheTests";
/// The folder of the site that is mounted.
pub const FOLDER: &str = "backups";
/// How long a test waits for what must come, by a [`Stopwatch`].
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What a person may have set for programs of their own: keys, places, proxies, and our own switches.
const SETTINGS_OF_A_PERSON: [&str; 20] = [
    "FILES_API_KEY",
    "FILES_USERNAME",
    "FILES_PASSWORD",
    "FILESCOMFS_LOG",
    "FILESCOMFS_FAIL_AT",
    "FILESCOMFS_BREAK_AT",
    "CREDENTIALS_DIRECTORY",
    "NOTIFY_SOCKET",
    "XDG_CONFIG_HOME",
    "XDG_STATE_HOME",
    "XDG_CACHE_HOME",
    "XDG_RUNTIME_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
];

/// filescomfs under whatever name, with no setting of the person who runs the tests. The home folder is one that
/// does not exist: nothing is read from there, and nothing can be left there.
pub fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    for setting in SETTINGS_OF_A_PERSON {
        command.env_remove(setting);
    }
    command.env("HOME", "/nonexistent");
    command
}

/// filescomfs as it was built, or, where `FILESCOMFS_PROGRAMS` names a folder of copies, the one there: then another
/// build may go on while these tests run.
pub fn built() -> PathBuf {
    among_copies("filescomfs").unwrap_or_else(|| env!("CARGO_BIN_EXE_filescomfs").into())
}

/// The emulator as a program, likewise.
pub fn built_emulator() -> PathBuf {
    among_copies("filescom-emulator").unwrap_or_else(|| env!("CARGO_BIN_EXE_filescom-emulator").into())
}

fn among_copies(name: &str) -> Option<PathBuf> {
    std::env::var_os("FILESCOMFS_PROGRAMS").map(|folder| Path::new(&folder).join(name))
}

/// A command of filescomfs.
pub fn filescomfs() -> Command {
    program(built())
}

/// A site, and a folder for mount points, state and files of the test.
pub struct Stage {
    pub site: Emulator,
    dir: tempfile::TempDir,
    mounts: u32,
}

impl Stage {
    /// A site as it is by default, with the folder that will be mounted.
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// A site with other settings.
    pub fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::within(&std::env::temp_dir(), change)
    }

    /// A site with other settings, and a folder that is quick where the disk is slow: in memory, if this
    /// machine has such a place. For tests that end processes, not machines.
    pub fn in_memory(change: impl FnOnce(&mut Settings)) -> Self {
        // A script that looks for what is left has made a folder there that is called like that of the tests.
        let own = std::env::temp_dir().file_name().map(|name| Path::new("/dev/shm").join(name));
        let places = own.into_iter().chain([PathBuf::from("/dev/shm")]);
        let usable = places.into_iter().find(|place| tempfile::tempdir_in(place).is_ok());
        Self::within(&usable.unwrap_or_else(std::env::temp_dir), change)
    }

    fn within(folder: &Path, change: impl FnOnce(&mut Settings)) -> Self {
        assert!(Path::new("/dev/fuse").exists(), "these tests need FUSE: install fuse3 and load the module");
        let mut settings = Settings::default();
        change(&mut settings);
        let site = Emulator::start(settings).expect("the emulator starts");
        site.mkdir(FOLDER);
        Self { site, dir: tempfile::tempdir_in(folder).expect("a temporary folder"), mounts: 0 }
    }

    /// A path in the test's own folder, outside the mount.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A command of filescomfs with the test's key.
    pub fn filescomfs<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = filescomfs();
        command.args(arguments).env("FILES_API_KEY", KEY);
        command
    }

    /// What is mounted.
    pub fn source(&self) -> String {
        format!("{}:/{FOLDER}", self.site.base_url())
    }

    /// Mounts with fresh state and an empty cache.
    pub fn mount(&mut self, options: &[&str]) -> Mount {
        self.mounts += 1;
        self.mount_with_state(&format!("state{}", self.mounts), options)
    }

    /// Mounts with the state that an earlier mount of that name left.
    pub fn mount_with_state(&mut self, state: &str, options: &[&str]) -> Mount {
        self.mounts += 1;
        self.mount_at(&format!("mnt{}", self.mounts), state, options)
    }

    /// The same, with a daemon that dies at a fail point.
    pub fn mount_that_dies_at(&mut self, point: &str, state: &str, options: &[&str]) -> Mount {
        self.mounts += 1;
        let mut command = self.filescomfs(["mount"]);
        command.args(options).env("FILESCOMFS_FAIL_AT", point);
        self.mount_by(command, &format!("mnt{}", self.mounts), state)
    }

    /// Mounts with fresh state on a mount point of that name.
    pub fn mount_beside(&self, name: &str) -> Mount {
        self.mount_at(name, &format!("state-{name}"), &[])
    }

    /// Mounts with the state of that name on the mount point of that name.
    pub fn mount_at(&self, point: &str, state: &str, options: &[&str]) -> Mount {
        let mut command = self.filescomfs(["mount"]);
        command.args(options);
        self.mount_by(command, point, state)
    }

    /// Mounts with a file of credentials instead of the key.
    pub fn mount_as(&self, credentials: &Path, options: &[&str]) -> Mount {
        let mut command = self.filescomfs(["mount"]);
        command.args(options).arg("--credentials").arg(credentials).env_remove("FILES_API_KEY");
        self.mount_by(command, "mnt-user", "state-user")
    }

    /// Mounts by a command that lacks folders, source and mount point yet.
    pub fn mount_by(&self, mut command: Command, point: &str, state: &str) -> Mount {
        let (point, state) = (self.path(point), self.path(state));
        fs::create_dir_all(&point).unwrap();
        command.arg("--cache-dir").arg(&state).arg(self.source()).arg(&point);
        let output = command.output().expect("filescomfs runs");
        assert!(output.status.success(), "mount failed: {}", told(&output));
        Mount::at(point, state)
    }

    /// The bytes of a file below the mounted folder, as the site holds them.
    pub fn stored(&self, name: &str) -> Option<Vec<u8>> {
        self.site.read(&format!("{FOLDER}/{name}"))
    }

    /// Names below the mounted folder that the site holds as files.
    pub fn stored_names(&self) -> Vec<String> {
        let prefix = format!("{FOLDER}/");
        self.site.files().keys().filter_map(|path| path.strip_prefix(&prefix)).map(str::to_owned).collect()
    }

    /// How often a kind of request was made.
    pub fn requests(&self, kind: &str) -> usize {
        self.site.requests().iter().filter(|request| request.kind == kind).count()
    }

    /// Has any request named such a path?
    pub fn was_named(&self, part: &str) -> bool {
        self.site.requests().iter().any(|request| request.path.contains(part))
    }
}

/// A mount that is taken down with the test, whatever became of it.
pub struct Mount {
    pub point: PathBuf,
    pub state: PathBuf,
    pub pid: i32,
}

impl Mount {
    /// A mount that the test made by other ways.
    pub fn at(point: PathBuf, state: PathBuf) -> Self {
        let mut mount = Self { point, state, pid: 0 };
        mount.pid = mount.status()["pid"].as_u64().expect("a pid") as i32;
        mount
    }

    /// A path in the mount.
    pub fn path(&self, name: &str) -> PathBuf {
        self.point.join(name)
    }

    /// `filescomfs status --json`.
    pub fn status(&self) -> Value {
        let output =
            filescomfs().args(["status", "--json"]).arg(&self.point).output().expect("filescomfs runs");
        assert!(output.status.success(), "status failed: {}", told(&output));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// `filescomfs umount`, which must succeed.
    pub fn umount(self) {
        let output = self.try_umount(&[]);
        assert!(output.status.success(), "umount failed: {}", told(&output));
        assert!(!is_running(self.pid), "the daemon is still there after umount");
    }

    /// `filescomfs umount` with more options.
    pub fn try_umount(&self, options: &[&str]) -> Output {
        filescomfs().arg("umount").args(options).arg(&self.point).output().expect("filescomfs runs")
    }

    /// SIGKILL, and the dead mount taken away.
    pub fn kill(self) {
        kill(self.pid, libc::SIGKILL);
        wait_until("the daemon is dead", || !is_running(self.pid));
        let _ = Command::new("fusermount3").arg("-uz").arg(&self.point).output();
    }

    /// What the daemon logged. That it logs at all is seen by its first line: where that is missing, nothing that is
    /// not in the log would mean anything.
    pub fn log(&self) -> String {
        let path = self.log_file();
        let log = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(log.contains("credentials from"), "this is no log of a mount:\n{log}");
        log
    }

    fn log_file(&self) -> PathBuf {
        self.state.join("state/filescomfs.log")
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.log_file()).unwrap_or_else(|error| format!("none: {error}"));
            eprintln!("log of {}:\n{log}", self.point.display());
        }
        if is_mounted(&self.point) {
            let _ = Command::new("fusermount3").arg("-uz").arg(&self.point).output();
        }
        if self.pid > 0 && is_running(self.pid) {
            kill(self.pid, libc::SIGKILL);
        }
    }
}

/// Sends a signal.
pub fn kill(pid: i32, signal: i32) {
    // SAFETY: kill has no memory effects; the pid is that of a daemon that this test started.
    unsafe { libc::kill(pid, signal) };
}

/// Is there such a process, and not a zombie?
pub fn is_running(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

/// Is something mounted there?
pub fn is_mounted(point: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("the kernel tells what is mounted");
    mounts.lines().any(|line| line.split(' ').nth(1).map(OsStr::new) == Some(point.as_os_str()))
}

/// Waits for what must come.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let watch = Stopwatch::start();
    while !is_so() {
        assert!(watch.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Everything that a command said.
pub fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}: {}{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// Runs a tool that must succeed.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} cannot run: {error}"));
    assert!(output.status.success(), "{command:?}: {}", told(&output));
    output
}

/// Runs a line of shell that must succeed.
pub fn sh(line: &str) -> Output {
    run(Command::new("sh").arg("-ec").arg(line))
}

/// Bytes that repeat nothing, the same for the same seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// A small tree of files and folders of different sizes and ages.
pub fn plant_tree(root: &Path) {
    for (folder, count) in [("docs", 12), ("docs/deep/deeper", 5), ("photos 2024 (summer)", 7), ("empty", 0)]
    {
        let folder = root.join(folder);
        fs::create_dir_all(&folder).unwrap();
        for n in 0..count {
            let path = folder.join(format!("file {n}.dat"));
            fs::write(&path, noise(n + 1, (n as usize * 7919) % 60_000)).unwrap();
            let time = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000 + n * 86_400);
            fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        }
    }
}

/// Both trees hold the same names, bytes and modification times.
pub fn same_trees(left: &Path, right: &Path) {
    let compared = run(Command::new("rsync")
        .args(["-aicn", "--delete", "--no-o", "--no-g", "--no-p"])
        .args([format!("{}/", left.display()), format!("{}/", right.display())]));
    let differences = String::from_utf8_lossy(&compared.stdout).into_owned();
    assert!(differences.trim().is_empty(), "the trees differ:\n{differences}");
}
