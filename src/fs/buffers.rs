//! Memory for parts that are on their way: bounded for the whole mount, used again by the next part, and given back
//! to the system when none is under way. Pages that are touched for the first time cost as much as the copy that
//! fills them, and an allocator that keeps them would keep the mount large for ever.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use memmap2::MmapMut;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::parts::WHOLE_UP_TO;

const MIB: usize = 1 << 20;

/// Memory of all parts together, in MiB.
const ROOM: usize = 96;

/// Buffers that wait for the next part while others are under way.
const IDLE: usize = 4;

/// The memory of a mount for parts.
#[derive(Debug, Clone)]
pub(super) struct Buffers {
    room: Arc<Semaphore>,
    pool: Arc<Mutex<Pool>>,
}

#[derive(Debug, Default)]
struct Pool {
    idle: Vec<MmapMut>,
    lent: usize,
}

/// The bytes of one part.
pub(super) struct Buffer {
    memory: Memory,
    len: usize,
    pool: Arc<Mutex<Pool>>,
    /// Goes after the memory: fields are dropped in their order.
    _room: OwnedSemaphorePermit,
}

enum Memory {
    /// Too small to be worth pages of its own.
    Heap(Vec<u8>),
    /// `None` once it went back to the pool.
    Pages(Option<MmapMut>),
}

fn locked(pool: &Mutex<Pool>) -> MutexGuard<'_, Pool> {
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for Buffers {
    fn default() -> Self {
        Self { room: Arc::new(Semaphore::new(ROOM)), pool: Arc::default() }
    }
}

impl Buffers {
    /// Waits until there is room for a part of `len` bytes. A part larger than all of it takes all.
    pub async fn reserve(&self, len: u64) -> Room {
        let mib = len.div_ceil(MIB as u64).clamp(1, ROOM as u64) as u32;
        let room = self.room.clone().acquire_many_owned(mib).await.expect("the semaphore is never closed");
        Room { room, pool: self.pool.clone(), len: len as usize }
    }
}

/// Room for one part, whose memory is not taken yet.
#[derive(Debug)]
pub(super) struct Room {
    room: OwnedSemaphorePermit,
    pool: Arc<Mutex<Pool>>,
    len: usize,
}

impl Room {
    /// Takes the memory. Its bytes are anything.
    ///
    /// # Errors
    /// The system has none.
    pub fn take(self) -> std::io::Result<Buffer> {
        let Self { room, pool, len } = self;
        let memory = if len < MIB {
            Memory::Heap(vec![0; len])
        } else {
            let idle = {
                let mut pool = locked(&pool);
                let fits = pool.idle.iter().position(|pages| pages.len() >= len);
                fits.map(|at| pool.idle.swap_remove(at))
            };
            let pages = match idle {
                Some(pages) => pages,
                // Pages that nobody touches take no memory.
                None => MmapMut::map_anon(len.max(WHOLE_UP_TO as usize))?,
            };
            locked(&pool).lent += 1;
            Memory::Pages(Some(pages))
        };
        Ok(Buffer { memory, len, pool, _room: room })
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.memory {
            Memory::Heap(bytes) => bytes,
            Memory::Pages(pages) => pages.as_deref().map_or(&[], |pages| &pages[..self.len]),
        }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.memory {
            Memory::Heap(bytes) => bytes,
            Memory::Pages(pages) => pages.as_deref_mut().map_or(&mut [], |pages| &mut pages[..self.len]),
        }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer of {} bytes", self.len)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Memory::Pages(pages) = &mut self.memory else { return };
        let Some(pages) = pages.take() else { return };
        let mut pool = locked(&self.pool);
        pool.lent -= 1;
        // A large one is rare, and would take the place of several.
        if pages.len() == WHOLE_UP_TO as usize && pool.idle.len() < IDLE {
            pool.idle.push(pages);
        }
        if pool.lent == 0 {
            pool.idle.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(buffers: &Buffers) -> (usize, usize) {
        let pool = locked(&buffers.pool);
        (pool.lent, pool.idle.len())
    }

    #[tokio::test]
    async fn a_buffer_is_used_again_and_given_back_when_none_is_under_way() {
        let buffers = Buffers::default();
        let take = async |len| buffers.reserve(len).await.take().unwrap();
        let (mut first, second) = (take(WHOLE_UP_TO).await, take(3 << 20).await);
        assert_eq!((first.len(), second.len(), sizes(&buffers)), (WHOLE_UP_TO as usize, 3 << 20, (2, 0)));
        first[7] = 7;
        let at = first.as_ptr();
        drop(first);
        assert_eq!(sizes(&buffers), (1, 1));
        let again = take(2 << 20).await;
        assert_eq!((again.as_ptr(), again.len(), sizes(&buffers)), (at, 2 << 20, (2, 0)));
        drop((second, again));
        assert_eq!(sizes(&buffers), (0, 0), "nothing is kept for nobody");
        assert_eq!((take(0).await.len(), take(100).await.len(), sizes(&buffers)), (0, 100, (0, 0)));
    }

    #[tokio::test]
    async fn whoever_finds_no_room_waits_for_a_buffer_to_go() {
        let buffers = Buffers::default();
        let mut taken = Vec::new();
        for _ in 0..ROOM / 16 {
            taken.push(buffers.reserve(16 << 20).await.take().unwrap());
        }
        let mut huge = std::pin::pin!(buffers.reserve(1 << 30));
        assert!(futures_util::poll!(&mut huge).is_pending());
        taken.pop();
        assert!(futures_util::poll!(&mut huge).is_pending(), "it needs all of it");
        drop(taken);
        assert_eq!(huge.await.take().unwrap().len(), 1 << 30);
    }
}
