//! Awkward names: every one comes back from another mount as it went in, and none is lost to another.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::Command;

use crate::stage::{FOLDER, Stage, run, same_trees};

/// Names that a POSIX folder holds side by side; many of them are one name for Files.com.
fn names() -> Vec<OsString> {
    let mut names: Vec<Vec<u8>> = Vec::new();
    let mut add = |name: &[u8]| names.push(name.to_vec());
    for word in
        ["readme", "résumé", "straße", "œuvre", "ærø", "łódź", "naïve", "tschüß", "crème brûlée", "ñandú"]
    {
        let plain: String = word.chars().map(|c| if c.is_ascii() { c } else { 'e' }).collect();
        for form in [word.to_owned(), word.to_uppercase(), plain.clone(), plain.to_uppercase()] {
            for tail in ["", " ", ".", "  ", ".txt"] {
                add(format!("{form}{tail}").as_bytes());
            }
        }
    }
    for c in 1u8..=0x1f {
        add(&[b'c', b't', b'l', c]);
        add(&[b'i', b'n', c, b's', b'i', b'd', b'e']);
    }
    for byte in (0x80u8..=0xff).step_by(2) {
        add(&[b'r', b'a', b'w', byte]);
    }
    for name in [
        "back\\slash",
        "＼",
        "a／b",
        "␀",
        "␉",
        "␠",
        "tail␠",
        "‛",
        "‛‛",
        "‛FE",
        "‛＼",
        "．",
        "．．",
        "...",
        ". ",
        ".. ",
        "x\u{7f}",
        "a‛~0cc175b9c0",
        "A‛~0cc175b9c0",
        "zero\u{200b}width",
        "zerowidth",
        "soft\u{ad}hyphen",
        "e\u{301}",
        "é",
        "E\u{301}",
        "か",
        "ガ",
        "カ",
        "が",
        "ｶ",
        "안녕",
        "1",
        "１",
        "①",
        "ﬁ",
        "fi",
        "😀",
        "😀\u{fe0f}",
        "👩‍👩‍👧",
        "%20",
        "%2F",
        "a%b",
        "a#b",
        "a?b",
        "a&b=c",
        "a+b",
        "semi;colon",
        "quote'",
        "double\"",
        "<tag>",
        "pipe|",
        "star*",
        "CON",
        "con",
        "NUL.txt",
        "aux",
        "COM1",
        "~$doc",
        "-rf",
        "--",
        " leading",
        "  ",
        "\u{a0}",
        "nbsp\u{a0}",
        "ı",
        "İ",
        "i",
        "I",
        "ſ",
        "s",
        "S",
        "Þ",
        "þ",
        "th",
        "x²",
        "x2",
        "½",
        "ﬀ",
        "ff",
        "Ⅷ",
        "viii",
    ] {
        add(name.as_bytes());
    }
    add(&[b'n'; 255]);
    add(&[b'N'; 255]);
    add("ü".repeat(127).as_bytes());
    add("Ü".repeat(127).as_bytes());
    add("日".repeat(85).as_bytes());
    names.sort();
    names.dedup();
    names.into_iter().map(OsString::from_vec).collect()
}

/// Plants the names as files, some as folders with a file in them.
fn plant(root: &Path) -> usize {
    let names = names();
    fs::create_dir(root).unwrap();
    for (n, name) in names.iter().enumerate() {
        let path = root.join(name);
        if n % 7 == 0 {
            fs::create_dir(&path).unwrap();
            fs::write(path.join("Inside"), name.as_bytes()).unwrap();
            fs::write(path.join("inside"), "another").unwrap();
        } else {
            fs::write(&path, name.as_bytes()).unwrap();
        }
    }
    names.len()
}

#[test]
fn awkward_names_come_back_from_another_mount() {
    let mut stage = Stage::new();
    let source = stage.path("source");
    let count = plant(&source);
    assert!(count > 400, "only {count} names");
    let mount = stage.mount(&[]);
    let from = format!("{}/", source.display());
    run(Command::new("rsync").args(["-a", &from]).arg(mount.path("tree")));
    mount.umount();

    let mount = stage.mount(&[]);
    let back = stage.path("back");
    run(Command::new("rsync").arg("-a").arg(format!("{}/", mount.path("tree").display())).arg(&back));
    same_trees(&source, &back);
    let again = run(Command::new("rsync").args(["-ai", &from]).arg(mount.path("tree")));
    assert_eq!(String::from_utf8_lossy(&again.stdout), "", "a second run sends nothing");
    fs::remove_dir_all(mount.path("tree")).unwrap();
    assert_eq!(stage.stored_names(), [""; 0]);
    mount.umount();
}

#[test]
fn twins_are_told_apart_whatever_happens_to_one_of_them() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    let content = |mount: &Path| -> BTreeMap<OsString, Vec<u8>> {
        let entries = fs::read_dir(mount).unwrap().map(|entry| entry.unwrap());
        entries.map(|entry| (entry.file_name(), fs::read(entry.path()).unwrap())).collect()
    };
    for (name, bytes) in [("README", "upper"), ("readme", "lower"), ("Readme", "mixed")] {
        fs::write(mount.path(name), bytes).unwrap();
    }
    fs::write(mount.path("readme"), "lower, again").unwrap();
    fs::remove_file(mount.path("README")).unwrap();
    fs::write(mount.path("other"), "x").unwrap();
    fs::rename(mount.path("other"), mount.path("OTHER")).unwrap();
    let mut expected: BTreeMap<OsString, Vec<u8>> =
        [("Readme", "mixed"), ("readme", "lower, again"), ("OTHER", "x")]
            .map(|(name, bytes)| (name.into(), bytes.into()))
            .into();
    assert_eq!(content(&mount.point), expected);
    mount.umount();
    // Somebody else makes a third that looks the same; then ours takes its place.
    stage.site.put(&format!("{FOLDER}/README"), b"foreign");
    expected.insert("README".into(), b"foreign".to_vec());
    let mount = stage.mount(&[]);
    assert_eq!(content(&mount.point), expected);
    fs::rename(mount.path("Readme"), mount.path("README")).unwrap();
    expected.insert("README".into(), b"mixed".to_vec());
    expected.remove(OsStr::new("Readme"));
    assert_eq!(content(&mount.point), expected);
    mount.umount();
    let mount = stage.mount(&[]);
    assert_eq!(content(&mount.point), expected);
    mount.umount();
}

#[test]
fn a_name_that_grows_too_long_is_refused_before_anything_is_sent() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    let name = OsStr::from_bytes(&[0xff; 255]);
    let refused = fs::write(mount.point.join(name), "x").unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::ENAMETOOLONG));
    assert_eq!(stage.requests("begin_upload"), 0);
    mount.umount();
}
