//! Bytes that arrive, counted.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Response;
use tokio::time::{Instant, sleep_until};

use super::deadline;
use super::error::{Error, Phase};
use super::error_kind::ErrorKind;
use super::line::Line;
use super::slots::Slot;
use super::storage::next_piece;
use crate::model::digest::ETag;

/// The body of a download. It holds one of the client's transfer slots, so it is to be read or dropped
/// soon; dropping it ends the transfer.
#[derive(Debug)]
pub struct Body {
    /// What the storage calls this version, where it says.
    pub etag: Option<ETag>,
    /// Bytes of the whole file, where the storage says.
    pub total: Option<u64>,
    /// Bytes that this body brings.
    pub length: u64,
    pub(super) left: u64,
    /// What came and was not handed out yet.
    pub(super) waiting: Option<Waiting>,
    pub(super) response: Response,
    /// Longest silence between two pieces.
    pub(super) limit: Duration,
    pub(super) asked: String,
    pub(super) slot: Option<Slot>,
    pub(super) line: Arc<Line>,
}

/// Bytes that are here, and that the limit of bandwidth holds back.
#[derive(Debug)]
pub(super) struct Waiting {
    piece: Bytes,
    until: Instant,
}

impl Body {
    /// The next bytes; `None` once all [`Self::length`] bytes were there.
    ///
    /// Whoever stops waiting for it loses nothing: what came meanwhile is kept here, and the next call hands it out.
    ///
    /// # Errors
    /// [`ErrorKind::Network`] for a body that ends early, [`ErrorKind::Timeout`] for one that stands
    /// still, [`ErrorKind::Protocol`] for one that brings too much; never a short `None`.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let until = loop {
            if let Some(waiting) = &self.waiting {
                break waiting.until;
            }
            match next_piece(&mut self.response, &self.asked, self.limit).await? {
                Some(piece) if piece.len() as u64 > self.left => {
                    let happened = format!("more than the {} bytes that were announced", self.length);
                    return Err(Error::new(ErrorKind::Protocol, &self.asked, happened));
                }
                Some(piece) if piece.is_empty() => {}
                Some(piece) => {
                    deadline::progressed();
                    // Paid for once, however often somebody comes to wait for it.
                    let until = Instant::now() + self.line.sell(piece.len());
                    self.waiting = Some(Waiting { piece, until });
                }
                None if self.left > 0 => {
                    let happened = format!("the body ended {} bytes early", self.left);
                    return Err(Error::new(ErrorKind::Network, &self.asked, happened)
                        .with(|d| d.phase = Phase::Unanswered));
                }
                None => return Ok(None),
            }
        };
        if until > Instant::now() {
            // The storage is not asked for more meanwhile, and the silence is ours.
            sleep_until(until).await;
        }
        // Nobody can stop waiting between here and the answer.
        let Some(Waiting { piece, .. }) = self.waiting.take() else { return Ok(None) };
        self.left -= piece.len() as u64;
        if self.left == 0
            && let Some(slot) = &mut self.slot
        {
            slot.answered(self.length);
        }
        Ok(Some(piece))
    }
}
