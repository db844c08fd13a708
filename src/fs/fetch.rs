//! Fetching: ranges of one version of a file, into the cache. What comes goes through one door ([`super::admit`]).

use std::ops::Range;
use std::sync::PoisonError;
use std::time::Duration;

use bytes::Bytes;

use super::admit::{Intake, Source};
use super::complaints::About;
use super::core::Core;
use super::{Filesystem, told};
use crate::model::failure::Failure;
use crate::model::ino::{ContentId, Ino};
use crate::model::node::Local;
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
            let mut is_wanted = false;
            if let Ok(file) = core.tree.file_mut(ino)
                && let Local::Cached(here, ahead) = &mut file.local
                && *here == id
            {
                is_wanted = true;
                ahead.ended(range);
                if let Err(failure) = &outcome {
                    file.fetch_failures.failed(failure.clone());
                }
            }
            core.tree.path(ino).filter(|_| is_wanted)
        };
        if let (Err(failure), Some(path)) = (&outcome, path)
            && self.complaints.is_told(About::Reads, failure)
        {
            tracing::error!("{path} cannot be read: {failure}");
        }
        self.arrivals.notify_waiters();
        self.make_room();
    }

    async fn bring(&self, ino: Ino, id: ContentId, range: &Range<u64>) -> Result<(), Failure> {
        let mut intake = self.expect(ino, id, range)?;
        let mut last = Failure::plain(libc::EIO);
        for _ in 0..ATTEMPTS {
            if intake.missing().is_empty() {
                return Ok(());
            }
            let download = self.download(ino).await?;
            match self.pour(&mut intake, &download).await {
                // What was announced came, and it is not all: asked for once more.
                Ok(()) => {}
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
        if intake.missing().is_empty() { Ok(()) } else { Err(last) }
    }

    /// A signed URL of the version that the mount shows; one for all who read the file.
    async fn download(&self, ino: Ino) -> Result<Download, Failure> {
        if let Some(download) = self.known_download(ino)? {
            return Ok(download);
        }
        let _turn = self.openings.take(ino).await?;
        if let Some(download) = self.known_download(ino)? {
            return Ok(download);
        }
        // The file stays where it is until the answer is there.
        let _naming = self.naming.take(ino).await?;
        let _shape = self.paths_stay(&[ino]).await?;
        let deadline = self.waits_until();
        let download = loop {
            let (path, places, ended) = {
                let core = self.core();
                let path = core.tree.path(ino).ok_or(Failure::plain(libc::ENOENT))?;
                let places = core.backlog.places(&path);
                (path, places, core.backlog.ended())
            };
            let mut answer = self.remote.open_download(places[0].1.path()).await;
            for (_, place) in &places[1..] {
                // A move that nobody has noted yet may have been made.
                if answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
                    answer = self.remote.open_download(place.path()).await;
                }
            }
            // Moved meanwhile by a step: nothing, or another file, may be there now.
            let is_lost = answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound);
            let has_changed = |core: &Core| {
                let mut places = places.iter().map(|(_, place)| place.path());
                core.backlog.has_changed(&path, ended) || places.any(|at| core.backlog.has_changed(at, ended))
            };
            let moved = match is_lost {
                true => self.doubt_ends(&path, ended, deadline).await?,
                false => has_changed(&self.core()),
            };
            if moved {
                continue;
            }
            let download = answer.map_err(|error| told(&error))?;
            let mut core = self.core();
            let expected = core.tree.file(ino)?.published;
            if expected.is_none_or(|version| version.is_same_version(&download.entry.fingerprint())) {
                if core.compare_with_proof(ino, &download.entry.fingerprint()) {
                    self.errands.notify_one();
                }
                break download;
            }
            // Unless a copy was made in the meantime, which is a version of its own.
            if !has_changed(&core) {
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

    /// Brings in what arrives; the intake knows how far it came.
    async fn pour(&self, intake: &mut Intake, download: &Download) -> Result<(), Spill> {
        let mut body = self.remote.fetch(download, Some(intake.missing())).await?;
        let source = Source { stated: Some(download.entry.fingerprint()), object: body.etag.clone() };
        loop {
            let Gathered { pieces, bytes, broken } = gather(&mut body).await;
            if bytes > 0 {
                self.admit(intake, pieces, &source).await?;
            }
            match broken {
                Some(error) => return Err(error.into()),
                None if bytes == 0 => return Ok(()),
                None => {}
            }
        }
    }
}

/// Bytes that came one after the other.
struct Gathered {
    pieces: Vec<Bytes>,
    bytes: u64,
    /// What came instead of more.
    broken: Option<remote::Error>,
}

/// What arrives at once is written at once: the disk is another thread, and every trip there costs. What comes in the
/// moment when it stops waiting stays with the body, for the next time.
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
