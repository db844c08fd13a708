//! Content: stored parts, and the objects that are made of them.
//!
//! A part is hashed while it arrives and is never copied afterwards: completing an upload only lists
//! parts. In memory a part keeps the very buffers that the socket filled; on disk it is a file, which goes
//! away with the last object or signed URL that refers to it.

use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use md5::{Digest, Md5};

use super::clock::Time;
use super::hex::{hex, random_id};
use super::settings::Settings;

/// The largest piece that is read from disk, or handed to a throttled client, at once.
const PIECE: usize = 256 << 10;

/// Where parts are put.
#[derive(Debug, Clone, Default)]
pub(super) struct Depot {
    /// `None`: in memory.
    pub(super) dir: Option<PathBuf>,
    /// Set when the emulator stops: from then on files outlive their values.
    pub(super) keep: Arc<AtomicBool>,
}

impl Depot {
    pub(super) fn writer(&self) -> io::Result<PartWriter> {
        let sink = match &self.dir {
            None => Sink::Memory(Vec::new()),
            Some(dir) => {
                let path = dir.join(random_id());
                Sink::Disk(File::create(&path)?, ContentFile { path, keep: self.keep.clone() })
            }
        };
        Ok(PartWriter { sink, len: 0, md5: Md5::new(), crc32: crc32fast::Hasher::new() })
    }

    /// A whole part from one slice.
    pub(super) fn store(&self, bytes: &[u8]) -> io::Result<Part> {
        let mut writer = self.writer()?;
        writer.push(Bytes::copy_from_slice(bytes))?;
        Ok(writer.finish())
    }
}

enum Sink {
    Memory(Vec<Bytes>),
    Disk(File, ContentFile),
}

/// A part that is arriving.
pub(super) struct PartWriter {
    sink: Sink,
    len: u64,
    md5: Md5,
    crc32: crc32fast::Hasher,
}

impl PartWriter {
    pub(super) fn push(&mut self, bytes: Bytes) -> io::Result<()> {
        self.md5.update(&bytes);
        self.crc32.update(&bytes);
        self.len += bytes.len() as u64;
        match &mut self.sink {
            Sink::Memory(chunks) => chunks.push(bytes),
            Sink::Disk(file, _) => file.write_all(&bytes)?,
        }
        Ok(())
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn finish(self) -> Part {
        let body = match self.sink {
            Sink::Memory(chunks) => Body::Memory(chunks),
            Sink::Disk(_, file) => Body::Disk(file),
        };
        Part { len: self.len, md5: self.md5.finalize().into(), crc32: self.crc32.finalize(), body }
    }
}

#[derive(Debug)]
pub(super) enum Body {
    Memory(Vec<Bytes>),
    Disk(ContentFile),
}

/// A stored part. Its digests are those of the bytes that are there, whatever the client was told.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) len: u64,
    pub(super) md5: [u8; 16],
    pub(super) crc32: u32,
    pub(super) body: Body,
}

/// A part's file. It goes with the last value that refers to it, also when its sender gives up half-way.
#[derive(Debug)]
pub(super) struct ContentFile {
    pub(super) path: PathBuf,
    pub(super) keep: Arc<AtomicBool>,
}

impl Drop for ContentFile {
    fn drop(&mut self) {
        if !self.keep.load(Ordering::Acquire) {
            // A file that cannot be removed is removed at the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The content of one version of a file.
#[derive(Debug)]
pub(super) struct Object {
    /// Its name at the storage: not the path, so a move does not touch it.
    pub(super) id: String,
    pub(super) size: u64,
    pub(super) crc32: u32,
    pub(super) etag: String,
    pub(super) stored_at: Time,
    pub(super) parts: Vec<Arc<Part>>,
    pub(super) md5: OnceLock<[u8; 16]>,
}

impl Object {
    /// What the ETag says about the content is a matter of the `settings`.
    pub(super) fn new(parts: Vec<Arc<Part>>, settings: &Settings, now: Time) -> Self {
        let mut crc32 = crc32fast::Hasher::new();
        let mut composite = Md5::new();
        for part in &parts {
            crc32.combine(&crc32fast::Hasher::new_with_initial_len(part.crc32, part.len));
            composite.update(part.md5);
        }
        let etag = if settings.opaque_etags {
            format!("opaque-{}", random_id())
        } else if settings.has_own_encryption() {
            format!("{}-{}", random_id(), parts.len())
        } else {
            format!("{}-{}", hex(&composite.finalize()), parts.len())
        };
        let md5 = OnceLock::new();
        if let [part] = &parts[..] {
            let _ = md5.set(part.md5);
        }
        let id = random_id();
        let size = parts.iter().map(|part| part.len).sum();
        Self { id, size, crc32: crc32.finalize(), etag, stored_at: now, parts, md5 }
    }

    /// MD5 of the whole content; reads all of it the first time where there are several parts.
    pub(super) fn md5(self: &Arc<Self>) -> [u8; 16] {
        *self.md5.get_or_init(|| {
            let mut md5 = Md5::new();
            let mut reader = Reader::new(self.clone(), 0..self.size);
            while let Ok(Some(piece)) = reader.next() {
                md5.update(&piece);
            }
            md5.finalize().into()
        })
    }

    pub(super) fn bytes(self: &Arc<Self>) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut reader = Reader::new(self.clone(), 0..self.size);
        while let Ok(Some(piece)) = reader.next() {
            bytes.extend_from_slice(&piece);
        }
        bytes
    }
}

/// Reads a range of an object, piece by piece.
pub(super) struct Reader {
    object: Arc<Object>,
    part: usize,
    /// Offset in the current part.
    at: u64,
    /// In memory: the current buffer and the offset in the part at which it begins.
    buffer: (usize, u64),
    file: Option<File>,
    left: u64,
}

impl Reader {
    pub(super) fn new(object: Arc<Object>, range: Range<u64>) -> Self {
        let (mut part, mut at) = (0, range.start);
        while object.parts.get(part).is_some_and(|stored| stored.len <= at) {
            at -= object.parts[part].len;
            part += 1;
        }
        Self { object, part, at, buffer: (0, 0), file: None, left: range.end.saturating_sub(range.start) }
    }

    /// The next piece; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Bytes>> {
        while self.left > 0 {
            let Some(part) = self.object.parts.get(self.part).cloned() else { return Ok(None) };
            if self.at >= part.len {
                self.part += 1;
                (self.at, self.buffer, self.file) = (0, (0, 0), None);
                continue;
            }
            let want = usize::try_from(self.left.min(part.len - self.at)).unwrap_or(PIECE).min(PIECE);
            let piece = match &part.body {
                Body::Memory(chunks) => self.piece_in_memory(chunks, want),
                Body::Disk(stored) => {
                    let file = match &self.file {
                        Some(file) => file,
                        None => self.file.insert(File::open(&stored.path)?),
                    };
                    let mut piece = vec![0; want];
                    file.read_exact_at(&mut piece, self.at)?;
                    Bytes::from(piece)
                }
            };
            self.at += piece.len() as u64;
            self.left -= piece.len() as u64;
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    fn piece_in_memory(&mut self, chunks: &[Bytes], want: usize) -> Bytes {
        let (index, begin) = &mut self.buffer;
        while let Some(chunk) = chunks.get(*index) {
            let end = *begin + chunk.len() as u64;
            if self.at < end {
                let from = usize::try_from(self.at - *begin).unwrap_or(0);
                return chunk.slice(from..chunk.len().min(from + want));
            }
            (*index, *begin) = (*index + 1, end);
        }
        Bytes::new()
    }
}
