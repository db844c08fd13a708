//! Reading: what is here is answered at once, what is missing is fetched once for all who ask.

use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::Filesystem;
use crate::model::failure::Failure;
use crate::model::ino::{ContentId, Ino};
use crate::model::node::Local;
use crate::model::readahead::ReadAhead;
use crate::remote::Deadline;

/// What a look at the local bytes found.
enum Look {
    /// All of it is here. Fetch these for the next reads (nobody does yet).
    Here(ContentId, Range<u64>, Vec<Range<u64>>),
    /// Fetch these (nobody does yet), then look again.
    Missing(ContentId, Vec<Range<u64>>),
    /// The file has no bytes on this machine, not even an empty file in the cache.
    NoPlace,
}

impl Filesystem {
    /// Reads by the descriptor `handle`, if the bytes are here; `None` when they must be fetched ([`Self::read`]).
    pub fn read_now(
        &self,
        ino: Ino,
        handle: u64,
        offset: u64,
        size: u32,
    ) -> Option<Result<Vec<u8>, Failure>> {
        {
            let core = self.core();
            if let Err(failure) = core.is_sound(handle) {
                return Some(Err(failure));
            }
            let local = match core.tree.file(ino) {
                Ok(file) => &file.local,
                Err(failure) => return Some(Err(failure)),
            };
            // A reader of fetched bytes goes the long way, which also plans what comes next.
            match local {
                Local::Spooled(_) => {}
                Local::Cached(_, here) if here.is_whole() => {}
                _ => return None,
            }
        }
        match self.look(ino, offset, size, &mut None) {
            // What cannot be read where it is goes the long way, which looks why.
            Ok(Look::Here(id, range, _)) => self.bytes_here(ino, id, range).transpose(),
            Ok(_) => None,
            Err(failure) => Some(Err(failure)),
        }
    }

    /// Reads by the descriptor `handle`, after fetching what is missing.
    ///
    /// # Errors
    /// EIO for a descriptor that was open when bytes of the file turned out to be bad.
    pub async fn read(
        self: &Arc<Self>,
        ino: Ino,
        handle: u64,
        offset: u64,
        size: u32,
    ) -> Result<Vec<u8>, Failure> {
        self.core().is_sound(handle)?;
        let bytes = self.read_bytes(ino, offset, size).await?;
        // What was thrown away meanwhile is not handed out.
        self.core().is_sound(handle)?;
        Ok(bytes)
    }

    /// The same without a descriptor. Dropped, it leaves what it had asked for to others who read the file.
    pub(super) async fn read_bytes(
        self: &Arc<Self>,
        ino: Ino,
        offset: u64,
        size: u32,
    ) -> Result<Vec<u8>, Failure> {
        loop {
            let (id, range) = self.wait_for(ino, offset, size).await?;
            if let Some(bytes) = self.bytes_here(ino, id, range)? {
                return Ok(bytes);
            }
        }
    }

    async fn wait_for(
        self: &Arc<Self>,
        ino: Ino,
        offset: u64,
        size: u32,
    ) -> Result<(ContentId, Range<u64>), Failure> {
        let mut seen = None;
        loop {
            // Asked for before the look, so that no arrival is missed.
            let arrival = self.arrivals.notified();
            tokio::pin!(arrival);
            arrival.as_mut().enable();
            match self.look(ino, offset, size, &mut seen)? {
                Look::Here(id, range, ahead) => {
                    self.fetch_all(ino, id, ahead);
                    return Ok((id, range));
                }
                Look::NoPlace => self.make_place(ino)?,
                Look::Missing(id, fetch) => {
                    self.fetch_all(ino, id, fetch);
                    arrival.await;
                }
            }
        }
    }

    /// Side by side, and nobody waits for it.
    fn fetch_all(self: &Arc<Self>, ino: Ino, id: ContentId, ranges: Vec<Range<u64>>) {
        for range in ranges {
            let filesystem = self.clone();
            // Several may wait for it: it has a time of its own.
            let deadline = Deadline::of_call(self.rules.network_timeout);
            tokio::spawn(deadline.scope(async move { filesystem.fetch(ino, id, range).await }));
        }
    }

