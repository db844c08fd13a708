//! What a user of the mount sees of what goes wrong for a moment between here and Files.com: nothing.
//!
//! What does not get better is the subject of `outages`. Damaged bodies, lost completions and late digests
//! are that of `close` and `reading`, hostile answers of `hostile`, keys and sessions of `failures`.

use std::fs::{self, File};
use std::io::Read;
use std::time::{Duration, Instant, UNIX_EPOCH};

use filescomfs::emulator::{Effect, Fault};

use crate::close::write_and_close;
use crate::patience::Stopwatch;
use crate::stage::{FOLDER, Mount, Stage, noise, wait_until};

pub fn refusal(kind: &str, retry_after: Option<&str>) -> Effect {
    Effect::Error { kind: kind.into(), status: None, retry_after: retry_after.map(str::to_owned) }
}

pub fn storage(status: u16, code: &str) -> Effect {
    Effect::Storage { status, code: code.into(), retry_after: None }
}

/// The modification time that the site states for a file of the mounted folder.
pub fn stated_time(stage: &Stage, name: &str) -> Option<String> {
    stage.site.files().get(&format!("{FOLDER}/{name}"))?.provided_mtime.clone()
}

/// One operation of each kind, by way of the mount; each must succeed, there and on the site.
fn one_of_each(stage: &Stage, mount: &Mount, kind: &str, name: &str) {
    let path = mount.path(name);
    match kind {
        "begin_upload" | "begin_part" | "part" | "complete" => {
            // Two parts where the second one is what is meant.
            let bytes = if kind == "begin_part" { noise(2, 25 << 20) } else { name.as_bytes().to_vec() };
            write_and_close(&path, &bytes).unwrap();
            assert!(stage.stored(name).unwrap() == bytes, "{name}");
        }
        "mkdir" => {
            fs::create_dir(&path).unwrap();
            assert!(stage.site.folders().contains(&format!("{FOLDER}/{name}")));
        }
        "delete" => {
            write_and_close(&path, b"x").unwrap();
            fs::remove_file(&path).unwrap();
            assert_eq!(stage.stored(name), None);
        }
        "move" => {
            write_and_close(&mount.path("from"), name.as_bytes()).unwrap();
            fs::rename(mount.path("from"), &path).unwrap();
            assert_eq!((stage.stored("from"), stage.stored(name)), (None, Some(name.into())));
        }
        "patch" => {
            write_and_close(&path, name.as_bytes()).unwrap();
            let time = UNIX_EPOCH + Duration::from_secs(1_500_000_000);
            File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
            wait_until("the time is on the site", || {
                stated_time(stage, name).as_deref() == Some("2017-07-14T02:40:00Z")
            });
            assert_eq!(stage.stored(name).unwrap(), name.as_bytes());
        }
        "list" => {
            stage.site.put(&format!("{FOLDER}/in {name}/file"), b"x");
            wait_until("the folder is seen", || mount.path(&format!("in {name}")).exists());
            let inside = fs::read_dir(mount.path(&format!("in {name}"))).unwrap();
            let inside: Vec<_> = inside.map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(inside, ["file"]);
        }
        _ => {
            stage.site.put(&format!("{FOLDER}/{name}"), name.as_bytes());
            wait_until("the file is seen", || path.exists());
            assert_eq!(fs::read(&path).unwrap(), name.as_bytes());
        }
    }
}

/// Orders `fault`, does what it is about, and sees that it was met and that nothing is left to do.
fn unnoticed(stage: &Stage, mount: &Mount, fault: Fault, name: &str) {
    let kind = fault.kind.clone().unwrap();
    // Other folders are listed whenever they like.
    stage.site.inject(if kind == "list" { fault.path(name) } else { fault });
    one_of_each(stage, mount, &kind, name);
    assert_eq!(stage.site.waiting_faults(), [], "{name} was never met");
    assert_eq!(mount.status()["owed"]["files"], 0, "{name}");
}

const KINDS: [&str; 11] = [
    "begin_upload",
    "begin_part",
    "part",
    "complete",
    "mkdir",
    "delete",
    "move",
    "patch",
    "list",
    "download",
    "fetch",
];

#[test]
fn a_connection_reset_before_or_after_the_effect_of_any_call_is_made_good() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--dir-ttl", "1s"]);
    for kind in KINDS {
        for after in [false, true] {
            let fault = Fault { after, ..Fault::on(kind, Effect::Reset) };
            unnoticed(&stage, &mount, fault, &format!("{kind} {after}"));
        }
    }
    assert!(!mount.log().contains("ERROR"), "{}", mount.log());
    mount.umount();
}

#[test]
fn a_broken_proxy_is_not_noticed_whatever_was_asked_of_it() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--dir-ttl", "1s"]);
    for (kind, statuses) in KINDS.iter().zip([[500, 502], [503, 504]].iter().cycle()) {
        for status in *statuses {
            let fault = Fault::on(kind, Effect::Proxy { status });
            unnoticed(&stage, &mount, fault, &format!("{kind} {status}"));
        }
    }
    assert!(!mount.log().contains("ERROR"), "{}", mount.log());
    mount.umount();
}

#[test]
fn servers_that_are_busy_or_broken_for_a_moment_are_not_noticed() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--dir-ttl", "1s"]);
    let busy = "rate-limited/too-many-requests";
    let moments = [
        ("begin_upload", refusal(busy, Some("1"))),
        ("begin_upload", refusal(busy, Some("Wed, 21 Oct 2015 07:28:00 GMT"))),
        ("begin_upload", refusal("rate-limited/too-many-concurrent-requests", None)),
        ("begin_upload", refusal("service-unavailable/uploads-unavailable", None)),
        ("complete", refusal(busy, None)),
        ("complete", refusal("service-unavailable/site-disabled", None)),
        ("move", refusal(busy, None)),
        ("list", refusal(busy, None)),
        ("part", storage(503, "SlowDown")),
        ("part", storage(500, "InternalError")),
        ("part", storage(400, "RequestTimeout")),
        ("fetch", storage(503, "SlowDown")),
        ("download", refusal(busy, None)),
    ];
    for (n, (kind, what)) in moments.into_iter().enumerate() {
        unnoticed(&stage, &mount, Fault::on(kind, what), &format!("file {n}"));
    }
    assert!(!mount.log().contains("ERROR"), "{}", mount.log());
    mount.umount();
}

