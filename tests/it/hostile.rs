//! A server that lies: nothing escapes the mount, hangs or panics.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use filescomfs::emulator::{Effect, Fault};

use crate::close::write_and_close;
use crate::patience::Stopwatch;
use crate::stage::{FOLDER, Stage, told, wait_until};

fn answer(body: &str, headers: &[(&str, &str)]) -> Effect {
    let json = [("Content-Type", "application/json")];
    let headers = json.iter().chain(headers).map(|(name, value)| (name.to_string(), value.to_string()));
    Effect::Answer { status: 200, headers: headers.collect(), body: body.into() }
}

fn listing(stage: &Stage, effect: Effect) {
    let fault = Fault { path: Some("trap".into()), times: 0, ..Fault::on("list", effect) };
    stage.site.inject(fault);
}

fn file(name: &str) -> String {
    format!(
        r#"{{"path":"{FOLDER}/trap/{name}","display_name":"{name}","type":"file","size":3,
            "mtime":"2025-05-23T17:31:05Z","created_at":"2025-05-23T17:31:05Z","permissions":"lrwd"}}"#
    )
}

#[test]
fn names_that_lead_out_of_the_folder_are_not_shown() {
    let mut stage = Stage::new();
    stage.site.mkdir(&format!("{FOLDER}/trap"));
    let mount = stage.mount(&[]);
    let entries = [file("good"), file(".."), file("."), file("a/../../etc"), file("nul\\u0000"), file("")];
    listing(&stage, answer(&format!("[{}]", entries.join(",")), &[]));
    let names: Vec<_> =
        fs::read_dir(mount.path("trap")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["good"]);
    mount.umount();
}

#[test]
fn listings_that_make_no_sense_are_errors_and_never_an_empty_folder() {
    for (what, effect) in [
        ("cut off", answer(&format!("[{}", file("f")), &[])),
        ("no list", answer("{\"surprise\":true}", &[])),
        ("a number for a name", answer(r#"[{"path":7,"type":"file"}]"#, &[])),
        ("the same page for ever", answer(&format!("[{}]", file("f")), &[("X-Files-Cursor", "again")])),
        (
            "a page of the proxy",
            Effect::Answer {
                status: 200,
                headers: vec![("Content-Type".into(), "text/html".into())],
                body: "<html>hello</html>".into(),
            },
        ),
        ("nothing", Effect::Answer { status: 405, headers: vec![], body: String::new() }),
    ] {
        let mut stage = Stage::new();
        stage.site.mkdir(&format!("{FOLDER}/trap"));
        stage.site.put(&format!("{FOLDER}/trap/f"), b"x");
        let mount = stage.mount(&["--network-timeout", "5s"]);
        listing(&stage, effect);
        let watch = Stopwatch::start();
        let listed = fs::read_dir(mount.path("trap")).and_then(|mut entries| entries.next().transpose());
        assert!(listed.is_err(), "{what}: {listed:?}");
        assert!(watch.elapsed() < Duration::from_secs(20), "{what}: it took too long");
        stage.site.clear_faults();
        assert!(mount.path("trap/f").exists(), "{what}: the next attempt works");
        mount.umount();
    }
}

#[test]
fn a_file_without_a_size_is_an_error_and_never_an_empty_one() {
    for size in ["", r#""size":null,"#] {
        let mut stage = Stage::new();
        stage.site.put(&format!("{FOLDER}/trap/f"), b"bytes");
        let mount = stage.mount(&["--network-timeout", "5s"]);
        let entry = format!(
            r#"[{{"path":"{FOLDER}/trap/f","display_name":"f","type":"file",{size}"permissions":"lrwd"}}]"#
        );
        listing(&stage, answer(&entry, &[]));
        let read = fs::read(mount.path("trap/f"));
        assert!(read.is_err(), "{} bytes of a file of unknown size", read.unwrap().len());
        stage.site.clear_faults();
        assert_eq!(fs::read(mount.path("trap/f")).unwrap(), b"bytes");
        mount.umount();
    }
}

#[test]
fn an_entry_that_is_not_understood_is_left_alone_and_hurts_no_other() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/trap/good"), b"abc");
    let mount = stage.mount(&["--dir-ttl", "1s"]);
    let odd = format!(r#"{{"path":"{FOLDER}/trap/Odd","type":"wormhole","size":3}}"#);
    listing(&stage, answer(&format!("[{},{odd}]", file("good")), &[]));
    let errno = |outcome: std::io::Result<()>| outcome.unwrap_err().raw_os_error();
    for times in 1..=3 {
        wait_until("it is listed again", || {
            let names: Vec<_> =
                fs::read_dir(mount.path("trap")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(names, ["good"]);
            stage.site.requests().iter().filter(|r| r.kind == "list" && r.path.contains("trap")).count()
                >= times
        });
        assert_eq!(errno(fs::read(mount.path("trap/Odd")).map(drop)), Some(libc::EIO), "neither read");
        assert_eq!(errno(write_and_close(&mount.path("trap/odd"), b"x")), Some(libc::EIO), "nor replaced");
        assert_eq!(errno(fs::create_dir(mount.path("trap/Odd"))), Some(libc::EIO));
        assert_eq!(errno(fs::rename(mount.path("trap/good"), mount.path("trap/Odd"))), Some(libc::EIO));
    }
    assert_eq!(errno(fs::remove_dir(mount.path("trap"))), Some(libc::ENOTEMPTY));
    assert_eq!((stage.requests("begin_upload"), stage.requests("mkdir"), stage.requests("move")), (0, 0, 0));
    let told = mount.log().lines().filter(|line| line.contains("\"Odd\"")).count();
    assert_eq!(told, 1, "told once: {}", mount.log());
    stage.site.clear_faults();
    mount.umount();
}

#[test]
fn a_site_whose_paths_begin_elsewhere_is_not_mounted_as_an_empty_folder() {
    let stage = Stage::new();
    let elsewhere = answer(
        r#"[{"path":"home/ann/backups/f","display_name":"f","type":"file","size":3,"permissions":"lrwd"}]"#,
        &[],
    );
    stage.site.inject(Fault { times: 0, ..Fault::on("list", elsewhere) });
    let point = stage.path("mnt");
    fs::create_dir(&point).unwrap();
    let mut mount = stage.filescomfs(["mount", "--cache-dir"]);
    let output = mount.arg(stage.path("cache")).arg(stage.source()).arg(&point).output().unwrap();
    assert!(!output.status.success(), "{}", told(&output));
    assert!(told(&output).contains("home/ann/backups"), "{}", told(&output));
}

#[test]
fn metadata_of_others_neither_makes_writable_nor_speaks_for_the_mount() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/f"), b"abc");
    let metadata =
        [("filescomfs", "1 mode=666"), ("filescomfs.xattr", "1 1 filescomfs.state=verified comment=hello")];
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned()));
    stage.site.set_metadata(&format!("{FOLDER}/f"), metadata.into());
    stage.site.set_permissions(FOLDER, "lr");
    let mount = stage.mount(&[]);
    assert_eq!(fs::metadata(mount.path("f")).unwrap().mode() & 0o7777, 0o444);
    let listed = crate::stage::sh(&format!("getfattr -d {}", mount.path("f").display()));
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains("user.comment=\"hello\"") && !listed.contains("filescomfs.state"), "{listed}");
    mount.umount();
}