    /// `seen`: how many fetches had failed when the reader looked first. Whoever waited for one that failed since
    /// is told why; nothing is planned then, which others would wait for.
    fn look(&self, ino: Ino, offset: u64, size: u32, seen: &mut Option<u64>) -> Result<Look, Failure> {
        let mut core = self.core();
        core.cached.touch(ino);
        let file = core.tree.file_mut(ino)?;
        let range = offset.min(file.size)..offset.saturating_add(size.into()).min(file.size);
        let seen = *seen.get_or_insert(file.fetch_failures.count());
        let failure = file.fetch_failures.since(seen).cloned();
        Ok(match &mut file.local {
            Local::Spooled(id) => Look::Here(*id, range, Vec::new()),
            Local::Cached(id, ahead) => {
                if let Some(failure) = failure.filter(|_| !ahead.has(&range)) {
                    return Err(failure);
                }
                let plan = ahead.read(range.clone());
                match plan.ready {
                    true => Look::Here(*id, range, plan.fetch),
                    false => Look::Missing(*id, plan.fetch),
                }
            }
            Local::Nowhere => Look::NoPlace,
        })
    }

    /// Gives a file an empty place in the cache.
    fn make_place(&self, ino: Ino) -> Result<(), Failure> {
        let id = self.store.create_cached()?;
        let mut core = self.core();
        let file = core.tree.file_mut(ino)?;
        if matches!(file.local, Local::Nowhere) {
            file.local = Local::Cached(id, ReadAhead::new(file.size));
            core.cached.note(ino, 0);
            return Ok(());
        }
        drop(core);
        self.store.remove(id);
        Ok(())
    }

    /// The bytes of `range`; `None` when the file has other bytes by now, or none: then it is looked again.
    ///
    /// # Errors
    /// EIO where the cache does not hold what is known to be in it.
    fn bytes_here(&self, ino: Ino, id: ContentId, range: Range<u64>) -> Result<Option<Vec<u8>>, Failure> {
        if range.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let read = self.store.file(id).and_then(|file| read_up_to(&file, &range));
        let is_cached = {
            let core = self.core();
            let local = &core.tree.file(ino)?.local;
            if local.id() != Some(id) {
                return Ok(None);
            }
            matches!(local, Local::Cached(..))
        };
        match read {
            Ok(bytes) if bytes.len() as u64 == range.end - range.start => Ok(Some(bytes)),
            // A file in the spool is cut off by whoever writes it; one in the cache by nobody.
            Ok(bytes) if !is_cached => Ok(Some(bytes)),
            Ok(_) => {
                Err(self.damaged(ino, id, "the file in the cache folder is not the one that was put there"))
            }
            Err(error) if is_cached && is_another(&error) => {
                Err(self.damaged(ino, id, &format!("the file in the cache folder: {error}")))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// All bytes of a file, in the cache or, for one that is being written, in the spool.
    pub(super) async fn fetch_whole(&self, ino: Ino) -> Result<ContentId, Failure> {
        let mut seen = None;
        loop {
            // Asked for before the look, so that no arrival is missed.
            let arrival = self.arrivals.notified();
            let (id, missing) = {
                let mut core = self.core();
                let file = core.tree.file_mut(ino)?;
                let seen = *seen.get_or_insert(file.fetch_failures.count());
                let (size, failure) = (file.size, file.fetch_failures.since(seen).cloned());
                match &mut file.local {
                    Local::Spooled(id) => return Ok(*id),
                    Local::Cached(id, ahead) if ahead.is_whole() || size == 0 => return Ok(*id),
                    Local::Cached(id, ahead) => match failure {
                        Some(failure) => return Err(failure),
                        None => (*id, ahead.take_all()),
                    },
                    Local::Nowhere => {
                        drop(core);
                        self.make_place(ino)?;
                        continue;
                    }
                }
            };
            if missing.is_empty() {
                // Others fetch the rest; a failure of theirs wakes us too.
                arrival.await;
                continue;
            }
            futures_util::future::join_all(missing.into_iter().map(|range| self.fetch(ino, id, range))).await;
        }
    }
}

/// Is it an answer that a file in the cache can only give when somebody else was at it?
fn is_another(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::InvalidData)
}

/// The bytes of `range`, or fewer where the file ends.
fn read_up_to(file: &std::fs::File, range: &Range<u64>) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; (range.end - range.start) as usize];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], range.start + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
