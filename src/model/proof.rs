//! Proof that Files.com holds what was sent.
//!
//! [`Verified`] can only be made by comparing. Local bytes are let go against nothing else.
//!
//! Files.com's own digests are a site option, off by default on newer sites; the storage's ETags are
//! always there. So the proof is built from what is there, and says which it was.

use super::digest::{Crc32, Digest, ETag, Md5};
use super::moment::Moment;

/// What a proof rests on, from the strongest to the weakest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// Files.com states the MD5 of the file, and it is ours.
    FileMd5,
    /// The file is one part, and the storage answered its MD5.
    PartMd5,
    /// The storage's ETag of the object is the one that our parts, in our order, lead to.
    ObjectETag,
    /// The storage compared the MD5 of each part itself before it took it.
    ComparedParts,
    /// Files.com states the CRC32, and it is ours. Weak: 32 bits.
    Crc32,
    /// Nothing but the size could be compared. Weak.
    Size,
}

impl Basis {
    /// A word for logs, receipts and the status.
    pub fn name(self) -> &'static str {
        match self {
            Self::FileMd5 => "md5",
            Self::PartMd5 => "part-md5",
            Self::ObjectETag => "object-etag",
            Self::ComparedParts => "compared-parts",
            Self::Crc32 => "crc32",
            Self::Size => "size",
        }
    }

    /// Reads [`Self::name`] back.
    pub fn from_name(name: &str) -> Option<Self> {
        let all =
            [Self::FileMd5, Self::PartMd5, Self::ObjectETag, Self::ComparedParts, Self::Crc32, Self::Size];
        all.into_iter().find(|basis| basis.name() == name)
    }

    /// Weak proofs are counted and reported.
    pub fn is_weak(self) -> bool {
        matches!(self, Self::Crc32 | Self::Size)
    }
}

/// One part as it left, and what the storage said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartEvidence {
    /// MD5 of the bytes that left.
    pub sent: Md5,
    /// The ETag that came back.
    pub etag: ETag,
}

/// What was sent.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Size and digests of the whole file as it is on the local disk.
    pub digest: Digest,
    /// Its parts in order.
    pub parts: Vec<PartEvidence>,
}

impl Sent {
    /// Did the storage compare every part with its MD5?
    fn are_compared(&self) -> bool {
        let is_compared = |part: &PartEvidence| matches!(part.etag, ETag::Md5(_) | ETag::Compared(_));
        self.parts.iter().all(is_compared)
            && self.parts.iter().any(|part| matches!(part.etag, ETag::Compared(_)))
    }

    /// What the storage calls an object that is put together from these parts.
    pub fn object(&self) -> ETag {
        ETag::composite(&self.parts.iter().map(|part| part.sent).collect::<Vec<_>>())
    }
}

/// What the other side reports, as far as it is known.
#[derive(Debug, Clone, Default)]
pub struct Stored {
    /// Size in the completed entity.
    pub size: u64,
    /// MD5, where the site states one.
    pub md5: Option<Md5>,
    /// CRC32, where the site states one.
    pub crc32: Option<Crc32>,
    /// ETag of the stored object, once it was asked for.
    pub object: Option<ETag>,
}

/// The two sides differ: what was sent, what is there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} differs: sent {sent}, Files.com has {stored}")]
pub struct Mismatch {
    what: &'static str,
    sent: String,
    stored: String,
}

/// Files.com holds exactly the bytes with this digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    digest: Digest,
    basis: Basis,
}

impl Verified {
    /// Compares all that is known. `Ok(None)`: nothing differs, and nothing is proven yet.
    pub fn compare(sent: &Sent, stored: &Stored) -> Result<Option<Self>, Mismatch> {
        differ("the size", &sent.digest.size, &stored.size)?;
        for part in &sent.parts {
            if let ETag::Md5(md5) = &part.etag {
                differ("the MD5 of a part", &part.sent, md5)?;
            }
        }
        // Whatever is stated counts, also where something else is the proof.
        if let Some(crc32) = &stored.crc32 {
            differ("the CRC32", &sent.digest.crc32, crc32)?;
        }
        let basis = if let Some(md5) = &stored.md5 {
            differ("the MD5", &sent.digest.md5, md5)?;
            Basis::FileMd5
        } else if let [PartEvidence { etag: ETag::Md5(md5), .. }] = &sent.parts[..] {
            differ("the MD5", &sent.digest.md5, md5)?;
            Basis::PartMd5
        } else if let Some(etag @ ETag::Composite { .. }) = &stored.object {
            differ("the ETag of the object", &sent.object(), etag)?;
            Basis::ObjectETag
        } else if sent.are_compared() {
            Basis::ComparedParts
        } else if stored.crc32.is_some() {
            Basis::Crc32
        } else {
            return Ok(None);
        };
        Ok(Some(Self { digest: sent.digest, basis }))
    }

