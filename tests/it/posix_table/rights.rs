//! What an ordinary user may do: modes and owners, and who may change them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use super::opening::{content, open};
use super::{Case, c, call, told};

fn chmod(path: &str, mode: u32) -> String {
    told(fs::set_permissions(path, fs::Permissions::from_mode(mode)))
}

pub(super) const CASES: &[Case] = &[
    ("a file without permissions is not opened by its owner", || {
        fs::write("f", "x").unwrap();
        let mut outcomes = Vec::new();
        for mode in [0o000, 0o200, 0o400, 0o600] {
            chmod("f", mode);
            outcomes
                .extend([libc::O_RDONLY, libc::O_WRONLY, libc::O_RDWR].map(|flags| told(open("f", flags))));
            outcomes.push(told(fs::metadata("f")));
        }
        outcomes
    }),
    ("a folder that may not be written takes nothing and lets nothing go", || {
        fs::create_dir("d").unwrap();
        fs::write("d/f", "x").unwrap();
        fs::create_dir("d/e").unwrap();
        chmod("d", 0o555);
        let outcomes = vec![
            told(fs::write("d/new", "x")),
            told(fs::create_dir("d/new")),
            told(fs::remove_file("d/f")),
            told(fs::remove_dir("d/e")),
            told(fs::rename("d/f", "d/g")),
            told(fs::rename("d/f", "f")),
            told(fs::write("d/f", "changed")),
            content("d/f"),
        ];
        chmod("d", 0o755);
        outcomes
    }),
    ("a folder that may not be searched hides what is in it", || {
        fs::create_dir("d").unwrap();
        fs::write("d/f", "x").unwrap();
        chmod("d", 0o600);
        let outcomes = vec![
            told(fs::metadata("d/f")),
            told(open("d/f", libc::O_RDONLY)),
            told(fs::metadata("d/missing")),
            told(fs::create_dir("d/e")),
        ];
        chmod("d", 0o300);
        let unread = told(fs::read_dir("d"));
        chmod("d", 0o755);
        outcomes.into_iter().chain([unread]).collect()
    }),
    ("owners are changed by root alone", || {
        fs::write("f", "x").unwrap();
        let (uid, gid) = fs::metadata("f").map(|found| (found.uid(), found.gid())).unwrap();
        vec![
            told(chown("f", Some(uid), Some(gid))),
            told(chown("f", None, Some(gid))),
            told(chown("f", Some(uid + 1), None)),
            told(chown("f", None, Some(gid + 1))),
            told(chown("missing", Some(uid), None)),
        ]
    }),
    ("a setgid folder hands its group on to folders", || {
        fs::create_dir("d").unwrap();
        chmod("d", 0o2775);
        fs::create_dir("d/e").unwrap();
        fs::write("d/f", "x").unwrap();
        let group = fs::metadata("d").unwrap().gid();
        let same = ["d/e", "d/f"].map(|path| (fs::metadata(path).unwrap().gid() == group).to_string());
        same.to_vec()
    }),
    ("writing takes the special bits off a program", || {
        fs::write("f", "x").unwrap();
        chmod("f", 0o6755);
        fs::write("f", "other").unwrap();
        vec![format!("{:o}", fs::metadata("f").unwrap().mode() & 0o7777)]
    }),
    ("a new file may be written whatever its mode", || {
        // SAFETY: the path is a C string that lives through the calls, and the descriptor is open.
        let (made, written) = unsafe {
            let made = libc::open(c("f").as_ptr(), libc::O_CREAT | libc::O_RDWR | libc::O_CLOEXEC, 0o400);
            let written = libc::write(made, b"x".as_ptr().cast(), 1);
            libc::close(made);
            (made, written)
        };
        let again = told(open("f", libc::O_WRONLY));
        vec![told(call(made)), told(call(written as i64)), again, content("f")]
    }),
];
