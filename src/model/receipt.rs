//! What stays of a proof: which version was compared, with what, and when.
//!
//! A receipt is about one version of a file, not about its path. Whoever shows it as proof of what is
//! there asks [`Receipt::is_of`] with the version that Files.com lists now.

use super::digest::Md5;
use super::entry::Entry;
use super::moment::Moment;
use super::path::RemotePath;
use super::proof::{Basis, Fingerprint, Verified};

/// One proof, written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Where the file was when it was proven, or where it was renamed to since.
    pub path: RemotePath,
    /// Bytes.
    pub size: u64,
    /// MD5 of the bytes that left this machine.
    pub md5: Md5,
    /// The MD5 that Files.com or its storage stated; `None` where the proof rests on something else.
    pub there: Option<Md5>,
    /// What the proof rests on.
    pub basis: Basis,
    /// `created_at` of the version.
    pub created: Option<Moment>,
    /// Server time of its last change.
    pub changed: Option<Moment>,
    /// When it was proven, by the clock of this machine.
    pub uploaded: Moment,
}

impl Receipt {
    /// The receipt of a proof that was made of `entry` just now.
    pub fn of(path: RemotePath, proof: &Verified, entry: &Entry, now: Moment) -> Self {
        let md5 = proof.digest().md5;
        let there = matches!(proof.basis(), Basis::FileMd5 | Basis::PartMd5).then_some(md5);
        Self {
            path,
            size: proof.digest().size,
            md5,
            there,
            basis: proof.basis(),
            created: entry.created,
            changed: entry.changed,
            uploaded: now,
        }
    }

    /// Is this a receipt of `version`? An MD5 that is stated decides; else a date has to say so: that
    /// nothing contradicts is not enough.
    pub fn is_of(&self, version: &Fingerprint) -> bool {
        let dates = self.has_dates_of(version);
        self.size == version.size && version.md5.map_or(dates, |md5| md5 == self.md5)
    }

    /// Is this a receipt of `version`, but for the MD5 that is stated of it now? What is there was damaged since.
    pub fn is_contradicted_by(&self, version: &Fingerprint) -> bool {
        let differs = version.md5.is_some_and(|md5| md5 != self.md5);
        differs && self.size == version.size && self.has_dates_of(version)
    }

    fn has_dates_of(&self, version: &Fingerprint) -> bool {
        match (self.created, version.created) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => self.changed.is_some() && self.changed == version.changed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt() -> Receipt {
        Receipt {
            path: RemotePath::parse("a/f").unwrap(),
            size: 5,
            md5: Md5::of(b"hello"),
            there: None,
            basis: Basis::ObjectETag,
            created: Some(Moment::from_seconds(10)),
            changed: Some(Moment::from_seconds(11)),
            uploaded: Moment::from_seconds(12),
        }
    }

    fn version() -> Fingerprint {
        let at = |seconds| Some(Moment::from_seconds(seconds));
        Fingerprint { size: 5, created: at(10), changed: at(11), md5: None, crc32: None }
    }

    #[test]
    fn a_receipt_is_of_the_version_that_was_proven_and_of_no_other() {
        let receipt = receipt();
        assert!(receipt.is_of(&version()));
        let attributes_changed = Fingerprint { changed: Some(Moment::from_seconds(99)), ..version() };
        assert!(receipt.is_of(&attributes_changed), "the same bytes");
        assert!(!receipt.is_of(&Fingerprint { size: 6, ..version() }));
        assert!(!receipt.is_of(&Fingerprint { created: Some(Moment::from_seconds(11)), ..version() }));
    }

    #[test]
    fn a_stated_md5_decides() {
        let receipt = receipt();
        let md5 = |bytes: &[u8]| Some(Md5::of(bytes));
        assert!(receipt.is_of(&Fingerprint { md5: md5(b"hello"), created: None, ..version() }));
        let other = Fingerprint { md5: md5(b"jello"), ..version() };
        assert!(!receipt.is_of(&other) && receipt.is_contradicted_by(&other));
        assert!(!receipt.is_contradicted_by(&version()));
        let later = Fingerprint { created: Some(Moment::from_seconds(11)), ..other };
        assert!(!receipt.is_contradicted_by(&later), "somebody else has replaced it");
    }

    #[test]
    fn a_version_that_nothing_tells_apart_is_not_claimed() {
        let bare = Fingerprint { created: None, changed: None, ..version() };
        assert!(!receipt().is_of(&bare));
        let undated = Receipt { created: None, changed: None, ..receipt() };
        assert!(!undated.is_of(&bare) && !undated.is_of(&version()));
        let by_change = Receipt { created: None, ..receipt() };
        assert!(by_change.is_of(&Fingerprint { created: None, ..version() }));
    }
}
