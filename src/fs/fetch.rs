//! Fetching: ranges of one version of a file, into the cache.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::core::Core;
use super::{Filesystem, on_disk, told};
use crate::model::digest::{ETag, Md5};
use crate::model::failure::Failure;
use crate::model::ino::{ContentId, Ino};
use crate::model::node::Local;
use crate::model::path::RemotePath;
use crate::remote::{self, Body, Download, ErrorKind};

/// How often one range is asked for until all its bytes came.
const ATTEMPTS: u32 = 4;
/// So many bytes are written in one go, unless they keep others waiting for longer than `LINGER`.
const GATHERED: u64 = 1 << 20;
const LINGER: Duration = Duration::from_millis(2);

impl Filesystem {
    /// Fetches one range that was planned, and tells those who wait how it ended.
    pub(super) async fn fetch(&self, ino: Ino, id: ContentId, range: Range<u64>) {
        let outcome = self.bring(ino, id, &range).await;
        let path = {
            let mut core = self.core();
            if let Ok(file) = core.tree.file_mut(ino)
                && let Local::Cached(here, ahead) = &mut file.local
                && *here == id
            {
                ahead.ended(range);
                if let Err(failure) = &outcome {
                    file.fetch_failures.failed(failure.clone());
                }
            }
            core.tree.path(ino)
        };
        if let (Err(failure), Some(path)) = (&outcome, path) {
            tracing::error!("{path} cannot be read: {failure}");
        }
        self.arrivals.notify_waiters();
        self.make_room();
    }

    async fn bring(&self, ino: Ino, id: ContentId, range: &Range<u64>) -> Result<(), Failure> {
        let mut at = range.start;
        let mut last = Failure::plain(libc::EIO);
        for _ in 0..ATTEMPTS {
            if at >= range.end {
                return Ok(());
            }
            let download = self.download(ino).await?;
            match self.pour(ino, id, &download, &mut at, range.end).await {
                Ok(()) => return Ok(()),
                Err(Spill::Local(failure)) => return Err(failure),
                Err(Spill::Remote(error)) => {
                    self.downloads.lock().unwrap_or_else(PoisonError::into_inner).remove(&ino);
                    last = told(&error);
                    if !matches!(
                        error.kind(),
                        ErrorKind::UrlExpired
                            | ErrorKind::VersionChanged
                            | ErrorKind::Network
                            | ErrorKind::Timeout
                    ) {
                        return Err(last);
                    }
                }
            }
        }
        Err(last)
    }

