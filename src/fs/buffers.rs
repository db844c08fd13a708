//! Memory for parts that are on their way: bounded for the whole mount, used again by the next part, and given back
//! to the system when none is under way. Pages that are touched for the first time cost as much as the copy that
//! fills them, and an allocator that keeps them would keep the mount large for ever.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use memmap2::{MmapMut, UncheckedAdvice};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::parts::{PART, WHOLE_UP_TO};

const MIB: usize = 1 << 20;
/// What the system gives and takes memory by, or a multiple of it.
const PAGE: usize = 64 << 10;

/// Memory of all parts together, in MiB: two of the parts of a file of 42 GiB and more. A larger one has all of it, and
/// more.
const ROOM: usize = 128;

/// Of this size and up to one of the usual ones, a part takes pages that were used before.
const WORTH_KEEPING: usize = PART as usize / 2;
const USUAL: usize = WHOLE_UP_TO as usize;

/// Buffers that wait for the next part while others are under way.
const IDLE: usize = 4;

/// The memory of a mount for parts.
#[derive(Debug)]
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
    Pages(MmapMut),
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
    /// Waits until there is room for a part of `len` bytes. A part larger than all of it takes all. Dropped, it takes
    /// none.
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
        let pages = match len {
            ..MIB => None,
            WORTH_KEEPING..=USUAL => Some(used_before(&pool, len)?),
            _ => Some(MmapMut::map_anon(len)?),
        };
        let memory = match pages {
            None => Memory::Heap(vec![0; len]),
            Some(pages) => {
                locked(&pool).lent += 1;
                Memory::Pages(pages)
            }
        };
        Ok(Buffer { memory, len, pool, _room: room })
    }
}

/// Pages of the usual size, of which no more than `len` bytes take memory.
fn used_before(pool: &Mutex<Pool>, len: usize) -> std::io::Result<MmapMut> {
    let Some(pages) = locked(pool).idle.pop() else { return MmapMut::map_anon(USUAL) };
    let end = len.next_multiple_of(PAGE).min(USUAL);
    // SAFETY: the pages are nobody else's, and what they hold is not looked at before it is written.
    unsafe { pages.unchecked_advise_range(UncheckedAdvice::DontNeed, end, USUAL - end)? };
    Ok(pages)
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.memory {
            Memory::Heap(bytes) => bytes,
            Memory::Pages(pages) => &pages[..self.len],
        }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.memory {
            Memory::Heap(bytes) => bytes,
            Memory::Pages(pages) => &mut pages[..self.len],
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
        let Memory::Pages(pages) = std::mem::replace(&mut self.memory, Memory::Heap(Vec::new())) else {
            return;
        };
        let mut pool = locked(&self.pool);
        pool.lent -= 1;
        // Smaller ones are soon made, and larger ones rare.
        if pages.len() == USUAL && pool.idle.len() < IDLE {
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
        let (mut first, small) = (take(WHOLE_UP_TO).await, take(3 << 20).await);
        assert_eq!((first.len(), small.len(), sizes(&buffers)), (USUAL, 3 << 20, (2, 0)));
        first.fill(7);
        let at = first.as_ptr();
        drop(first);
        assert_eq!(sizes(&buffers), (1, 1));
        drop(take(3 << 20).await);
        assert_eq!(sizes(&buffers), (1, 1), "a small part has pages of its own");
        let again = take(PART + 1).await;
        assert_eq!((again.as_ptr(), again.len(), sizes(&buffers)), (at, PART as usize + 1, (2, 0)));
        let Memory::Pages(pages) = &again.memory else { panic!("it has pages") };
        let is_given_back = |at: usize| pages[at] == 0;
        assert!(!is_given_back(PART as usize), "what is used is used again");
        assert!(is_given_back(USUAL - 1) && is_given_back(PART as usize + PAGE), "the rest takes no memory");
        drop((small, again));
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
