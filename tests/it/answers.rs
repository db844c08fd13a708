//! Answers that are errors, or say nothing, although it was done: what a user of the mount sees of them, and what
//! another client finds untouched.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, UNIX_EPOCH};

use filescomfs::emulator::{Effect, Fault};

use crate::close::write_and_close;
use crate::faults::{refusal, stated_time};
use crate::stage::{FOLDER, Mount, Stage, told, wait_until};

const VERIFIED: [&str; 2] = ["--hard-links", "copy"];
const JOURNALED: [&str; 4] = ["--hard-links", "copy", "--close", "journaled"];

fn sync(stage: &Stage, mount: &Mount) {
    let done = stage.filescomfs(["sync", "--timeout", "1m"]).arg(&mount.point).output().unwrap();
    assert!(done.status.success(), "{}", told(&done));
}

fn page(status: u16, body: &str) -> Effect {
    let headers = vec![("Content-Type".into(), "text/html".into())];
    Effect::Answer { status, headers, body: body.into() }
}

/// What may be answered to a change that was made.
fn answers() -> Vec<Effect> {
    let mut answers = vec![
        Effect::Reset,
        refusal("rate-limited/too-many-requests", None),
        page(200, "<html>Welcome to the hotel</html>"),
        Effect::Answer {
            status: 200,
            headers: vec![("Content-Type".into(), "application/json".into())],
            body: "{}".into(),
        },
    ];
    answers.extend([429, 500, 502, 503, 504].map(|status| Effect::Proxy { status }));
    answers
}

/// Makes one change by way of the mount, in a folder of its own, and answers with what to look for on the site.
fn change(stage: &Stage, mount: &Mount, kind: &str, name: &str) {
    let at = |file: &str| mount.path(&format!("{name}/{file}"));
    let stored = |file: &str| stage.stored(&format!("{name}/{file}"));
    match kind {
        "mkdir" => {
            fs::create_dir(at("d")).unwrap();
            sync(stage, mount);
            assert!(stage.site.folders().contains(&format!("{FOLDER}/{name}/d")), "{name}");
        }
        "move" => {
            fs::rename(at("f"), at("g")).unwrap();
            sync(stage, mount);
            assert_eq!((stored("f"), stored("g")), (None, Some(b"bytes".to_vec())), "{name}");
        }
        "folder" => {
            fs::rename(at("sub"), at("moved")).unwrap();
            assert_eq!(fs::read(at("moved/f")).unwrap(), b"below");
            sync(stage, mount);
            assert_eq!((stored("sub/f"), stored("moved/f")), (None, Some(b"below".to_vec())), "{name}");
        }
        "copy" => {
            fs::hard_link(at("f"), at("g")).unwrap();
            sync(stage, mount);
            assert_eq!(
                (stored("f"), stored("g")),
                (Some(b"bytes".to_vec()), Some(b"bytes".to_vec())),
                "{name}"
            );
        }
        "delete" => {
            fs::remove_file(at("f")).unwrap();
            fs::remove_file(at("sub/f")).unwrap();
            fs::remove_dir(at("sub")).unwrap();
            sync(stage, mount);
            assert_eq!((stored("f"), stored("sub/f")), (None, None), "{name}");
        }
        "patch" => {
            let time = UNIX_EPOCH + Duration::from_secs(1_500_000_000);
            fs::File::options().write(true).open(at("f")).unwrap().set_modified(time).unwrap();
            sync(stage, mount);
            let stated = stated_time(stage, &format!("{name}/f"));
            assert_eq!(stated.as_deref(), Some("2017-07-14T02:40:00Z"), "{name}");
        }
        _ => {
            write_and_close(&at("f"), b"another").unwrap();
            sync(stage, mount);
            assert_eq!(stored("f").unwrap(), b"another", "{name}");
        }
    }
}

fn every_change_is_made_once(options: &[&str]) {
    let mut stage = Stage::in_memory(|site| site.checksum_delay_ms = 0);
    let kinds = ["mkdir", "move", "folder", "copy", "delete", "patch", "complete"];
    let cases: Vec<_> = kinds
        .iter()
        .flat_map(|kind| answers().into_iter().enumerate().map(move |(n, what)| (*kind, n, what)))
        .map(|(kind, n, what)| (kind, format!("{kind} {n}"), what))
        .collect();
    for (_, name, _) in &cases {
        stage.site.put(&format!("{FOLDER}/{name}/f"), b"bytes");
        stage.site.put(&format!("{FOLDER}/{name}/sub/f"), b"below");
    }
    let mount = stage.mount(options);
    for (kind, name, what) in cases {
        // A folder that moves is moved piece by piece, behind the answer.
        stage.site.change(|site| site.migration_delay_ms = if kind == "folder" { 300 } else { 0 });
        let asked = if kind == "folder" { "move" } else { kind };
        // A deleted folder is deleted after the file in it.
        stage.site.inject(Fault::on(asked, what.clone()).after_effect());
        let before = stage.requests(asked);
        change(&stage, &mount, kind, &name);
        assert_eq!(stage.site.waiting_faults(), [], "{name} {what:?}");
        let asked = stage.requests(asked) - before;
        let most = if kind == "delete" { 3 } else { 1 };
        assert!(asked <= most || kind == "folder", "{name} {what:?}: asked {asked} times");
        let status = mount.status();
        assert_eq!((&status["owed"]["files"], status["held"].as_array().map(Vec::len)), (&0.into(), Some(0)));
    }
    assert!(!mount.log().contains("ERROR"), "{}", mount.log());
    mount.umount();
}

