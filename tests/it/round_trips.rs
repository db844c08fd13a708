//! The tools that people use, in and out, compared byte for byte on the far side.

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;

use crate::stage::{FOLDER, Stage, noise, plant_tree, run, same_trees, sh};

const MIB: usize = 1 << 20;
/// Files up to this size travel in one part.
const PART: usize = 16 * MIB;

/// All files below `local` are on the site with these bytes, and nothing else is.
fn same_on_the_site(stage: &Stage, local: &Path, below: &str) {
    let mut expected = Vec::new();
    let mut folders = vec![local.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = format!("{below}{}", path.strip_prefix(local).unwrap().display());
            assert!(stage.stored(&name).as_ref() == Some(&fs::read(&path).unwrap()), "{name} differs");
            expected.push(name);
        }
    }
    expected.sort();
    let mut stored = stage.stored_names();
    stored.retain(|name| name.starts_with(below));
    stored.sort();
    assert_eq!(stored, expected);
}

#[test]
fn rsync_in_and_out_with_default_flags() {
    let mut stage = Stage::new();
    let source = stage.path("source");
    plant_tree(&source);
    let mount = stage.mount(&[]);
    run(Command::new("rsync").arg("-a").arg(format!("{}/", source.display())).arg(mount.path("tree")));
    same_on_the_site(&stage, &source, "tree/");
    assert!(!stage.was_named("/."), "a temporary name reached the site");
    assert_eq!(stage.requests("move"), 0);
    mount.umount();

    let mount = stage.mount(&[]);
    let back = stage.path("back");
    run(Command::new("rsync").arg("-a").arg(format!("{}/", mount.path("tree").display())).arg(&back));
    same_trees(&source, &back);
    stage.site.clear_requests();
    let again =
        run(Command::new("rsync").args(["-ai", &format!("{}/", source.display())]).arg(mount.path("tree")));
    assert_eq!(String::from_utf8_lossy(&again.stdout), "", "an unchanged tree was sent again");
    assert_eq!(stage.requests("begin_upload"), 0);
    mount.umount();
}

#[test]
fn rsync_inplace_changes_a_file_where_it_is() {
    let mut stage = Stage::new();
    let source = stage.path("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("disk.img"), noise(1, 3 * MIB)).unwrap();
    let mount = stage.mount(&[]);
    let sync = |flags: &[&str]| {
        run(Command::new("rsync").args(flags).arg(format!("{}/", source.display())).arg(&mount.point));
    };
    sync(&["-a", "--inplace"]);
    let mut image = OpenOptions::new().write(true).open(source.join("disk.img")).unwrap();
    image.seek(SeekFrom::Start(MIB as u64)).unwrap();
    image.write_all(b"other bytes in the middle").unwrap();
    drop(image);
    // Same size, and perhaps the same second: told to look.
    sync(&["-aI", "--inplace", "--no-whole-file"]);
    same_on_the_site(&stage, &source, "");
    fs::OpenOptions::new().append(true).open(source.join("disk.img")).unwrap().write_all(b"tail").unwrap();
    sync(&["-a", "--append-verify"]);
    same_on_the_site(&stage, &source, "");
    mount.umount();
}

#[test]
fn rsync_delete_removes_what_is_gone() {
    let mut stage = Stage::new();
    let source = stage.path("source");
    plant_tree(&source);
    let mount = stage.mount(&[]);
    let sync = || {
        run(Command::new("rsync")
            .args(["-a", "--delete"])
            .arg(format!("{}/", source.display()))
            .arg(&mount.point))
    };
    sync();
    fs::remove_dir_all(source.join("docs/deep")).unwrap();
    fs::remove_file(source.join("docs/file 3.dat")).unwrap();
    fs::write(source.join("docs/file 4.dat"), "changed").unwrap();
    sync();
    same_on_the_site(&stage, &source, "");
    assert!(!stage.site.folders().iter().any(|folder| folder.contains("deeper")));
    mount.umount();
}

#[test]
fn tar_out_and_in() {
    let mut stage = Stage::new();
    let source = stage.path("source");
    plant_tree(&source);
    let mount = stage.mount(&[]);
    let (from, to, back) = (source.display(), mount.point.display(), stage.path("back"));
    sh(&format!("tar -C {from} -cf {to}/tree.tar . && mkdir {to}/out && tar -C {to}/out -xf {to}/tree.tar"));
    same_on_the_site(&stage, &source, "out/");
    mount.umount();
    let mount = stage.mount(&[]);
    fs::create_dir(&back).unwrap();
    sh(&format!("tar -C {} -xf {}/tree.tar", back.display(), mount.point.display()));
    same_trees(&source, &back);
    mount.umount();
}

#[test]
fn cp_and_dd_and_the_shell() {
    let mut stage = Stage::new();
    let source = stage.path("source");
    plant_tree(&source);
    fs::write(stage.path("blob"), noise(9, 2 * MIB + 17)).unwrap();
    let mount = stage.mount(&[]);
    let (from, to, blob) = (source.display(), mount.point.display(), stage.path("blob"));
    sh(&format!("cp -a {from} {to}/copied"));
    same_on_the_site(&stage, &source, "copied/");
    sh(&format!("dd if={} of={to}/dd bs=64k status=none", blob.display()));
    sh(&format!("dd if={} of={to}/dd-sync bs=300k conv=fsync status=none", blob.display()));
    assert!(stage.stored("dd").unwrap() == fs::read(&blob).unwrap());
    assert!(stage.stored("dd-sync").unwrap() == fs::read(&blob).unwrap());
    sh(&format!(
        "echo one > {to}/log; echo two >> {to}/log; (echo three; echo four) >> {to}/log; : > {to}/nothing"
    ));
    assert_eq!(stage.stored("log").unwrap(), b"one\ntwo\nthree\nfour\n");
    assert_eq!(stage.stored("nothing").unwrap(), b"");
    sh(&format!("truncate -s 5 {to}/log; touch {to}/touched; mv {to}/touched {to}/moved; rm {to}/nothing"));
    assert_eq!(stage.stored("log").unwrap(), b"one\nt");
    assert_eq!((stage.stored("moved"), stage.stored("touched")), (Some(vec![]), None));
    sh(&format!("sed -i s/one/1/ {to}/log"));
    assert_eq!(stage.stored("log").unwrap(), b"1\nt");
    mount.umount();
}

#[test]
fn sizes_around_the_parts_of_an_upload() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    for size in [0, 1, 4095, PART - 1, PART, PART + 1, 24 * MIB, 24 * MIB + 1, 3 * PART, 3 * PART + 12_345] {
        let (name, bytes) = (format!("{size}"), noise(size as u64, size));
        fs::write(mount.path(&name), &bytes).unwrap();
        assert!(stage.stored(&name).unwrap() == bytes, "{size} bytes arrived differently");
    }
    mount.umount();
    let mount = stage.mount(&[]);
    for name in stage.stored_names() {
        assert!(
            fs::read(mount.path(&name)).unwrap() == stage.stored(&name).unwrap(),
            "{name} came back differently"
        );
    }
    mount.umount();
}

