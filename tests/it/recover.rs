//! What a mount left that ended before its time, seen and copied without a mount.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Output;
use std::time::{Duration, UNIX_EPOCH};

use filescomfs::emulator::{Effect, Fault};
use serde_json::Value;

use crate::stage::{FOLDER, Stage, told};

fn recover(stage: &Stage, state: &str, arguments: &[&str]) -> Output {
    let folder = stage.path(state).join("state");
    stage.filescomfs(["recover"]).arg(folder).args(arguments).output().unwrap()
}

#[test]
fn a_crashed_mount_is_looked_at_copied_out_and_taken_up_by_the_next() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/published"), b"there");
    let mount = stage.mount_with_state("state", &["--close", "journaled"]);
    fs::create_dir(mount.path("d")).unwrap();
    stage.site.inject(Fault { times: 0, ..Fault::on("begin_upload", Effect::Stall) });
    let path = mount.path("d/owed");
    fs::write(&path, "precious").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let time = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    fs::File::open(&path).unwrap().sync_all().unwrap();
    std::os::unix::fs::symlink("owed", mount.path("d/link")).unwrap();
    let pid = mount.pid;
    let refused = recover(&stage, "state", &["--plan"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(told(&refused).contains(&format!("process {pid}")), "{}", told(&refused));
    // Behind the last command: whoever is started inherits the descriptor, and its close makes durable.
    let half = fs::File::create(mount.path("half")).unwrap();
    std::io::Write::write_all(&mut &half, b"half").unwrap();
    mount.kill();
    drop(half);

    let plan = |stage: &Stage| -> Value {
        let output = recover(stage, "state", &["--plan", "--json"]);
        assert!(output.status.success(), "{}", told(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let first = plan(&stage);
    let owed: Vec<&str> =
        first["owed"].as_array().unwrap().iter().map(|it| it["path"].as_str().unwrap()).collect();
    assert_eq!(owed, ["/backups/d/owed", "/backups/d/link"]);
    assert_eq!((first["owed"][0]["size"].as_u64(), first["unknown"][0]["size"].as_u64()), (Some(8), Some(4)));
    assert_eq!(plan(&stage)["unknown"].as_array().map(Vec::len), Some(1), "a plan changes nothing");

    let out = stage.path("out");
    let carried_out = recover(&stage, "state", &["--export", out.to_str().unwrap()]);
    assert!(carried_out.status.success(), "{}", told(&carried_out));
    assert!(told(&carried_out).contains("Set aside now: 1"), "{}", told(&carried_out));
    let copy = fs::metadata(out.join("backups/d/owed")).unwrap();
    assert_eq!(fs::read(out.join("backups/d/owed")).unwrap(), b"precious");
    assert_eq!((copy.mode() & 0o7777, copy.modified().unwrap()), (0o640, time));
    assert_eq!(fs::read_link(out.join("backups/d/link")).unwrap().to_str(), Some("owed"));
    let after = plan(&stage);
    assert_eq!(
        (after["unknown"].as_array().map(Vec::len), after["quarantine"].as_array().map(Vec::len)),
        (Some(0), Some(1))
    );

    stage.site.clear_faults();
    let mount = stage.mount_with_state("state", &[]);
    mount.umount();
    assert_eq!(stage.stored("d/owed").unwrap(), b"precious");
    let nothing = recover(&stage, "state", &["--plan"]);
    assert!(
        told(&nothing).contains("Set aside earlier: 1") && !told(&nothing).contains("Owed"),
        "{}",
        told(&nothing)
    );
}

#[test]
fn attributes_that_travelled_with_owed_bytes_are_not_owed_any_more() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/f"), b"old");
    for kind in ["patch", "begin_upload"] {
        stage.site.inject(Fault { times: 0, ..Fault::on(kind, Effect::Stall) });
    }
    let mount = stage.mount_with_state("state", &["--close", "journaled"]);
    let path = mount.path("f");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    fs::write(&path, "new").unwrap();
    mount.kill();
    let plan = || -> Value {
        serde_json::from_slice(&recover(&stage, "state", &["--plan", "--json"]).stdout).unwrap()
    };
    let before = plan();
    assert_eq!(
        (&before["owed"][0]["path"], &before["entries"][0]["path"]),
        (&"/backups/f".into(), &"/backups/f".into())
    );

    stage.site.clear_faults();
    stage.mount_at("again", "state", &[]).umount();
    assert_eq!(stage.stored("f").unwrap(), b"new");
    let after = plan();
    assert_eq!((&after["owed"], &after["entries"]), (&Value::Array(vec![]), &Value::Array(vec![])));
}

#[test]
fn a_folder_that_is_no_state_folder_is_left_alone() {
    let stage = Stage::new();
    fs::create_dir_all(stage.path("other/state")).unwrap();
    let refused = recover(&stage, "other", &[]);
    assert_eq!(refused.status.code(), Some(2), "{}", told(&refused));
    assert_eq!(fs::read_dir(stage.path("other/state")).unwrap().count(), 0);
}