    /// A signed URL of the version that the mount shows; one for all who read the file.
    async fn download(&self, ino: Ino) -> Result<Download, Failure> {
        if let Some(download) = self.known_download(ino)? {
            return Ok(download);
        }
        let _turn = self.openings.take(ino).await;
        if let Some(download) = self.known_download(ino)? {
            return Ok(download);
        }
        // The file stays where it is until the answer is there.
        let _naming = self.naming.take(ino).await;
        let _shape = self.shape.read().await;
        let download = loop {
            let (path, origin, ended) = {
                let core = self.core();
                let path = core.tree.path(ino).ok_or(Failure::plain(libc::ENOENT))?;
                let origin = self.origin(&core, &path);
                (path, origin, core.backlog.ended())
            };
            let answer = self.remote.open_download(&origin).await;
            // Moved meanwhile by a step: nothing, or another file, may be there now.
            let is_lost = answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound);
            let moved = match origin == path {
                true => false,
                false if is_lost => self.names_settle(ended).await,
                false => self.has_changed(&[&path, &origin], ended),
            };
            if moved {
                continue;
            }
            let download = answer.map_err(|error| told(&error))?;
            let core = self.core();
            let expected = core.tree.file(ino)?.published;
            if expected.is_none_or(|version| version.is_same_version(&download.entry.fingerprint())) {
                break download;
            }
            // Unless a copy was made in the meantime, which is a version of its own.
            if origin == path || ![&path, &origin].iter().any(|path| core.backlog.has_changed(path, ended)) {
                return Err(Failure::new(
                    libc::ESTALE,
                    format!("{path} was replaced by somebody else; open it again to read the new version"),
                ));
            }
        };
        let mut downloads = self.downloads.lock().unwrap_or_else(PoisonError::into_inner);
        downloads.retain(|_, download| !download.is_expired());
        downloads.insert(ino, download.clone());
        Ok(download)
    }

    fn has_changed(&self, paths: &[&RemotePath], ended: u64) -> bool {
        let core = self.core();
        paths.iter().any(|path| core.backlog.has_changed(path, ended))
    }

    /// A URL that was asked for before, if it is still good, and of the version that is shown now.
    fn known_download(&self, ino: Ino) -> Result<Option<Download>, Failure> {
        let shown = self.core().tree.file(ino)?.published;
        let downloads = self.downloads.lock().unwrap_or_else(PoisonError::into_inner);
        let known = downloads.get(&ino).filter(|download| {
            let version = download.entry.fingerprint();
            !download.is_expired() && shown.is_none_or(|shown| version.is_same_version(&shown))
        });
        Ok(known.cloned())
    }

    /// Writes what arrives; `at` says how far it came.
    async fn pour(
        &self,
        ino: Ino,
        id: ContentId,
        download: &Download,
        at: &mut u64,
        end: u64,
    ) -> Result<(), Spill> {
        let file = self.store.file(id).map_err(Failure::from)?;
        let mut body = self.remote.fetch(download, Some(*at..end)).await?;
        let etag = body.etag.clone();
        loop {
            let Gathered { pieces, bytes, broken } = gather(&mut body).await;
            if bytes > 0 {
                let arrived = *at..(*at + bytes).min(end);
                self.write_arrived(&file, *at, pieces, bytes).await?;
                let here = self.note_arrival(ino, id, arrived.clone(), etag.as_ref()).await?;
                *at = arrived.end;
                self.arrivals.notify_waiters();
                self.checks.follow(id, &file, here);
            }
            match broken {
                Some(error) => return Err(error.into()),
                None if bytes == 0 => return Ok(()),
                None => {}
            }
        }
    }

    async fn write_arrived(
        &self,
        file: &Arc<File>,
        offset: u64,
        pieces: Vec<Bytes>,
        bytes: u64,
    ) -> Result<(), Failure> {
        let write = |pieces: Vec<Bytes>| {
            let file = file.clone();
            on_disk(move || write_pieces(&file, offset, &pieces))
        };
        match write(pieces.clone()).await {
            // The disk is fuller than the limit says: what was used longest ago makes way.
            Err(failure) if failure.errno == libc::ENOSPC && self.evict_for_disk(bytes).await => {
                write(pieces).await
            }
            outcome => outcome,
        }
    }

    /// Bytes are here. The last of them count only once the whole file is compared with its MD5. Says up to
    /// where all bytes of the file are here.
    async fn note_arrival(
        &self,
        ino: Ino,
        id: ContentId,
        range: Range<u64>,
        etag: Option<&ETag>,
    ) -> Result<u64, Failure> {
        let (size, md5) = {
            let mut core = self.core();
            let file = core.tree.file(ino)?;
            let Local::Cached(here, ahead) = &file.local else { return Ok(0) };
            if *here != id {
                return Ok(0);
            }
            // Noted under the same lock: of two that arrive together, one is the last.
            if ahead.is_whole() || !ahead.completes(&range) {
                return note_here(&mut core, ino, id, range);
            }
            (file.size, file.published.and_then(|version| version.md5).or(file.proven))
        };
        self.check_whole(ino, id, size, md5, etag).await?;
        note_here(&mut self.core(), ino, id, range)
    }

    /// Compares a file that was fetched whole with what Files.com says it is. Bad bytes are thrown
    /// away, never handed out.
    async fn check_whole(
        &self,
        ino: Ino,
        id: ContentId,
        size: u64,
        stated: Option<Md5>,
        etag: Option<&ETag>,
    ) -> Result<(), Failure> {
        // An object of one part shows the MD5 of its MD5, where the site states none.
        let composite = match etag {
            Some(etag @ ETag::Composite { parts: 1, .. }) => Some(etag.clone()),
            _ => None,
        };
        if stated.is_none() && composite.is_none() {
            return Ok(());
        }
        let md5 = self.checks.finish(id, self.store.file(id)?, size).await?;
        let differs = stated.is_some_and(|stated| stated != md5)
            || (stated.is_none() && composite.is_some_and(|etag| etag != ETag::composite(&[md5])));
        if !differs {
            return Ok(());
        }
        let mut core = self.core();
        let path = core.tree.path(ino);
        let file = core.tree.file_mut(ino)?;
        if file.local.id() != Some(id) {
            // Emptied or dropped in the meantime: what is there now was not fetched.
            return Ok(());
        }
        let failure = Failure::new(
            libc::EIO,
            format!(
                "the bytes of {} that arrived are not those that Files.com states (MD5 here {md5}); read it again, \
                 and if this stays, the copy on Files.com is damaged",
                path.map_or_else(|| "a file".to_owned(), |path| path.to_string())
            ),
        );
        file.fetch_failures.failed(failure.clone());
        file.local = Local::Nowhere;
        // Those that were read ahead of the last one are in the kernel's memory already.
        file.stale_pages = true;
        core.cached.remove(ino);
        drop(core);
        let _ = self.stale.send(super::Stale::Inode(ino));
        self.store.remove(id);
        Err(failure)
    }
}

