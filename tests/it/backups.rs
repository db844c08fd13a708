//! restic and borg, as their users run them, in both close modes: init, backup, a full check and a restore from
//! a mount that knows nothing; and with the mount killed in the middle of a backup.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use filescomfs::emulator::{Effect, Fault};

use crate::crash::daemon::{Daemon, ask};
use crate::stage::{Stage, noise, plant_tree, run, same_trees, told, wait_until};

const MODES: [&[&str]; 2] = [&[], &["--close", "journaled"]];

/// A backup tool with its repository in a mount.
struct Tool<'a> {
    name: &'static str,
    stage: &'a Stage,
    repository: PathBuf,
}

impl Tool<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.name);
        command
            .args(arguments)
            .env("RESTIC_REPOSITORY", &self.repository)
            .env("RESTIC_PASSWORD", "secret")
            .env("BORG_REPO", &self.repository)
            .env("BORG_BASE_DIR", self.stage.path("borg"))
            .env("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes")
            .env("BORG_RELOCATED_REPO_ACCESS_IS_OK", "yes")
            .current_dir(self.stage.path("source"))
            .stdin(Stdio::null());
        if self.name == "restic" {
            command.arg("--no-cache");
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        run(&mut self.command(arguments))
    }

    fn is_restic(&self) -> bool {
        self.name == "restic"
    }

    fn init(&self) {
        self.run(if self.is_restic() { &["init"] } else { &["init", "--encryption=none"] });
    }

    fn backup_arguments<'b>(&self, archive: &'b str) -> Vec<&'b str> {
        if self.is_restic() {
            vec!["backup", "--tag", archive, "tree"]
        } else {
            vec!["create", archive, "tree"]
        }
    }

    fn backup(&self, archive: &str) {
        self.run(&self.backup_arguments(archive));
    }

    /// Every byte of the repository is read.
    fn check(&self) {
        self.run(if self.is_restic() { &["check", "--read-data"] } else { &["check", "--verify-data"] });
    }

    /// The last backup is what was backed up.
    fn restore(&self, archive: &str) {
        let back = self.stage.path("back");
        let _ = fs::remove_dir_all(&back);
        fs::create_dir(&back).unwrap();
        let target = back.to_str().unwrap();
        let mut command = match self.is_restic() {
            true => self.command(&["restore", "latest", "--tag", archive, "--target", target]),
            false => self.command(&["extract", archive]),
        };
        run(command.current_dir(&back));
        same_trees(&self.stage.path("source/tree"), &back.join("tree"));
    }

    /// Locks that a dead backup left.
    fn unlock(&self) {
        self.run(if self.is_restic() { &["unlock"] } else { &["break-lock"] });
    }
}

/// A borg archive is named behind two colons.
fn archive(tool: &str, number: u32) -> String {
    if tool == "borg" { format!("::{number}") } else { number.to_string() }
}

fn mount(stage: &Stage, state: &str, options: &[&str]) -> Daemon {
    let mut daemon = Daemon::start(stage, &format!("mnt-{state}"), state, options, &[]);
    assert!(daemon.answers().unwrap(), "it died");
    daemon
}

fn sync(stage: &Stage, point: &Path) {
    let output = ask(stage, "sync", point);
    assert!(output.status.success(), "{}", told(&output));
}

fn plant(stage: &Stage) {
    plant_tree(&stage.path("source/tree"));
    fs::write(stage.path("source/tree").join("large"), noise(99, 3 << 20)).unwrap();
}

/// Reads everything through a mount that knows nothing.
fn judge(stage: &Stage, name: &'static str, state: &str, number: u32) {
    let fresh = mount(stage, state, &[]);
    let tool = Tool { name, stage, repository: fresh.point.join("repo") };
    tool.check();
    tool.restore(&archive(name, number));
}

fn goes_through_a_crash(name: &'static str, options: &[&str]) {
    let stage = Stage::in_memory(|site| site.checksum_delay_ms = 0);
    plant(&stage);
    let daemon = mount(&stage, "state", options);
    let tool = Tool { name, stage: &stage, repository: daemon.point.join("repo") };
    tool.init();
    tool.backup(&archive(name, 1));
    sync(&stage, &daemon.point);
    judge(&stage, name, "fresh1", 1);

    // Files.com takes no bytes any more: the backup cannot be further than in its middle when the mount dies.
    fs::write(stage.path("source/tree").join("more"), noise(7, 2 << 20)).unwrap();
    stage.site.inject(Fault { times: 0, ..Fault::on("part", Effect::Stall) });
    stage.site.clear_requests();
    let mut backup: Child = tool
        .command(&tool.backup_arguments(&archive(name, 2)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the backup sends something", || stage.requests("begin_upload") > 0);
    drop(daemon);
    // restic would try again for a quarter of an hour.
    let _ = backup.kill();
    let _ = backup.wait();
    stage.site.clear_faults();

    let daemon = mount(&stage, "state", options);
    sync(&stage, &daemon.point);
    tool.unlock();
    tool.check();
    tool.backup(&archive(name, 3));
    sync(&stage, &daemon.point);
    drop(daemon);
    judge(&stage, name, "fresh2", 3);
}

#[test]
fn restic_goes_through_a_crash_of_the_mount_and_its_repository_is_whole() {
    MODES.into_iter().for_each(|options| goes_through_a_crash("restic", options));
}

#[test]
fn borg_goes_through_a_crash_of_the_mount_and_its_repository_is_whole() {
    MODES.into_iter().for_each(|options| goes_through_a_crash("borg", options));
}

#[test]
fn the_second_of_two_borg_writers_waits_or_fails_cleanly() {
    for options in MODES {
        let stage = Stage::in_memory(|site| site.checksum_delay_ms = 0);
        plant(&stage);
        let daemon = mount(&stage, "state", options);
        let tool = Tool { name: "borg", stage: &stage, repository: daemon.point.join("repo") };
        tool.init();
        tool.backup("::1");
        // The first writer holds the lock until it is told to let go.
        let (held, release) = (stage.path("held"), stage.path("release"));
        let repository = tool.repository.to_str().unwrap();
        let script =
            format!("touch {}; until test -e {}; do sleep 0.05; done", held.display(), release.display());
        let mut first = tool.command(&["with-lock", repository, "sh", "-c", &script]).spawn().unwrap();
        wait_until("the first writer has the lock", || held.exists());
        let refused = tool.command(&["create", "--lock-wait", "0", "::2", "tree"]).output().unwrap();
        assert!(!refused.status.success(), "two writers at once");
        assert!(told(&refused).contains("lock"), "{}", told(&refused));
        let second = tool.command(&["create", "--lock-wait", "60", "::2", "tree"]).spawn().unwrap();
        fs::write(&release, "").unwrap();
        assert!(first.wait().unwrap().success());
        let second = second.wait_with_output().unwrap();
        assert!(second.status.success(), "{}", told(&second));
        sync(&stage, &daemon.point);
        judge(&stage, "borg", "fresh", 2);
    }
}
