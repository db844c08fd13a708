//! Reading: what is here is answered at once, what is missing is fetched once for all who ask.

use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::Filesystem;
use crate::model::failure::Failure;
use crate::model::ino::{ContentId, Ino};
use crate::model::node::Local;
use crate::model::readahead::ReadAhead;

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
    /// Reads, if the bytes are here; `None` when they must be fetched ([`Self::read`]).
    pub fn read_now(&self, ino: Ino, offset: u64, size: u32) -> Option<Result<Vec<u8>, Failure>> {
        {
            let core = self.core();
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
            Ok(Look::Here(id, range, _)) => Some(self.bytes_here(id, range)),
            Ok(_) => None,
            Err(failure) => Some(Err(failure)),
        }
    }

    /// Reads, after fetching what is missing.
    pub async fn read(self: &Arc<Self>, ino: Ino, offset: u64, size: u32) -> Result<Vec<u8>, Failure> {
        let (id, range) = self.wait_for(ino, offset, size).await?;
        self.bytes_here(id, range)
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
            tokio::spawn(async move { filesystem.fetch(ino, id, range).await });
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

    fn bytes_here(&self, id: ContentId, range: Range<u64>) -> Result<Vec<u8>, Failure> {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        if range.is_empty() {
            return Ok(bytes);
        }
        let file = self.store.file(id)?;
        let mut filled = 0;
        while filled < bytes.len() {
            match file.read_at(&mut bytes[filled..], range.start + filled as u64)? {
                // Cut off in the meantime.
                0 => break,
                count => filled += count,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
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