#[test]
fn a_wait_that_the_service_asks_for_is_kept() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    stage.site.inject(Fault::on("begin_upload", refusal("rate-limited/too-many-requests", Some("2"))));
    let start = Instant::now();
    write_and_close(&mount.path("f"), b"x").unwrap();
    assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
    mount.umount();
}

#[test]
fn signed_urls_that_ran_out_are_asked_for_again() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--dir-ttl", "1s"]);
    unnoticed(&stage, &mount, Fault::on("part", Effect::ExpireUrl), "up");
    assert_eq!(stage.requests("begin_part"), 1, "a fresh URL for the same upload");
    unnoticed(&stage, &mount, Fault::on("fetch", Effect::ExpireUrl), "down");
    assert_eq!(stage.requests("download"), 2, "a fresh URL for the same file");
    // They run out by themselves, too, while a file is being read.
    // Far more than is fetched ahead of the first bytes.
    let bytes = noise(4, 64 << 20);
    stage.site.put(&format!("{FOLDER}/large"), &bytes);
    wait_until("the file is seen", || mount.path("large").exists());
    let mut file = File::open(mount.path("large")).unwrap();
    let mut read = vec![0; 4096];
    file.read_exact(&mut read).unwrap();
    stage.site.advance(Duration::from_secs(3600));
    file.read_to_end(&mut read).unwrap();
    assert!(read == bytes);
    assert!(stage.requests("download") >= 4, "the first URL did not last");
    drop(file);
    mount.umount();
}

#[test]
fn an_upload_that_stalls_is_sent_again_within_the_close() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--network-timeout", "8s"]);
    // Small: it fits the buffers on the way, and no answer comes. Large: nobody takes the bytes.
    for (name, len) in [("small", 1000), ("large", 15 << 20)] {
        for after in [false, true] {
            let (name, bytes) = (format!("{name} {after}"), noise(len as u64, len));
            stage.site.inject(Fault { after, ..Fault::on("part", Effect::Stall) });
            let watch = Stopwatch::start();
            write_and_close(&mount.path(&name), &bytes).unwrap();
            assert_eq!(stage.site.waiting_faults(), [], "{name} was never met");
            assert!(watch.elapsed() < Duration::from_secs(30), "{name} took {:?}", watch.elapsed());
            assert!(stage.stored(&name).unwrap() == bytes, "{name}");
        }
    }
    mount.umount();
}

#[test]
fn an_upload_that_is_cut_off_is_sent_again_and_one_that_arrives_short_is_noticed() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    let bytes = noise(3, 3 << 20);
    stage.site.inject(Fault::on("part", Effect::CutPart { at: 1 << 20 }));
    write_and_close(&mount.path("cut"), &bytes).unwrap();
    assert!(stage.stored("cut").unwrap() == bytes);
    stage.site.inject(Fault::on("part", Effect::TruncatePart { at: 1 << 20 }));
    write_and_close(&mount.path("short"), &bytes).unwrap();
    assert!(stage.stored("short").unwrap() == bytes);
    assert_eq!(stage.site.waiting_faults(), []);
    let log = mount.log();
    let told = log.lines().filter(|line| line.contains("WARN") && line.contains("short")).count();
    assert_eq!(told, 1, "one line about the damage: {log}");
    assert!(log.contains("did not arrive as it left") && log.contains("sent again"), "{log}");
    mount.umount();
}

#[test]
fn a_download_that_stalls_goes_on_from_a_new_connection() {
    let mut stage = Stage::new();
    let bytes = noise(1, 3 << 20);
    let mount = stage.mount(&["--network-timeout", "4s", "--dir-ttl", "1s"]);
    for (n, what) in
        [Effect::StallBody { at: 1000 }, Effect::StallBody { at: 0 }, Effect::Stall].into_iter().enumerate()
    {
        let name = format!("file {n}");
        stage.site.put(&format!("{FOLDER}/{name}"), &bytes);
        wait_until("the file is seen", || mount.path(&name).exists());
        stage.site.inject(Fault::on("fetch", what));
        assert!(fs::read(mount.path(&name)).unwrap() == bytes, "{name}");
        assert_eq!(stage.site.waiting_faults(), [], "{name} was never met");
    }
    assert!(!mount.log().contains("ERROR"), "{}", mount.log());
    mount.umount();
}

#[test]
fn a_session_that_ends_in_the_middle_of_an_upload_is_not_noticed() {
    use filescomfs::emulator::User;
    let stage = Stage::with(|site| {
        site.users.push(User { name: "backup".into(), password: "s3cret".into(), ..User::default() });
    });
    let credentials = stage.path("credentials");
    fs::write(&credentials, "username=backup\npassword=s3cret\n").unwrap();
    fs::set_permissions(&credentials, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mount = stage.mount_as(&credentials, &["--dir-ttl", "1s"]);
    for kind in ["begin_upload", "begin_part", "complete", "mkdir", "move", "list", "download"] {
        unnoticed(&stage, &mount, Fault::on(kind, Effect::ExpireSessions), &format!("{kind} later"));
    }
    assert_eq!(stage.requests("login"), 8, "one login for each end of a session");
    mount.umount();
}
