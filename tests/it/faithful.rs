//! Whole trees with everything that a file can have, through tools, as root and as an ordinary user, and back
//! through a mount that knows nothing.

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::stage::{KEY, Stage, noise, run, sh, told};

/// Somebody without any rights of his own: nobody and nogroup.
const ORDINARY: u32 = 65_534;

fn is_root() -> bool {
    // SAFETY: only reads the identity of this process.
    unsafe { libc::geteuid() == 0 }
}

/// Names, modes, owners, times, targets and extended attributes that tools must bring back.
fn plant(root: &Path, as_root: bool) {
    fs::create_dir_all(root.join("deep/er")).unwrap();
    for (n, mode) in [0o644, 0o600, 0o755, 0o4755, 0o2755, 0o1644, 0o444, 0o640].into_iter().enumerate() {
        let file = root.join(format!("deep/file {n:o} ü"));
        fs::write(&file, noise(n as u64, n * 1000)).unwrap();
        if as_root {
            std::os::unix::fs::chown(&file, Some(1000 + n as u32), Some(2000 + n as u32)).unwrap();
        }
        sh(&format!("setfattr -n user.n -v {n} '{}'", file.display()));
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        sh(&format!("touch -d '20{:02}-03-04 05:06:07.{n}23456789' '{}'", n + 1, file.display()));
    }
    let odd = OsString::from_vec(b"deep/er/back\\slash \xff tail ".to_vec());
    fs::write(root.join(odd), "odd").unwrap();
    fs::write(root.join("deep/er/README"), "upper").unwrap();
    fs::write(root.join("deep/er/readme"), "lower").unwrap();
    fs::hard_link(root.join("deep/er/README"), root.join("second name")).unwrap();
    symlink("../nowhere", root.join("deep/er/dangling")).unwrap();
    symlink("/etc/hostname", root.join("absolute")).unwrap();
    sh(&format!("setfattr -n user.of.folder -v 0sAAECAwT/ '{}'", root.join("deep").display()));
    sh(&format!("head -c 3000 /dev/urandom | base64 -w0 > {0}.value", root.display()));
    let value = fs::read_to_string(format!("{}.value", root.display())).unwrap();
    sh(&format!("setfattr -n user.large -v 0s{value} '{}'", root.join("deep/er/README").display()));
    if as_root {
        sh(&format!(
            "cd {} && chown -h 7:8 deep/er/dangling && chown 9:10 deep/er && chmod 3770 deep/er",
            root.display()
        ));
    }
    sh(&format!(
        "cd {} && touch -h -d '2003-03-03 03:03:03.333333333' absolute deep/er/dangling",
        root.display()
    ));
    sh(&format!(
        "cd {} && touch -d '1969-12-31 12:00:00.5' deep/er && touch -d 2010-10-10 deep .",
        root.display()
    ));
}

/// One line for each entry: everything but its links and its place on the disk.
fn told_of(root: &Path) -> String {
    let found = sh(&format!(
        "cd {} && find . -printf '%p|%y|%m|%U|%G|%s|%T@|%l\\n' | sed 's/|d|\\([^|]*|[^|]*|[^|]*|\\)[0-9]*|/|d|\\1|/' \
         | LC_ALL=C sort && find . -type f -exec md5sum {{}} + | LC_ALL=C sort \
         && find . ! -type l -print0 | LC_ALL=C sort -z | xargs -0 getfattr -d -m - -e hex",
        root.display()
    ));
    String::from_utf8_lossy(&found.stdout).into_owned()
}

fn same(left: &Path, right: &Path) {
    let (left_told, right_told) = (told_of(left), told_of(right));
    for (left, right) in left_told.lines().zip(right_told.lines()) {
        assert_eq!(left, right);
    }
    assert_eq!(left_told.lines().count(), right_told.lines().count());
    let mut command = Command::new("rsync");
    command.args(["-aAXicn", "--delete"]);
    let compared = run(command.args([left, right].map(|path| format!("{}/", path.display()))));
    assert_eq!(String::from_utf8_lossy(&compared.stdout), "", "the trees differ");
}

