//! Names: made, removed, linked, listed; too long, or through what is no folder.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};

use super::opening::{content, open};
use super::{Case, c, call, told};

fn listed(folder: &str) -> BTreeSet<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.to_string_lossy().into_owned()).collect()
}

/// Makes something that is neither a file nor a folder.
fn special(path: &str, kind: u32) -> String {
    // SAFETY: the path is a C string that lives through the call.
    told(call(unsafe { libc::mknod(c(path).as_ptr(), kind | 0o644, 0) }))
}

pub(super) const CASES: &[Case] = &[
    ("unlink takes files and links, not folders", || {
        fs::create_dir("d").unwrap();
        fs::write("f", "x").unwrap();
        symlink("f", "link").unwrap();
        let outcomes = ["link", "d", "missing", "f/x", "f", "."].map(|path| told(fs::remove_file(path)));
        outcomes.into_iter().chain(listed(".")).collect()
    }),
    ("rmdir takes empty folders", || {
        fs::create_dir_all("d/inside").unwrap();
        fs::write("f", "x").unwrap();
        symlink("d", "link").unwrap();
        let paths = ["d", "f", "link", "missing", "d/inside/.", "d/inside/..", ".", "d/inside", "d"];
        paths.map(|path| told(fs::remove_dir(path))).to_vec()
    }),
    ("mkdir refuses what is there", || {
        fs::write("f", "x").unwrap();
        symlink("nowhere", "dangling").unwrap();
        let paths = ["d", "d", "d/", "f", "f/d", "dangling", "missing/d", ".", "new/", "d/../e"];
        paths.map(|path| told(fs::create_dir(path))).to_vec()
    }),
    ("a name has 255 bytes at most", || {
        let mut outcomes = Vec::new();
        for name in ["n".repeat(255), "n".repeat(256), "ü".repeat(127), "ü".repeat(128), "n".repeat(1100)] {
            outcomes.push(told(fs::write(&name, "x")));
            outcomes.push(told(fs::metadata(&name)));
            outcomes.push(told(fs::create_dir(&name)));
            outcomes.push(told(fs::rename("missing", &name)));
            outcomes.push(told(symlink("x", &name)));
            outcomes.push(told(fs::remove_file(&name)));
            outcomes.push(told(fs::remove_dir(&name)));
            outcomes.push(told(fs::read_link(&name)));
        }
        outcomes
    }),
    ("a path has 4095 bytes at most", || {
        fs::create_dir("d").unwrap();
        vec![told(fs::metadata("d/".repeat(2047))), told(fs::metadata("./".repeat(2048) + "d"))]
    }),
    ("what is no folder has nothing in it", || {
        fs::write("f", "x").unwrap();
        vec![
            told(fs::metadata("f/x")),
            told(open("f/x", libc::O_CREAT | libc::O_WRONLY)),
            told(fs::create_dir("f/x")),
            told(fs::rename("f/x", "g")),
            told(fs::rename("f", "f/x")),
            told(fs::read_dir("f")),
            told(symlink("x", "f/x")),
            told(fs::metadata("f/../f")),
        ]
    }),
    ("links in a circle lead nowhere", || {
        symlink("b", "a").unwrap();
        symlink("a", "b").unwrap();
        symlink("self", "self").unwrap();
        vec![
            told(fs::metadata("a")),
            told(open("self", libc::O_RDONLY)),
            told(open("a", libc::O_CREAT | libc::O_WRONLY)),
            told(fs::create_dir("a/x")),
            told(fs::symlink_metadata("a")),
            told(fs::remove_file("a")),
            told(fs::metadata("b")),
        ]
    }),
    ("links are followed, and read", || {
        fs::create_dir("d").unwrap();
        fs::write("d/f", "x").unwrap();
        symlink("d", "to-folder").unwrap();
        symlink("to-folder/f", "to-file").unwrap();
        symlink("nowhere", "dangling").unwrap();
        let long = "x".repeat(4095);
        vec![
            content("to-file"),
            content("to-folder/f"),
            told(fs::read_dir("to-folder/")),
            told(fs::metadata("dangling")),
            fs::symlink_metadata("dangling").unwrap().len().to_string(),
            fs::read_link("dangling").unwrap().display().to_string(),
            told(fs::read_link("d")),
            told(fs::read_link("d/f")),
            told(symlink("", "empty")),
            told(symlink("x", "dangling")),
            told(symlink(&long, "long")),
            fs::read_link("long").unwrap().as_os_str().len().to_string(),
            told(symlink("x".repeat(4096), "longer")),
        ]
    }),
    ("hard links", || {
        fs::write("f", "x").unwrap();
        let mut outcomes = vec![told(fs::hard_link("f", "g"))];
        outcomes.push(told(fs::metadata("g").map(drop)));
        outcomes
    }),
    ("hard links to what cannot have one are refused", || {
        fs::create_dir("d").unwrap();
        fs::write("f", "x").unwrap();
        vec![
            told(fs::hard_link("missing", "g")),
            told(fs::hard_link("f", "d")),
            told(fs::hard_link("f", "f/x")),
        ]
    }),
    ("pipes and sockets", || vec![special("pipe", libc::S_IFIFO), special("socket", libc::S_IFSOCK)]),
    ("mknod makes a file, once", || {
        let outcomes = vec![special("f", libc::S_IFREG), special("f", libc::S_IFREG)];
        let found = fs::metadata("f").unwrap();
        let kind = found.file_type();
        let plain = kind.is_file() && !kind.is_fifo();
        outcomes.into_iter().chain([plain.to_string(), format!("{:o}", found.mode() & 0o7777)]).collect()
    }),
    ("a folder shows what is in it", || {
        let mut outcomes = vec![format!("{:?}", listed("."))];
        for n in 0..40 {
            fs::write(format!("f{n}"), "x").unwrap();
        }
        fs::create_dir("d").unwrap();
        outcomes.push(listed(".").len().to_string());
        fs::remove_file("f7").unwrap();
        fs::rename("f8", "g8").unwrap();
        outcomes.push(format!(
            "{:?}",
            listed(".")
                .iter()
                .map(String::as_str)
                .filter(|name| name.contains(['7', '8']))
                .collect::<Vec<_>>()
        ));
        outcomes.push(format!("{:?}", listed("d")));
        outcomes
    }),
    ("a folder that changes while it is read shows the rest once", || {
        for n in 0..300 {
            fs::write(format!("f{n:03}"), "").unwrap();
        }
        let mut seen = Vec::new();
        for entry in fs::read_dir(".").unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            // What was read may go; what stays is seen, and nothing twice.
            if name.ends_with('5') {
                fs::remove_file(&name).unwrap();
            }
            if name.starts_with('f') {
                seen.push(name);
            }
        }
        let once: BTreeSet<_> = seen.iter().collect();
        let left = listed(".").len();
        vec![seen.len().to_string(), once.len().to_string(), left.to_string()]
    }),
    ("rm -r empties a folder while it reads it", || {
        for n in 0..120 {
            fs::create_dir_all(format!("d/{n}")).unwrap();
        }
        vec![told(fs::remove_dir_all("d")), told(fs::metadata("d"))]
    }),
    ("subfolders are links of their folder", || {
        fs::create_dir_all("d/e").unwrap();
        vec![fs::metadata("d").unwrap().nlink().to_string()]
    }),
    ("names that differ in case or accents are two", || {
        for (n, name) in ["readme", "README", "résumé", "resume", "re\u{301}sume\u{301}"].iter().enumerate()
        {
            fs::write(name, n.to_string()).unwrap();
        }
        fs::rename("readme", "Readme").unwrap();
        let outcomes =
            [told(fs::metadata("readme")), content("README"), content("Readme"), content("resume")];
        outcomes.into_iter().chain(listed(".")).collect()
    }),
    ("names of any bytes are kept", || {
        let names = [
            "back\\slash",
            "tail ",
            "two  ",
            "new\nline",
            "tab\t",
            "\u{1}",
            "\u{7f}",
            "...",
            "-rf",
            "a:b*?\"<>|",
        ];
        let outcomes = names.map(|name| told(fs::write(name, name)));
        outcomes.into_iter().chain(listed(".").into_iter().map(|name| content(&name) + "=" + &name)).collect()
    }),
];