/// Counts bytes as here, if `id` is still where they belong. Says up to where all are.
fn note_here(core: &mut Core, ino: Ino, id: ContentId, range: Range<u64>) -> Result<u64, Failure> {
    if let Local::Cached(here, ahead) = &mut core.tree.file_mut(ino)?.local
        && *here == id
    {
        ahead.arrived(range);
        let (bytes, end) = (ahead.bytes_here(), ahead.here_up_to());
        core.cached.note(ino, bytes);
        return Ok(end);
    }
    Ok(0)
}

/// Bytes that came one after the other.
struct Gathered {
    pieces: Vec<Bytes>,
    bytes: u64,
    /// What came instead of more.
    broken: Option<remote::Error>,
}

/// What arrives at once is written at once: the disk is another thread, and every trip there costs.
async fn gather(body: &mut Body) -> Gathered {
    let mut gathered = Gathered { pieces: Vec::new(), bytes: 0, broken: None };
    let mut next = body.chunk().await;
    loop {
        match next {
            Ok(Some(piece)) => {
                gathered.bytes += piece.len() as u64;
                gathered.pieces.push(piece);
            }
            Ok(None) => return gathered,
            Err(error) => return Gathered { broken: Some(error), ..gathered },
        }
        if gathered.bytes >= GATHERED {
            return gathered;
        }
        next = match tokio::time::timeout(LINGER, body.chunk()).await {
            Ok(next) => next,
            Err(_) => return gathered,
        };
    }
}

fn write_pieces(file: &File, mut offset: u64, pieces: &[Bytes]) -> std::io::Result<()> {
    pieces.iter().try_for_each(|piece| {
        file.write_all_at(piece, offset)?;
        offset += piece.len() as u64;
        Ok(())
    })
}

/// Why bytes did not get into the cache.
enum Spill {
    Local(Failure),
    Remote(remote::Error),
}

impl From<Failure> for Spill {
    fn from(failure: Failure) -> Self {
        Self::Local(failure)
    }
}

impl From<remote::Error> for Spill {
    fn from(error: remote::Error) -> Self {
        Self::Remote(error)
    }
}