#[test]
fn root_brings_everything_there_and_back() {
    if !is_root() {
        // The test below is the one for ordinary users.
        return;
    }
    for options in [&["--hard-links", "copy"][..], &["--hard-links", "copy", "--close", "journaled"]] {
        let mut stage = Stage::new();
        let source = stage.path("source");
        plant(&source, true);
        let mount = stage.mount(options);
        let (from, to) = (source.display(), mount.point.display());
        sh(&format!("rsync -aAXH {from}/ {to}/rsync/"));
        sh(&format!("cp -a {from} {to}/cp"));
        sh(&format!(
            "mkdir {to}/tar && tar -C {from} --xattrs --acls -cf - . | tar -C {to}/tar --xattrs --acls -xpf -"
        ));
        let again = sh(&format!("rsync -aAXi {from}/ {to}/rsync/"));
        assert_eq!(String::from_utf8_lossy(&again.stdout), "", "a second run finds nothing to do");
        mount.umount();
        let mount = stage.mount(&[]);
        for tool in ["rsync", "cp", "tar"] {
            same(&source, &mount.path(tool));
        }
        sh(&format!("rsync -aAXH {}/rsync/ {}/", mount.point.display(), stage.path("back").display()));
        same(&source, &stage.path("back"));
        mount.umount();
    }
}

/// What an ordinary user does, in a folder that is open to all: the tests of a build run as root. `/dev/fuse` is
/// open to all, too, as udev makes it; where it is not, in containers, in a mount namespace of his own.
pub struct Ordinary {
    pub folder: PathBuf,
    pub program: PathBuf,
    /// Keeps the namespace.
    home: Option<Child>,
}

impl Ordinary {
    /// Who mounts for himself, or uses what root has mounted.
    pub fn new(stage: &Stage, mounts: bool) -> Self {
        let folder = stage.path("ordinary");
        fs::create_dir(&folder).unwrap();
        let open = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        open(folder.parent().unwrap(), 0o755);
        open(&folder, 0o777);
        // Where it was built, nobody else may look.
        let program = folder.join("filescomfs");
        fs::copy(crate::stage::built(), &program).unwrap();
        let home = (mounts && is_root()).then(|| {
            // Mounts of other tests are copied into the namespace, and would not end as long as it lives.
            let line = "umount -l -a -t fuse.filescomfs || true; mkdir dev && mount -t tmpfs none dev && mknod dev/fuse c 10 229 && chmod 666 dev/fuse \
                        && mount --bind dev/fuse /dev/fuse && echo && exec sleep 600";
            let mut command = Command::new("unshare");
            command.args(["--mount", "--propagation", "private", "sh", "-ec", line]).current_dir(&folder);
            let mut home = command.stdout(Stdio::piped()).spawn().unwrap();
            let ready = home.stdout.as_mut().map(|told| told.read(&mut [0]).unwrap());
            assert_eq!(ready, Some(1), "there is no namespace with a /dev/fuse for all");
            home
        });
        Self { folder, program, home }
    }

    /// Inside of the namespace, as root.
    fn inside(&self, words: &[&str]) -> Command {
        let mut command = crate::stage::program("env");
        if let Some(home) = &self.home {
            command.args(["nsenter", &format!("--mount=/proc/{}/ns/mnt", home.id())]);
        }
        command.args(words);
        command
    }

    pub fn command(&self, line: &str) -> Command {
        let ids = [format!("--reuid={ORDINARY}"), format!("--regid={ORDINARY}")];
        let mut words = vec!["setpriv", &ids[0], &ids[1], "--clear-groups"];
        words.truncate(if is_root() { words.len() } else { 0 });
        let line = format!("cd {} && {line}", self.folder.display());
        words.extend(["sh", "-ec", &line]);
        let mut command = self.inside(&words);
        command.env("HOME", &self.folder).env("FILES_API_KEY", KEY);
        command
    }

    pub fn sh(&self, line: &str) -> String {
        let told = run(&mut self.command(line));
        String::from_utf8_lossy(&told.stdout).into_owned()
    }

    fn mount(&self, stage: &Stage, state: &str, options: &str) {
        self.sh(&format!(
            "mkdir -p mnt && {} mount {options} --cache-dir {state} {} mnt && findmnt mnt",
            self.program.display(),
            stage.source()
        ));
    }

    fn umount(&self) {
        self.sh(&format!("{} umount mnt", self.program.display()));
    }
}

