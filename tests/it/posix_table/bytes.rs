//! Bytes and places: read, write, seek, truncate, sparse files.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use super::opening::{content, open};
use super::{Case, c, call, told};

fn both() -> fs::File {
    open("f", libc::O_CREAT | libc::O_RDWR).unwrap()
}

fn allocate(file: &fs::File, mode: i32, offset: i64, length: i64) -> String {
    // SAFETY: the descriptor is open; no memory is handed over.
    told(call(unsafe { libc::fallocate(file.as_raw_fd(), mode, offset, length) }))
}

fn seek(file: &fs::File, offset: i64, whence: i32) -> String {
    // SAFETY: the descriptor is open; no memory is handed over.
    let answer = call(unsafe { libc::lseek(file.as_raw_fd(), offset, whence) });
    answer.map_or_else(|error| error.to_string(), |at| at.to_string())
}

pub(super) const CASES: &[Case] = &[
    ("lseek goes anywhere but before the start", || {
        let mut file = both();
        file.write_all(b"0123456789").unwrap();
        vec![
            seek(&file, 0, libc::SEEK_CUR),
            seek(&file, -3, libc::SEEK_END),
            seek(&file, 1 << 40, libc::SEEK_SET),
            seek(&file, -1, libc::SEEK_SET),
            seek(&file, -11, libc::SEEK_END),
            seek(&file, 0, 99),
            told(file.seek(SeekFrom::Start(4))),
        ]
    }),
    ("reading behind the end gives nothing", || {
        let file = both();
        file.write_all_at(b"abc", 0).unwrap();
        let mut bytes = [0; 8];
        [0, 2, 3, 4, 1 << 20].map(|at| file.read_at(&mut bytes, at).unwrap().to_string()).to_vec()
    }),
    ("pread and pwrite leave the place alone", || {
        let mut file = both();
        file.write_all(b"0123456789").unwrap();
        file.seek(SeekFrom::Start(2)).unwrap();
        file.write_all_at(b"XX", 6).unwrap();
        let mut bytes = [0; 4];
        file.read_exact_at(&mut bytes, 5).unwrap();
        let at = file.stream_position().unwrap();
        vec![at.to_string(), String::from_utf8_lossy(&bytes).into(), content("f")]
    }),
    ("a gap reads as zeros", || {
        let file = both();
        file.write_all_at(b"end", 70_000).unwrap();
        drop(file);
        let bytes = fs::read("f").unwrap();
        vec![bytes.len().to_string(), bytes[..70_000].iter().all(|byte| *byte == 0).to_string()]
    }),
    ("truncate shrinks and grows with zeros", || {
        fs::write("f", "0123456789").unwrap();
        let mut outcomes = Vec::new();
        for length in [4, 8, 0, 3] {
            // SAFETY: the path is a C string that lives through the call.
            outcomes.push(told(call(unsafe { libc::truncate(c("f").as_ptr(), length) })));
            outcomes.push(content("f"));
        }
        let file = open("f", libc::O_RDWR).unwrap();
        outcomes.push(told(file.set_len(1)));
        outcomes.push(told(file.set_len(5)));
        outcomes.push(content("f"));
        outcomes
    }),
    ("truncate refuses what it should", || {
        fs::create_dir("d").unwrap();
        fs::write("f", "x").unwrap();
        let cases = [("d", 0), ("missing", 0), ("f", -1), ("f/x", 0)];
        // SAFETY: the paths are C strings that live through the calls.
        cases.map(|(path, length)| told(call(unsafe { libc::truncate(c(path).as_ptr(), length) }))).to_vec()
    }),
    ("a file of many gigabytes is sparse", || {
        let file = both();
        file.set_len(5 << 30).unwrap();
        let mut bytes = [1; 3];
        file.read_exact_at(&mut bytes, (5 << 30) - 3).unwrap();
        let size = file.metadata().unwrap().len();
        // Never sent whole: it is emptied again before the close.
        file.set_len(0).unwrap();
        vec![size.to_string(), format!("{bytes:?}"), file.metadata().unwrap().len().to_string()]
    }),
    ("a hole is found", || {
        let file = both();
        file.write_all_at(b"x", 1 << 20).unwrap();
        vec![seek(&file, 0, libc::SEEK_DATA), seek(&file, 0, libc::SEEK_HOLE)]
    }),
    ("holes end with the file", || {
        let file = both();
        file.write_all_at(b"full", 0).unwrap();
        vec![
            seek(&file, 0, libc::SEEK_DATA),
            seek(&file, 0, libc::SEEK_HOLE),
            seek(&file, 4, libc::SEEK_DATA),
            seek(&file, 4, libc::SEEK_HOLE),
        ]
    }),
    ("fallocate extends and keeps what is there", || {
        let file = both();
        file.write_all_at(b"abc", 0).unwrap();
        let outcomes = vec![
            allocate(&file, 0, 0, 2),
            allocate(&file, 0, 2, 6),
            allocate(&file, 0, -1, 4),
            allocate(&file, 0, 0, 0),
        ];
        drop(file);
        outcomes.into_iter().chain([format!("{:?}", fs::read("f").unwrap())]).collect()
    }),
    ("a hole is punched", || {
        let file = both();
        file.write_all_at(&[7; 9000], 0).unwrap();
        vec![allocate(&file, libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE, 0, 4096)]
    }),
    ("a file is allocated beyond its end", || vec![allocate(&both(), libc::FALLOC_FL_KEEP_SIZE, 0, 4096)]),
    ("vectors are read and written", || {
        let mut file = both();
        let bytes = [b"one ".as_slice(), b"", b"two ", b"three"].map(io::IoSlice::new);
        let written = file.write_vectored(&bytes).unwrap();
        file.rewind().unwrap();
        let (mut a, mut b) = ([0; 4], [0; 9]);
        let read =
            file.read_vectored(&mut [io::IoSliceMut::new(&mut a), io::IoSliceMut::new(&mut b)]).unwrap();
        vec![written.to_string(), read.to_string(), String::from_utf8_lossy(&b).into()]
    }),
    ("bytes are copied from file to file by the kernel", || {
        fs::write("from", "0123456789").unwrap();
        let copied = fs::copy("from", "to").unwrap();
        let mut from = open("from", libc::O_RDONLY).unwrap();
        from.seek(SeekFrom::Start(5)).unwrap();
        let mut to = open("to", libc::O_WRONLY | libc::O_APPEND).unwrap();
        let appended = io::copy(&mut from, &mut to).unwrap();
        drop(to);
        vec![copied.to_string(), appended.to_string(), content("to")]
    }),
    ("fsync and fdatasync answer, for folders too", || {
        let file = both();
        vec![
            told(file.sync_all()),
            told(file.sync_data()),
            told(open(".", libc::O_RDONLY).unwrap().sync_all()),
        ]
    }),
];