#[test]
fn a_change_that_was_made_is_a_success_whatever_was_answered() {
    every_change_is_made_once(&VERIFIED);
}

#[test]
fn a_step_that_was_taken_is_done_whatever_was_answered() {
    every_change_is_made_once(&JOURNALED);
}

/// A site without digests, where another client replaces a file by one of the same size, later.
fn replaced(stage: &Stage, name: &str, bytes: &[u8]) {
    stage.site.advance(Duration::from_secs(60));
    stage.site.put(&format!("{FOLDER}/{name}"), bytes);
}

#[test]
fn a_delete_that_waited_spares_what_another_client_put_there_meanwhile() {
    let mut stage = Stage::with(|site| (site.md5, site.crc32) = (false, false));
    stage.site.put(&format!("{FOLDER}/f"), b"ours!");
    let mount = stage.mount(&JOURNALED);
    // The delete was never tried: it waits for a rename, which waits for a folder.
    stage.site.inject(Fault { times: 0, ..Fault::on("mkdir", Effect::Proxy { status: 503 }) });
    fs::create_dir(mount.path("d")).unwrap();
    fs::rename(mount.path("f"), mount.path("d/f")).unwrap();
    fs::remove_file(mount.path("d/f")).unwrap();
    replaced(&stage, "f", b"their");
    stage.site.clear_faults();
    sync(&stage, &mount);
    assert_eq!(stage.stored("d/f").as_deref(), Some(&b"their"[..]), "the only copy of another's file");
    assert!(mount.log().contains("was replaced by somebody else"), "{}", mount.log());
    mount.umount();
}

#[test]
fn a_delete_in_doubt_spares_what_another_client_put_there_meanwhile() {
    for options in [&VERIFIED[..], &JOURNALED[..]] {
        let mut stage = Stage::with(|site| (site.md5, site.crc32) = (false, false));
        stage.site.put(&format!("{FOLDER}/f"), b"ours!");
        let mount = stage.mount(options);
        assert!(mount.path("f").exists());
        // Deleted, and the answer is late and lost; meanwhile another client makes a file of that name.
        stage.site.inject(Fault::on("delete", Effect::Proxy { status: 503 }).after_effect());
        // A step looks before it deletes, too.
        let looks = u64::from(options == JOURNALED);
        stage.site.inject(Fault::on("stat", Effect::Delay { ms: 1500 }).skip(looks));
        let path = mount.path("f");
        let removing = std::thread::spawn(move || fs::remove_file(path));
        wait_until("it is gone there", || stage.stored("f").is_none());
        replaced(&stage, "f", b"their");
        removing.join().unwrap().unwrap();
        sync(&stage, &mount);
        assert_eq!(stage.stored("f").as_deref(), Some(&b"their"[..]), "{options:?}");
        mount.umount();
    }
}

#[test]
fn a_copy_that_was_deleted_before_it_was_made_does_not_come_back() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/f"), b"bytes");
    let mount = stage.mount(&JOURNALED);
    stage.site.inject(Fault { times: 0, ..Fault::on("copy", Effect::Proxy { status: 503 }) });
    fs::hard_link(mount.path("f"), mount.path("g")).unwrap();
    fs::rename(mount.path("g"), mount.path("h")).unwrap();
    fs::remove_file(mount.path("h")).unwrap();
    stage.site.advance(Duration::from_secs(60));
    stage.site.clear_faults();
    sync(&stage, &mount);
    assert_eq!(stage.stored_names(), ["f"]);
    mount.umount();
}

#[test]
fn a_stranger_in_the_place_of_a_copy_is_neither_taken_for_it_nor_deleted() {
    let mut stage = Stage::with(|site| (site.md5, site.crc32) = (false, false));
    stage.site.put(&format!("{FOLDER}/f"), b"ours!");
    let mount = stage.mount_with_state("state", &JOURNALED);
    stage.site.inject(Fault { times: 0, ..Fault::on("copy", Effect::Proxy { status: 503 }) });
    fs::hard_link(mount.path("f"), mount.path("g")).unwrap();
    mount.kill();
    stage.site.put(&format!("{FOLDER}/g"), b"their");
    stage.site.clear_faults();
    let mount = stage.mount_with_state("state", &JOURNALED);
    let left = stage.filescomfs(["sync", "--timeout", "20s"]).arg(&mount.point).output().unwrap();
    assert_eq!(left.status.code(), Some(8), "{}", told(&left));
    assert!(told(&left).contains("somebody else has put something at /backups/g"), "{}", told(&left));
    assert_eq!(stage.stored("g").unwrap(), b"their");
    drop(mount);
}