impl Drop for Ordinary {
    fn drop(&mut self) {
        let point = self.folder.join("mnt");
        let _ = self.inside(&["fusermount3", "-uqz"]).arg(&point).output();
        if let Some(home) = &mut self.home {
            let _ = home.kill();
            let _ = home.wait();
        }
    }
}

#[test]
fn an_ordinary_user_brings_everything_there_and_back() {
    let stage = Stage::new();
    let user = Ordinary::new(&stage, true);
    let source = user.folder.join("source");
    plant(&source, false);
    if is_root() {
        sh(&format!(
            "chown -hR {ORDINARY}:{ORDINARY} {0} && chmod u+s '{0}/deep/file 3 ü'",
            source.display()
        ));
        sh(&format!("chmod g+s '{}/deep/file 4 ü'", source.display()));
    }
    user.mount(&stage, "state1", "--hard-links copy");
    user.sh("rsync -aAXH source/ mnt/rsync/ && cp -a source mnt/cp");
    assert_eq!(user.sh("rsync -aAXi source/ mnt/rsync/"), "", "a second run finds nothing to do");
    user.umount();
    user.mount(&stage, "state2", "");
    user.sh("rsync -aAXH mnt/rsync/ rsync/ && cp -a mnt/cp cp");
    // Owners as the user sees them: all his own, and stored as that, for whoever mounts it next.
    assert_eq!(user.sh("find mnt/rsync ! -user $(id -u)"), "");
    user.umount();
    for back in ["rsync", "cp"] {
        same(&source, &user.folder.join(back));
    }
    let stored = stage.site.files();
    let owner = format!(" uid={ORDINARY} gid={ORDINARY}");
    assert!(stored.values().all(|file| format!("{:?}", file.custom_metadata).contains(&owner)));
}

#[test]
fn an_ordinary_user_may_do_what_the_modes_allow() {
    let stage = Stage::new();
    let user = Ordinary::new(&stage, true);
    stage.site.put("backups/theirs", b"x");
    stage.site.mkdir("backups/folder");
    user.mount(&stage, "state", "--uid 1234 --gid 1235 --umask 022");
    assert_eq!(user.sh("stat -c '%u %g %a' mnt/theirs mnt/folder"), "1234 1235 644\n1234 1235 755\n");
    // The owner that is shown is another: the mode has no bit for us, although we have mounted it.
    let refused = user.command("echo x > mnt/theirs").output().unwrap();
    assert!(!refused.status.success() && told(&refused).contains("denied"), "{}", told(&refused));
    user.umount();
    user.mount(&stage, "state", "");
    user.sh("cat mnt/theirs && echo mine > mnt/mine && chmod 600 mnt/mine");
    let refused = user.command("chown 0 mnt/mine").output().unwrap();
    assert!(told(&refused).contains("not permitted"), "{}", told(&refused));
    if is_root() {
        // Not even root looks into it, unless the user lets others in.
        let refused = user.inside(&["ls"]).arg(user.folder.join("mnt")).output().unwrap();
        assert!(told(&refused).contains("denied"), "{}", told(&refused));
    }
    user.umount();
}

#[test]
fn others_are_let_in_by_their_modes_alone() {
    if !is_root() {
        // Only root may do that without /etc/fuse.conf.
        return;
    }
    let stage = Stage::new();
    let user = Ordinary::new(&stage, false);
    let mount = stage.mount_at("ordinary/open", "state", &["--allow-other"]);
    fs::write(mount.path("secret"), "x").unwrap();
    fs::set_permissions(mount.path("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::create_dir(mount.path("drop")).unwrap();
    fs::set_permissions(mount.path("drop"), fs::Permissions::from_mode(0o1777)).unwrap();
    fs::write(mount.path("drop/roots"), "x").unwrap();
    let refused = |line: &str| {
        let told = user.command(line).output().unwrap();
        assert!(!told.status.success(), "{line}");
    };
    refused("cat open/secret");
    refused("echo x > open/new");
    refused("rm -f open/drop/roots");
    assert_eq!(user.sh("echo mine > open/drop/mine && setfattr -n user.a -v b open/drop/mine && stat -c '%u %g' open/drop/mine"), "65534 65534\n");
    mount.umount();
    let mount = stage.mount_at("ordinary/open", "state2", &["--allow-other"]);
    assert_eq!(user.sh("stat -c '%u %g' open/drop/mine && cat open/drop/mine"), "65534 65534\nmine\n");
    mount.umount();
}
