//! What is known of the bytes of one version of a file, and whether bytes that came are those.
//!
//! Every digest that is known counts: one that differs is enough to refuse the bytes. The storage's ETag is a
//! digest of the whole only where the object is one part.

use super::digest::{Crc32, Digest, ETag, Md5};
use super::proof::Fingerprint;

/// All digests that anybody has stated, or that were proven, of one version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    md5: Vec<Md5>,
    crc32: Vec<Crc32>,
    object: Option<ETag>,
}

/// The bytes that came are others.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} here {here}, there {there}")]
pub struct Differs {
    what: &'static str,
    here: String,
    there: String,
}

impl Expected {
    /// What Files.com states of a version.
    #[must_use]
    pub fn stated(mut self, version: &Fingerprint) -> Self {
        self.crc32.extend(version.crc32.filter(|crc32| !self.crc32.contains(crc32)));
        match version.md5 {
            Some(md5) => self.sent(md5),
            None => self,
        }
    }

    /// The MD5 of the bytes that left for this version.
    #[must_use]
    pub fn sent(mut self, md5: Md5) -> Self {
        if !self.md5.contains(&md5) {
            self.md5.push(md5);
        }
        self
    }

    /// What the storage calls the object.
    #[must_use]
    pub fn object(self, etag: Option<&ETag>) -> Self {
        let is_digest = |etag: &&ETag| matches!(etag, ETag::Md5(_) | ETag::Composite { parts: 1, .. });
        Self { object: etag.filter(is_digest).cloned().or(self.object), ..self }
    }

    /// Is no MD5 known? Then it is worth looking for a receipt.
    pub fn lacks_md5(&self) -> bool {
        self.md5.is_empty()
    }

    /// Is there nothing to compare with?
    pub fn is_nothing(&self) -> bool {
        self.md5.is_empty() && self.crc32.is_empty() && self.object.is_none()
    }

    /// Are the bytes with this digest those?
    ///
    /// # Errors
    /// The first digest that differs. An ETag is not asked where an MD5 of the whole agrees: a storage that calls its
    /// objects otherwise may have one that looks like a digest.
    pub fn compare(&self, came: &Digest) -> Result<(), Differs> {
        let differs = |what, here: &dyn ToString, there: &dyn ToString| {
            Err(Differs { what, here: here.to_string(), there: there.to_string() })
        };
        if let Some(there) = self.md5.iter().find(|there| **there != came.md5) {
            return differs("MD5", &came.md5, there);
        }
        if let Some(there) = self.crc32.iter().copied().find(|there| *there != came.crc32) {
            return differs("CRC32", &{ came.crc32 }, &there);
        }
        match &self.object {
            Some(there) if self.md5.is_empty() => {
                let here = match there {
                    ETag::Md5(_) => ETag::Md5(came.md5),
                    _ => ETag::composite(&[came.md5]),
                };
                if here == *there { Ok(()) } else { differs("the storage's MD5", &here, there) }
            }
            _ => Ok(()),
        }
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

    fn stated(md5: Option<&[u8]>, crc32: Option<&[u8]>) -> Fingerprint {
        let (md5, crc32) = (md5.map(Md5::of), crc32.map(|bytes| digest(bytes).crc32));
        Fingerprint { size: 5, created: None, changed: None, md5, crc32 }
    }

    #[test]
    fn each_digest_that_is_known_counts() {
        let (good, bad) = (digest(b"hello"), digest(b"jello"));
        let one_part = ETag::composite(&[Md5::of(b"hello")]);
        let plain = ETag::Md5(Md5::of(b"hello"));
        let table = [
            Expected::default().stated(&stated(Some(b"hello"), None)),
            Expected::default().stated(&stated(None, Some(b"hello"))),
            Expected::default().stated(&stated(Some(b"hello"), Some(b"hello"))),
            Expected::default().sent(Md5::of(b"hello")),
            Expected::default().object(Some(&one_part)),
            Expected::default().object(Some(&plain)),
        ];
        for expected in table {
            assert!(!expected.is_nothing());
            assert_eq!(expected.compare(&good), Ok(()), "{expected:?}");
            assert!(expected.compare(&bad).is_err(), "{expected:?}");
        }
    }

    #[test]
    fn digests_that_contradict_each_other_are_met_by_nothing() {
        let listed = Expected::default().stated(&stated(Some(b"jello"), None)).sent(Md5::of(b"hello"));
        assert!(listed.compare(&digest(b"hello")).is_err() && listed.compare(&digest(b"jello")).is_err());
        let sums = Expected::default().stated(&stated(Some(b"hello"), Some(b"jello")));
        assert!(sums.compare(&digest(b"hello")).is_err());
    }

    #[test]
    fn what_is_no_digest_of_the_whole_is_not_compared() {
        let parts = ETag::composite(&[Md5::of(b"he"), Md5::of(b"llo")]);
        for etag in [parts, ETag::Opaque("x".into())] {
            assert!(Expected::default().object(Some(&etag)).is_nothing());
        }
        let odd = ETag::Md5(Md5::of(b"another storage's own"));
        let expected = Expected::default().object(Some(&odd));
        assert!(expected.compare(&digest(b"hello")).is_err());
        assert_eq!(expected.sent(Md5::of(b"hello")).compare(&digest(b"hello")), Ok(()));
    }
}
