//! rename(2): everything over everything.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, symlink};

use super::opening::{content, open};
use super::{Case, c, call, told};

/// One of each kind, anew.
fn plant() {
    let _ = fs::remove_dir_all("all");
    fs::create_dir_all("all/full").unwrap();
    fs::create_dir("all/empty").unwrap();
    fs::write("all/full/inside", "inside").unwrap();
    fs::write("all/file", "file").unwrap();
    fs::write("all/other", "other").unwrap();
    symlink("file", "all/link").unwrap();
    symlink("nowhere", "all/dangling").unwrap();
}

fn paths() -> [String; 12] {
    [
        "file", "other", "link", "dangling", "empty", "full", "missing", "file/", "empty/", "missing/",
        "full/new", "file/new",
    ]
    .map(|name| format!("all/{name}"))
}

/// What is there now: names, and what the files hold.
fn found() -> String {
    let mut found = Vec::new();
    let mut folders = vec!["all".to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = format!("{folder}/{}", entry.unwrap().file_name().to_string_lossy());
            let kind = fs::symlink_metadata(&path).unwrap();
            if kind.is_dir() {
                folders.push(path.clone());
                found.push(path);
            } else if kind.is_symlink() {
                found.push(format!("{path}->{}", fs::read_link(&path).unwrap().display()));
            } else {
                found.push(format!("{path}={}", content(&path)));
            }
        }
    }
    found.sort();
    found.join(" ")
}

fn rename2(from: &str, to: &str, flags: u32) -> String {
    let (from, to) = (c(from), c(to));
    let here = libc::AT_FDCWD;
    // SAFETY: both paths are C strings that live through the call.
    told(call(unsafe { libc::syscall(libc::SYS_renameat2, here, from.as_ptr(), here, to.as_ptr(), flags) }))
}

/// Every pair of paths. What a pair left is told where it changed something.
fn matrix(paths: &[String], flags: u32) -> Vec<String> {
    let mut outcomes = Vec::new();
    plant();
    let untouched = found();
    for from in paths {
        for to in paths {
            let outcome = rename2(from, to, flags);
            let left = found();
            let changed = left != untouched;
            outcomes
                .push(format!("{from} {to}: {outcome} {}", if changed { left } else { "the same".into() }));
            if changed {
                plant();
            }
        }
    }
    outcomes
}

pub(super) const CASES: &[Case] = &[
    ("everything is renamed to everything", || matrix(&paths(), 0)),
    ("with RENAME_NOREPLACE nothing is replaced", || matrix(&paths()[2..7], libc::RENAME_NOREPLACE)),
    ("names are exchanged", || {
        plant();
        vec![rename2("all/file", "all/other", libc::RENAME_EXCHANGE)]
    }),
    ("flags that contradict each other, or mean nothing, are refused", || {
        plant();
        let flags = [libc::RENAME_EXCHANGE | libc::RENAME_NOREPLACE, 1 << 10];
        flags.map(|flags| rename2("all/file", "all/other", flags)).to_vec()
    }),
    ("a folder does not go into itself", || {
        fs::create_dir_all("d/e/f").unwrap();
        let mut outcomes =
            [("d", "d"), ("d", "d/x"), ("d", "d/e/x"), ("d/e", "d"), ("d/e/f", "d/e"), ("d/e", "d/e/.")]
                .map(|(from, to)| told(fs::rename(from, to)))
                .to_vec();
        outcomes.push(told(fs::rename(".", "d/x")));
        outcomes.push(told(fs::rename("d/..", "x")));
        outcomes.push(told(fs::metadata("d/e/f")));
        outcomes
    }),
    ("a folder moves with all that is in it", || {
        fs::create_dir_all("a/b/c").unwrap();
        fs::create_dir("to").unwrap();
        fs::write("a/b/c/f", "deep").unwrap();
        let file = fs::metadata("a/b/c/f").unwrap().ino();
        fs::rename("a", "to/a").unwrap();
        let kept = fs::metadata("to/a/b/c/f").unwrap().ino() == file;
        vec![content("to/a/b/c/f"), kept.to_string(), told(fs::metadata("a"))]
    }),
    ("who has a file open keeps it when its name is taken", || {
        fs::write("a", "a").unwrap();
        fs::write("b", "b").unwrap();
        let mut b = open("b", libc::O_RDWR | libc::O_APPEND).unwrap();
        fs::rename("a", "b").unwrap();
        b.write_all(b"more").unwrap();
        let mut read = String::new();
        fs::File::open("b").unwrap().read_to_string(&mut read).unwrap();
        vec![read, b.metadata().unwrap().nlink().to_string(), b.metadata().unwrap().len().to_string()]
    }),
    ("a file is written on while its name changes", || {
        let mut file = open("a", libc::O_CREAT | libc::O_WRONLY).unwrap();
        file.write_all(b"before").unwrap();
        fs::rename("a", "b").unwrap();
        file.write_all(b" and after").unwrap();
        drop(file);
        vec![content("b"), told(fs::metadata("a"))]
    }),
];
