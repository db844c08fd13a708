//! What Files.com acknowledged and holds damaged, as it states itself a while later.

use std::fs;
use std::process::Output;
use std::time::Duration;

use filescomfs::emulator::{Effect, Fault};

use crate::stage::{FOLDER, Mount, Stage, noise, run, told, wait_until};

fn manifest(stage: &Stage, mount: &Mount) -> Output {
    let arguments = ["sync", "--timeout", "1m", "--manifest", "-"];
    stage.filescomfs(arguments).arg(&mount.point).output().unwrap()
}

fn word(mount: &Mount, name: &str, file: &str) -> String {
    let mut getfattr = std::process::Command::new("getfattr");
    let shown =
        run(getfattr.args(["--only-values", "-n", &format!("user.filescomfs.{name}")]).arg(mount.path(file)));
    String::from_utf8_lossy(&shown.stdout).into_owned()
}

/// The next part is stored damaged, under the ETag of what was sent.
fn damage(stage: &Stage) {
    stage.site.inject(Fault::on("part", Effect::FlipStored));
}

#[test]
fn what_the_site_states_later_is_waited_for_by_a_manifest_and_what_it_contradicts_is_sent_again() {
    for close in ["verified", "journaled"] {
        let mut stage = Stage::with(|site| site.checksum_delay_ms = 1000);
        stage.site.put(&format!("{FOLDER}/theirs"), b"stated");
        stage.site.advance(Duration::from_secs(2));
        let mount = stage.mount(&["--close", close]);
        let bytes = noise(1, 100_000);
        damage(&stage);
        fs::write(mount.path("f"), &bytes).unwrap();
        let first = manifest(&stage, &mount);
        let is_good = || stage.stored("f").is_some_and(|stored| stored == bytes);
        // Unless it was sent again before the manifest was done.
        assert!(first.status.code() == Some(8) || is_good(), "{close}: {}", told(&first));
        wait_until("it is sent again", is_good);
        assert_eq!(mount.status()["contradicted"], 1);
        assert!(mount.log().contains("the copy there is damaged; it is sent again"), "{}", mount.log());
        let second = manifest(&stage, &mount);
        assert_eq!(second.status.code(), Some(0), "{close}: {}", told(&second));
        assert_eq!(word(&mount, "state", "f"), "verified");
        mount.umount();
    }
}

/// A file that is damaged there, is not here any more, and is known to be so.
fn lost() -> (Stage, Mount, Vec<u8>) {
    let mut stage = Stage::with(|site| site.checksum_delay_ms = 60_000);
    let mount = stage.mount(&["--cache-size", "5M"]);
    let bytes = noise(2, 1 << 20);
    damage(&stage);
    fs::write(mount.path("f"), &bytes).unwrap();
    for n in 0..3 {
        fs::write(mount.path(&format!("later{n}")), noise(n, 2 << 20)).unwrap();
    }
    stage.site.advance(Duration::from_secs(61));
    let told_so = manifest(&stage, &mount);
    assert_eq!(told_so.status.code(), Some(8), "{}", told(&told_so));
    assert!(told(&told_so).contains("1 files are damaged on Files.com"), "{}", told(&told_so));
    (stage, mount, bytes)
}

#[test]
fn what_is_damaged_there_and_not_here_any_more_is_named_until_it_is_written_again() {
    let (stage, mount, bytes) = lost();
    assert_eq!(word(&mount, "state", "f"), "damaged");
    assert!(word(&mount, "error", "f").contains("the copy there is damaged"));
    let read = fs::read(mount.path("f"));
    assert_eq!(read.err().and_then(|error| error.raw_os_error()), Some(libc::EIO));
    let held = run(stage.filescomfs(["held"]).arg(&mount.point).arg("list"));
    assert!(told(&held).contains("/backups/f (1.0 MiB): Files.com states the MD5"), "{}", told(&held));
    fs::write(mount.path("f"), &bytes).unwrap();
    assert_eq!(manifest(&stage, &mount).status.code(), Some(0));
    assert_eq!(mount.status()["held"], serde_json::json!([]));
    mount.umount();
}

#[test]
fn a_person_may_take_what_is_there_for_the_file() {
    let (stage, mount, bytes) = lost();
    run(stage.filescomfs(["held"]).arg(&mount.point).args(["discard", "--all", "--yes"]));
    let there = fs::read(mount.path("f")).unwrap();
    assert!(there.len() == bytes.len() && there != bytes);
    assert_eq!(word(&mount, "state", "f"), "stored");
    mount.umount();
}
