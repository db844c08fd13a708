//! What is open for writing is told apart from what is owed: a receiver that keeps one file open all day
//! (`pg_receivewal`, barman) does not keep every `sync` from succeeding.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Output;

use filescomfs::emulator::{Effect, Fault};

use crate::stage::{Stage, told};

fn sync(stage: &Stage, point: &Path, more: &[&str]) -> Output {
    stage.filescomfs(["sync", "--timeout", "20s"]).arg(point).args(more).output().unwrap()
}

#[test]
fn sync_waits_for_what_was_closed_and_names_what_is_open() {
    for close in ["verified", "journaled"] {
        let mut stage = Stage::new();
        let mount = stage.mount(&["--close", close]);
        fs::create_dir(mount.path("wal")).unwrap();
        let mut open = File::create(mount.path("wal/000000010000000000000001.partial")).unwrap();
        open.write_all(b"the first records").unwrap();
        open.sync_all().unwrap();
        open.write_all(b"and more").unwrap();
        fs::write(mount.path("closed"), "closed").unwrap();

        let done = sync(&stage, &mount.point, &[]);
        assert!(done.status.success(), "{close}: {}", told(&done));
        let text = told(&done);
        assert!(text.contains("1 file is open for writing") && text.contains("01.partial"), "{text}");
        assert_eq!(stage.stored("closed").unwrap(), b"closed");
        let ran = stage.filescomfs(["run"]).arg(&mount.point).args(["--", "true"]).output().unwrap();
        assert!(ran.status.success() && told(&ran).contains("01.partial"), "{}", told(&ran));
        let manifest = stage.path(close);
        let listed = sync(&stage, &mount.point, &["--manifest", manifest.to_str().unwrap()]);
        assert!(listed.status.success() && told(&listed).contains("01.partial"), "{}", told(&listed));
        let lines = fs::read_to_string(&manifest).unwrap();
        assert!(lines.contains("closed") && !lines.contains("partial"), "{lines}");

        let strict = sync(&stage, &mount.point, &["--strict"]);
        assert_eq!(strict.status.code(), Some(8), "{}", told(&strict));
        let ran = stage.filescomfs(["run", "--strict"]).arg(&mount.point).args(["--", "true"]).output();
        assert_eq!(ran.unwrap().status.code(), Some(8));
        drop(open);
        let strict = sync(&stage, &mount.point, &["--strict"]);
        assert!(strict.status.success() && !told(&strict).contains("open"), "{}", told(&strict));
        assert_eq!(
            stage.stored("wal/000000010000000000000001.partial").unwrap(),
            b"the first recordsand more"
        );
        mount.umount();
    }
}

#[test]
fn what_was_closed_and_is_open_again_is_owed() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--close", "journaled"]);
    stage.site.inject(Fault { times: 0, ..Fault::on("begin_upload", Effect::Proxy { status: 503 }) });
    fs::write(mount.path("f"), "closed, and acknowledged").unwrap();
    let mut again = File::options().append(true).open(mount.path("f")).unwrap();
    again.write_all(b", and open again").unwrap();
    let owed = sync(&stage, &mount.point, &["--timeout", "1s"]);
    assert_eq!(owed.status.code(), Some(8), "{}", told(&owed));
    stage.site.clear_faults();
    drop(again);
    let done = sync(&stage, &mount.point, &[]);
    assert!(done.status.success(), "{}", told(&done));
    assert_eq!(stage.stored("f").unwrap(), b"closed, and acknowledged, and open again");
    mount.umount();
}