#[test]
fn a_size_that_lies_is_not_believed() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/trap/f"), b"four");
    let mount = stage.mount(&["--network-timeout", "5s"]);
    listing(
        &stage,
        answer(
            &format!(
                r#"[{{"path":"{FOLDER}/trap/f","display_name":"f","type":"file","size":9000000000000000000,
                    "mtime":"2025-05-23T17:31:05Z","permissions":"lrwd"}}]"#
            ),
            &[],
        ),
    );
    assert!(fs::metadata(mount.path("trap/f")).unwrap().size() > 4);
    let mut lied = File::open(mount.path("trap/f")).unwrap();
    let failure = lied.read(&mut [0; 100]).expect_err("bytes that are not there were handed out");
    assert_eq!(failure.raw_os_error(), Some(libc::ESTALE));
    assert!(mount.log().contains("/backups/trap/f cannot be read"), "{}", mount.log());
    assert!(mount.status()["pid"].is_u64(), "the mount is alive");
    drop(mount);
}

#[test]
fn a_completion_under_another_name_is_an_error() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    let elsewhere = Effect::CompleteElsewhere { path: format!("{FOLDER}/f_2") };
    stage.site.inject(Fault::on("complete", elsewhere));
    let failure = write_and_close(&mount.path("f"), b"bytes").unwrap_err();
    assert_eq!(failure.raw_os_error(), Some(libc::EIO));
    assert!(mount.log().contains("a setting of the folder renames uploads"), "{}", mount.log());
    let status = mount.status();
    assert_eq!(status["owed"]["files"], 1, "{status}");
    assert!(status["held"][0]["message"].as_str().unwrap().contains("f_2"), "{status}");
    drop(mount);
}

#[test]
fn a_server_that_says_nothing_does_not_hang_the_mount() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/f"), b"x");
    let mount = stage.mount(&["--network-timeout", "2s"]);
    stage.site.inject(Fault { times: 0, ..Fault::on("download", Effect::Stall) });
    let watch = Stopwatch::start();
    assert_eq!(fs::read(mount.path("f")).unwrap_err().raw_os_error(), Some(libc::ETIMEDOUT));
    assert!(watch.elapsed() < Duration::from_secs(15), "{:?}", watch.elapsed());
    stage.site.clear_faults();
    assert_eq!(fs::read(mount.path("f")).unwrap(), b"x");
    mount.umount();
}