    /// The last resort where neither digests nor usable ETags are to be had: the sizes agree.
    pub fn by_size(sent: &Sent, stored: &Stored) -> Result<Self, Mismatch> {
        Ok(Self::compare(sent, stored)?.unwrap_or(Self { digest: sent.digest, basis: Basis::Size }))
    }

    /// Size and digests of the bytes that are there.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// What the proof rests on.
    pub fn basis(&self) -> Basis {
        self.basis
    }
}

pub(super) fn differ<T: PartialEq + ToString>(
    what: &'static str,
    sent: &T,
    stored: &T,
) -> Result<(), Mismatch> {
    if sent == stored {
        return Ok(());
    }
    Err(Mismatch { what, sent: sent.to_string(), stored: stored.to_string() })
}

/// Tells one version of a remote file from another.
///
/// `created_at` is reset when a file is replaced, while an update of its attributes leaves it alone;
/// the server's `mtime` stands in where there is no `created_at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    /// Bytes.
    pub size: u64,
    /// When this version was made.
    pub created: Option<Moment>,
    /// Server time of the last change.
    pub changed: Option<Moment>,
    /// MD5, where the site states one; it may come later than the rest.
    pub md5: Option<Md5>,
    /// CRC32, likewise.
    pub crc32: Option<Crc32>,
}

impl Fingerprint {
    /// Does `other`, seen later, describe the same bytes? A digest may appear, and does not go away again:
    /// two versions of one second and one size are told apart by that.
    pub fn is_same_version(&self, other: &Self) -> bool {
        let agree = |a: Option<Moment>, b: Option<Moment>| a.is_none() || b.is_none() || a == b;
        let dates = match (self.created, other.created) {
            (Some(a), Some(b)) => a == b,
            _ => agree(self.changed, other.changed),
        };
        self.size == other.size
            && dates
            && self.md5.is_none_or(|md5| other.md5 == Some(md5))
            && self.crc32.is_none_or(|crc32| other.crc32 == Some(crc32))
    }

    /// May what is there be this version? Unlike [`Self::is_same_version`], for who knows digests that the site does
    /// not state.
    pub fn may_be(&self, there: &Self) -> bool {
        let (md5, crc32) = (self.md5.zip(there.md5), self.crc32.zip(there.crc32));
        md5.is_none_or(|(ours, theirs)| ours == theirs)
            && crc32.is_none_or(|(ours, theirs)| ours == theirs)
            && Self { md5: None, crc32: None, ..*self }.is_same_version(there)
    }
}

/// Files.com states another digest of a version than that of the bytes that left for it, which were proven: what it
/// holds was damaged after it was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Files.com states the {what} {theirs}, and what was sent has {ours}: the copy there is damaged")]
pub struct Contradiction {
    what: &'static str,
    ours: String,
    theirs: String,
}

impl Contradiction {
    /// Does what is stated of `version` contradict the digests of what was sent for it, as far as both are known?
    pub fn of(version: &Fingerprint, md5: Option<Md5>, crc32: Option<Crc32>) -> Option<Self> {
        let found = |what, ours: &dyn ToString, theirs: &dyn ToString| Self {
            what,
            ours: ours.to_string(),
            theirs: theirs.to_string(),
        };
        if let Some((ours, theirs)) = md5.zip(version.md5).filter(|(ours, theirs)| ours != theirs) {
            return Some(found("MD5", &ours, &theirs));
        }
        let (ours, theirs) = crc32.zip(version.crc32).filter(|(ours, theirs)| ours != theirs)?;
        Some(found("CRC32", &ours, &theirs))
    }
}

#[cfg(test)]
mod tests {
    use super::super::digest::Hasher;
    use super::*;

    fn digest(bytes: &[u8]) -> Digest {
        let mut hasher = Hasher::default();
        hasher.update(bytes);
        hasher.finish()
    }

    fn sent(parts: &[&[u8]]) -> Sent {
        let part = |bytes: &&[u8]| PartEvidence { sent: Md5::of(bytes), etag: ETag::Md5(Md5::of(bytes)) };
        Sent { digest: digest(&parts.concat()), parts: parts.iter().map(part).collect() }
    }

    fn stored(size: u64) -> Stored {
        Stored { size, ..Stored::default() }
    }

    fn basis(sent: &Sent, stored: &Stored) -> Option<Basis> {
        Verified::compare(sent, stored).unwrap().map(|proof| proof.basis())
    }

    #[test]
    fn one_part_is_proven_by_its_etag_alone() {
        assert_eq!(basis(&sent(&[b"hello"]), &stored(5)), Some(Basis::PartMd5));
        assert_eq!(basis(&sent(&[b""]), &stored(0)), Some(Basis::PartMd5));
    }

    #[test]
    fn several_parts_need_the_etag_of_the_object_or_a_digest_of_the_site() {
        let sent = sent(&[b"hello ", b"world"]);
        assert_eq!(basis(&sent, &stored(11)), None);
        let object = ETag::composite(&[Md5::of(b"hello "), Md5::of(b"world")]);
        assert_eq!(basis(&sent, &Stored { object: Some(object), ..stored(11) }), Some(Basis::ObjectETag));
        let md5 = Some(Md5::of(b"hello world"));
        assert_eq!(basis(&sent, &Stored { md5, ..stored(11) }), Some(Basis::FileMd5));
    }

