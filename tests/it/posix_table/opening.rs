//! open(2) with its flags, and what may be done with the descriptor.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::{Case, c, call, told};

/// open(2).
pub(super) fn open(path: &str, flags: i32) -> io::Result<fs::File> {
    // SAFETY: the path is a C string that lives through the call.
    let fd = call(unsafe { libc::open(c(path).as_ptr(), flags | libc::O_CLOEXEC, 0o644) })?;
    // SAFETY: the descriptor was opened just now and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) }.into())
}

/// What a file holds, or how reading it ended.
pub(super) fn content(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| error.to_string())
}

pub(super) const CASES: &[Case] = &[
    ("a missing file is not opened", || {
        let flags = [libc::O_RDONLY, libc::O_WRONLY, libc::O_RDWR, libc::O_RDWR | libc::O_TRUNC];
        flags.map(|flags| told(open("missing", flags))).to_vec()
    }),
    ("a file is made once with O_EXCL", || {
        let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY;
        let first = told(open("f", flags));
        std::os::unix::fs::symlink("nowhere", "dangling").unwrap();
        vec![first, told(open("f", flags)), told(open("dangling", flags)), told(fs::metadata("nowhere"))]
    }),
    ("a file is made through a dangling link", || {
        std::os::unix::fs::symlink("target", "link").unwrap();
        let made = told(open("link", libc::O_CREAT | libc::O_WRONLY));
        vec![made, told(fs::metadata("target")), told(open("link", libc::O_NOFOLLOW))]
    }),
    ("O_TRUNC empties, and O_RDONLY beside it too", || {
        fs::write("f", "content").unwrap();
        drop(open("f", libc::O_WRONLY | libc::O_TRUNC));
        let first = content("f");
        fs::write("f", "content").unwrap();
        let only_read = told(open("f", libc::O_RDONLY | libc::O_TRUNC));
        vec![first, only_read, content("f")]
    }),
    ("O_APPEND writes at the end, wherever the descriptor is", || {
        fs::write("f", "0123456789").unwrap();
        let mut file = open("f", libc::O_RDWR | libc::O_APPEND).unwrap();
        let mut other = open("f", libc::O_WRONLY | libc::O_APPEND).unwrap();
        let mut read = [0; 4];
        file.read_exact(&mut read).unwrap();
        file.write_all(b"-a").unwrap();
        other.write_all(b"-b").unwrap();
        file.write_all(b"-c").unwrap();
        drop((file, other));
        vec![String::from_utf8_lossy(&read).into(), content("f")]
    }),
    ("a descriptor does what it was opened for", || {
        fs::write("f", "x").unwrap();
        let mut only_read = open("f", libc::O_RDONLY).unwrap();
        let mut only_write = open("f", libc::O_WRONLY).unwrap();
        let write = told(only_read.write(b"y"));
        let read = told(only_write.read(&mut [0]));
        vec![
            write,
            read,
            told(only_read.set_len(0)),
            told(only_write.set_len(3)),
            content("f").len().to_string(),
        ]
    }),
    ("a folder is opened for reading only", || {
        fs::create_dir("d").unwrap();
        fs::write("f", "x").unwrap();
        let mut outcomes: Vec<String> =
            [libc::O_RDONLY, libc::O_WRONLY, libc::O_RDWR, libc::O_RDONLY | libc::O_CREAT]
                .map(|flags| told(open("d", flags)))
                .to_vec();
        outcomes.push(told(open("d", libc::O_RDONLY).unwrap().read(&mut [0])));
        outcomes.push(told(open("d", libc::O_DIRECTORY)));
        outcomes.push(told(open("f", libc::O_DIRECTORY)));
        outcomes
    }),
    ("a slash behind the name wants a folder", || {
        fs::create_dir("d").unwrap();
        fs::write("f", "x").unwrap();
        vec![
            told(open("f/", libc::O_RDONLY)),
            told(open("d/", libc::O_RDONLY)),
            told(open("new/", libc::O_CREAT | libc::O_WRONLY)),
            told(fs::metadata("f/")),
            told(fs::remove_file("f/")),
        ]
    }),
    ("O_PATH and O_NOFOLLOW name a link itself", || {
        std::os::unix::fs::symlink("f", "link").unwrap();
        fs::write("f", "x").unwrap();
        let path = open("link", libc::O_PATH | libc::O_NOFOLLOW).unwrap();
        vec![path.metadata().unwrap().is_symlink().to_string(), told(open("link", libc::O_NOFOLLOW))]
    }),
    ("synchronous and non-blocking descriptors work", || {
        let flags = libc::O_CREAT | libc::O_WRONLY;
        [libc::O_SYNC, libc::O_DSYNC, libc::O_NONBLOCK, libc::O_NOCTTY]
            .map(|flag| told(open("f", flags | flag).and_then(|mut file| file.write_all(b"x"))))
            .to_vec()
    }),
    ("a file without a name", || vec![told(open(".", libc::O_TMPFILE | libc::O_RDWR))]),
    ("a deleted file lives on for those who have it open", || {
        use std::os::unix::fs::MetadataExt;
        fs::write("f", "before").unwrap();
        let mut file = open("f", libc::O_RDWR | libc::O_APPEND).unwrap();
        fs::remove_file("f").unwrap();
        file.write_all(b" and after").unwrap();
        let mut read = String::new();
        let mut again = fs::File::open(format!("/proc/thread-self/fd/{}", file.as_raw_fd()));
        let reopened = again.as_mut().map(|file| file.read_to_string(&mut read));
        let names = file.metadata().unwrap().nlink();
        let truncated = told(file.set_len(3));
        let size = file.metadata().unwrap().len();
        let outcome = reopened.is_ok_and(|read| read.is_ok());
        vec![
            outcome.to_string(),
            read,
            names.to_string(),
            truncated,
            size.to_string(),
            told(fs::metadata("f")),
        ]
    }),
];