#[test]
fn a_copy_that_was_made_before_a_crash_is_known_by_its_etag() {
    let mut stage = Stage::with(|site| (site.md5, site.crc32) = (false, false));
    stage.site.put(&format!("{FOLDER}/f"), b"bytes");
    let mount = stage.mount_that_dies_at("step.there", "state", &JOURNALED);
    let _ = fs::hard_link(mount.path("f"), mount.path("g"));
    wait_until("the daemon has died", || !crate::stage::is_running(mount.pid));
    mount.kill();
    assert_eq!(stage.stored("g").unwrap(), b"bytes");
    let mount = stage.mount_with_state("state", &JOURNALED);
    sync(&stage, &mount);
    assert_eq!((stage.requests("copy"), fs::read(mount.path("g")).unwrap()), (1, b"bytes".to_vec()));
    mount.umount();
}

#[test]
fn an_empty_folder_that_had_to_go_for_a_refused_rename_is_there_again() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/old/f"), b"x");
    let mount = stage.mount(&VERIFIED);
    fs::create_dir(mount.path("new")).unwrap();
    let refused = refusal("not-authorized/insufficient-permission-for-params", None);
    stage.site.inject(Fault::on("move", refused.clone()));
    assert!(fs::rename(mount.path("old"), mount.path("new")).is_err());
    assert!(stage.site.folders().contains(&format!("{FOLDER}/new")), "it is shown, and it is there");
    // Also where it cannot be made at once.
    stage.site.inject(Fault::on("move", refused.clone()));
    stage.site.inject(Fault::on("mkdir", refused));
    assert!(fs::rename(mount.path("old"), mount.path("new")).is_err());
    fs::write(mount.path("new/g"), "y").unwrap();
    sync(&stage, &mount);
    assert_eq!(
        (stage.stored("old/f").unwrap(), stage.stored("new/g").unwrap()),
        (b"x".to_vec(), b"y".to_vec())
    );
    mount.umount();
}

#[test]
fn attributes_of_what_another_client_took_away_are_owed_no_more() {
    for options in [&VERIFIED[..], &JOURNALED[..]] {
        let mut stage = Stage::new();
        stage.site.put(&format!("{FOLDER}/f"), b"x");
        let mount = stage.mount(options);
        fs::set_permissions(mount.path("f"), fs::Permissions::from_mode(0o600)).unwrap();
        stage.site.delete(&format!("{FOLDER}/f"));
        sync(&stage, &mount);
        assert_eq!(mount.status()["owed"]["attributes"], 0, "{}", mount.status());
        let log = mount.log();
        assert_eq!(log.lines().filter(|line| line.contains("/backups/f")).count(), 1, "one line: {log}");
        wait_until("it is not shown any more", || !mount.path("f").exists());
        mount.umount();
    }
}

#[test]
fn a_page_of_a_proxy_holds_nothing_and_a_login_that_is_put_off_is_made_again() {
    use filescomfs::emulator::User;
    let stage = Stage::with(|site| {
        site.users.push(User { name: "backup".into(), password: "s3cret".into(), ..User::default() });
    });
    let credentials = stage.path("credentials");
    fs::write(&credentials, "username=backup\npassword=s3cret\n").unwrap();
    fs::set_permissions(&credentials, fs::Permissions::from_mode(0o600)).unwrap();
    let mount = stage.mount_as(&credentials, &[]);
    for kind in ["begin_upload", "part", "complete", "mkdir", "patch", "list", "download"] {
        for status in [401, 403, 413] {
            stage.site.inject(Fault::on(kind, Effect::Proxy { status }));
            let folder = mount.path(&format!("{kind} {status}"));
            fs::create_dir(&folder).unwrap();
            write_and_close(&folder.join("f"), b"bytes").unwrap();
            assert_eq!(fs::read(folder.join("f")).unwrap(), b"bytes");
        }
    }
    stage.site.clear_faults();
    stage.site.inject(Fault::on("begin_upload", Effect::ExpireSessions));
    stage.site.inject(Fault::on("login", refusal("rate-limited/too-many-login-attempts", Some("1"))));
    write_and_close(&mount.path("after"), b"bytes").unwrap();
    assert_eq!(stage.site.waiting_faults(), []);
    let status = mount.status();
    assert_eq!(status["held"].as_array().map(Vec::len), Some(0), "{status}");
    sync(&stage, &mount);
    mount.umount();
}