    #[test]
    fn parts_in_another_order_are_a_mismatch() {
        let swapped = ETag::composite(&[Md5::of(b"world"), Md5::of(b"hello ")]);
        let stored = Stored { object: Some(swapped), ..stored(11) };
        assert!(Verified::compare(&sent(&[b"hello ", b"world"]), &stored).is_err());
    }

    #[test]
    fn whatever_differs_is_told() {
        let good = sent(&[b"hello"]);
        assert!(Verified::compare(&good, &stored(4)).is_err());
        let md5 = Some(Md5::of(b"hellO"));
        let error = Verified::compare(&good, &Stored { md5, ..stored(5) }).unwrap_err();
        assert!(error.to_string().starts_with("the MD5 differs: sent 5d41402abc4b2a76b9719d911017c592"));
        let mut flipped = good.clone();
        flipped.parts[0].etag = ETag::Md5(Md5::of(b"jello"));
        assert!(Verified::compare(&flipped, &stored(5)).is_err());
        let mut disk = good;
        disk.digest = digest(b"other");
        assert!(Verified::compare(&disk, &stored(5)).is_err(), "the bytes on disk are not those that left");
    }

    #[test]
    fn opaque_etags_prove_nothing() {
        let mut compared = sent(&[b"hello ", b"world"]);
        compared
            .parts
            .iter_mut()
            .for_each(|part| part.etag = ETag::compared("5d41402abc4b2a76b9719d911017c592"));
        assert_eq!(basis(&compared, &stored(11)), Some(Basis::ComparedParts), "but by the storage itself");
        let crc32 = Some(Crc32(1));
        assert!(
            Verified::compare(&compared, &Stored { crc32, ..stored(11) }).is_err(),
            "what is stated counts"
        );
        let mut sent = sent(&[b"hello"]);
        sent.parts[0].etag = ETag::Opaque("null".into());
        assert_eq!(basis(&sent, &stored(5)), None);
        let crc32 = Some(sent.digest.crc32);
        assert_eq!(basis(&sent, &Stored { crc32, ..stored(5) }), Some(Basis::Crc32));
        let weak = Verified::by_size(&sent, &stored(5)).unwrap();
        assert!(weak.basis().is_weak());
        assert!(Verified::by_size(&sent, &stored(6)).is_err());
    }

    #[test]
    fn a_digest_that_appears_later_does_not_make_another_version() {
        let early = Fingerprint {
            size: 5,
            created: Some(Moment::from_seconds(10)),
            changed: Some(Moment::from_seconds(10)),
            md5: None,
            crc32: None,
        };
        let late =
            Fingerprint { md5: Some(Md5::of(b"hello")), changed: Some(Moment::from_seconds(12)), ..early };
        assert!(early.is_same_version(&late));
        assert!(!late.is_same_version(&Fingerprint { md5: Some(Md5::of(b"jello")), ..late }));
        assert!(!late.is_same_version(&early), "a digest that is gone belongs to other bytes");
        assert!(!early.is_same_version(&Fingerprint { created: Some(Moment::from_seconds(11)), ..early }));
    }

    #[test]
    fn what_is_stated_later_may_contradict_what_was_sent() {
        let stated = |md5: Option<&[u8]>, crc32: Option<u32>| Fingerprint {
            size: 5,
            created: None,
            changed: None,
            md5: md5.map(Md5::of),
            crc32: crc32.map(Crc32),
        };
        let ours = (Some(Md5::of(b"hello")), Some(Crc32(7)));
        let of = |version: Fingerprint| Contradiction::of(&version, ours.0, ours.1);
        for good in [stated(None, None), stated(Some(b"hello"), None), stated(Some(b"hello"), Some(7))] {
            assert_eq!(of(good), None);
        }
        assert!(of(stated(Some(b"jello"), None)).unwrap().to_string().contains("MD5"));
        assert!(of(stated(Some(b"hello"), Some(8))).unwrap().to_string().contains("CRC32 8"));
        assert_eq!(Contradiction::of(&stated(Some(b"jello"), Some(8)), None, None), None, "nothing is known");
    }

    #[test]
    fn what_both_state_decides_whether_it_may_be_that_version() {
        let created = Some(Moment::from_seconds(10));
        let ours = Fingerprint { size: 5, created, changed: None, md5: Some(Md5::of(b"hello")), crc32: None };
        assert!(ours.may_be(&Fingerprint { md5: None, ..ours }), "a site that states no digests");
        assert!(!ours.may_be(&Fingerprint { md5: Some(Md5::of(b"jello")), ..ours }));
        assert!(!ours.may_be(&Fingerprint { md5: None, size: 6, ..ours }));
        assert!(!ours.may_be(&Fingerprint { md5: None, created: Some(Moment::from_seconds(11)), ..ours }));
    }
}