#[test]
fn two_hundred_megabytes_in_and_out() {
    let mut stage = Stage::new();
    let bytes = noise(200, 200 * MIB);
    let mount = stage.mount(&[]);
    fs::write(mount.path("big"), &bytes).unwrap();
    let stored = &stage.site.files()[&format!("{FOLDER}/big")];
    assert_eq!(stored.md5, filescomfs::model::digest::Md5::of(&bytes).to_string());
    assert_eq!(mount.status()["weak"], 0);
    mount.umount();
    let mount = stage.mount(&[]);
    assert!(fs::read(mount.path("big")).unwrap() == bytes);
    mount.umount();
}

#[test]
fn files_that_are_written_side_by_side_do_not_mix() {
    let mut stage = Stage::with(|site| site.storage_latency_ms = 20);
    let mount = stage.mount(&[]);
    std::thread::scope(|scope| {
        for n in 0..8u64 {
            let mount = &mount;
            scope.spawn(move || {
                for round in 0..4 {
                    fs::write(mount.path(&format!("{n}-{round}")), noise(n * 10 + round, 100_000)).unwrap();
                }
            });
        }
    });
    for n in 0..8 {
        for round in 0..4 {
            assert!(stage.stored(&format!("{n}-{round}")).unwrap() == noise(n * 10 + round, 100_000));
        }
    }
    mount.umount();
}

#[test]
fn random_writes_with_gaps_are_zeros_in_between() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    let mut file = fs::File::create(mount.path("sparse")).unwrap();
    file.seek(SeekFrom::Start(50_000)).unwrap();
    file.write_all(b"far").unwrap();
    file.seek(SeekFrom::Start(3)).unwrap();
    file.write_all(b"near").unwrap();
    file.set_len(60_000).unwrap();
    drop(file);
    let mut expected = vec![0; 60_000];
    expected[3..7].copy_from_slice(b"near");
    expected[50_000..50_003].copy_from_slice(b"far");
    assert!(stage.stored("sparse").unwrap() == expected);
    mount.umount();
}

#[test]
fn two_processes_write_different_files_at_once() {
    let mut stage = Stage::with(|site| site.storage_latency_ms = 50);
    let source = stage.path("source");
    fs::create_dir(&source).unwrap();
    for name in ["left", "right"] {
        fs::write(source.join(name), noise(name.len() as u64, 6 << 20)).unwrap();
    }
    let mount = stage.mount(&[]);
    let copies = ["left", "right"].map(|name| {
        let mut dd = Command::new("dd");
        dd.arg(format!("if={}", source.join(name).display()));
        dd.arg(format!("of={}", mount.path(name).display()));
        dd.args(["bs=64k", "status=none"]).spawn().unwrap()
    });
    for mut copy in copies {
        assert!(copy.wait().unwrap().success());
    }
    for name in ["left", "right"] {
        assert!(stage.stored(name).unwrap() == fs::read(source.join(name)).unwrap(), "{name}");
    }
    mount.umount();
}
