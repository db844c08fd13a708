//! The digest of a file that is being fetched: computed behind the bytes as they arrive, so that little is left to
//! do when the last ones are here, and a reader waits for them alone.

use std::fs::File;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;
use tokio::sync::Mutex as Turn;

use super::on_disk;
use crate::model::digest::{Digest, Hasher};
use crate::model::failure::Failure;
use crate::model::ino::ContentId;

/// Files of which it is remembered how far they were hashed. For others, the end takes longer.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(64).unwrap();
/// Fewer new bytes than this are not worth a trip to the disk.
const WORTH_IT: u64 = 4 << 20;

/// A digest over the bytes before `at`.
#[derive(Debug, Default)]
struct Prefix {
    hasher: Hasher,
    at: u64,
}

impl Prefix {
    /// Takes the bytes up to `end`, which are all here.
    fn advance(&mut self, file: &File, end: u64) -> std::io::Result<()> {
        let mut buffer = vec![0; 1 << 20];
        while self.at < end {
            let want = buffer.len().min((end - self.at) as usize);
            file.read_exact_at(&mut buffer[..want], self.at)?;
            self.hasher.update(&buffer[..want]);
            self.at += want as u64;
        }
        Ok(())
    }
}

/// How far files that are being fetched were hashed.
#[derive(Debug)]
pub(super) struct Checks(Mutex<LruCache<ContentId, Arc<Turn<Prefix>>>>);

impl Default for Checks {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(REMEMBERED)))
    }
}

impl Checks {
    fn of(&self, id: ContentId) -> Arc<Turn<Prefix>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get_or_insert(id, Default::default).clone()
    }

    /// All bytes before `end` are here, and do not change any more.
    pub(super) fn follow(&self, id: ContentId, file: &Arc<File>, end: u64) {
        if end < WORTH_IT {
            return;
        }
        // Somebody hashes already: whoever comes next takes these along.
        let Ok(mut prefix) = self.of(id).try_lock_owned() else { return };
        if end < prefix.at + WORTH_IT {
            return;
        }
        let file = file.clone();
        // What cannot be read here is read again, and told, at the end.
        tokio::task::spawn_blocking(move || prefix.advance(&file, end));
    }

    /// The digest of all `size` bytes, which are here.
    pub(super) async fn finish(&self, id: ContentId, file: Arc<File>, size: u64) -> Result<Digest, Failure> {
        let prefix = self.of(id);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop(&id);
        let mut prefix = prefix.lock_owned().await;
        on_disk(move || {
            prefix.advance(&file, size)?;
            Ok(std::mem::take(&mut *prefix).hasher.finish())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::digest::Md5;

    #[tokio::test]
    async fn the_digest_is_that_of_all_bytes_however_they_came() {
        let bytes: Vec<u8> = (0..11u32 << 20).map(|n| (n * 7 + n / 251) as u8).collect();
        for steps in [vec![], vec![5 << 20], vec![100, 4 << 20, 9 << 20, 9 << 20, 11 << 20]] {
            let file = Arc::new(tempfile::tempfile().unwrap());
            file.write_all_at(&bytes, 0).unwrap();
            let checks = Checks::default();
            for end in steps {
                checks.follow(ContentId(1), &file, end);
            }
            let digest = checks.finish(ContentId(1), file, bytes.len() as u64).await.unwrap();
            assert_eq!((digest.size, digest.md5), (bytes.len() as u64, Md5::of(&bytes)));
        }
    }
}
