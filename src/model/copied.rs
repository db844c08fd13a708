//! Proof that a copy which Files.com made holds what its source held.

use super::digest::{Crc32, ETag, Md5};
use super::entry::Entry;
use super::proof::{Basis, Fingerprint, Mismatch, differ};

/// What is known of the bytes of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Original {
    /// Bytes.
    pub size: u64,
    /// MD5: stated by the site, or proven when we uploaded it.
    pub md5: Option<Md5>,
    /// CRC32, where the site states it.
    pub crc32: Option<Crc32>,
}

impl From<Fingerprint> for Original {
    fn from(version: Fingerprint) -> Self {
        Self { size: version.size, md5: version.md5, crc32: version.crc32 }
    }
}

/// The storage's ETags of source and copy, as far as they were asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ETags {
    /// Of the source.
    pub source: Option<ETag>,
    /// Of the copy.
    pub copy: Option<ETag>,
}

impl Original {
    /// Compares all that is known. `Ok(None)`: nothing differs, and nothing but the size is proven. ETags that
    /// differ say nothing: a storage may put the parts of a copy together anew.
    pub fn compare(&self, copy: &Entry, etags: &ETags) -> Result<Option<Basis>, Mismatch> {
        differ("the size of the copy", &self.size, &copy.size)?;
        if let Some((ours, theirs)) = self.md5.zip(copy.md5) {
            differ("the MD5 of the copy", &ours, &theirs)?;
            return Ok(Some(Basis::FileMd5));
        }
        if let ETags { source: Some(source), copy: Some(copy) } = etags
            && source == copy
            && matches!(source, ETag::Md5(_) | ETag::Composite { .. })
        {
            return Ok(Some(Basis::ObjectETag));
        }
        if let Some((ours, theirs)) = self.crc32.zip(copy.crc32) {
            differ("the CRC32 of the copy", &ours, &theirs)?;
            return Ok(Some(Basis::Crc32));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(size: u64, md5: Option<Md5>, crc32: Option<u32>) -> Entry {
        let crc32 = crc32.map(Crc32);
        Entry { kind: super::super::entry::Kind::File, size, md5, crc32, ..Entry::folder("copy".into()) }
    }

    #[test]
    fn a_copy_is_proven_by_the_best_that_is_known_of_both() {
        let (md5, none) = (Md5::of(b"x"), ETags::default());
        let original = Original { size: 1, md5: Some(md5), crc32: Some(Crc32(7)) };
        let compare = |copy: &Entry, etags: &ETags| original.compare(copy, etags).ok();
        assert_eq!(compare(&entry(1, Some(md5), None), &none), Some(Some(Basis::FileMd5)));
        assert_eq!(compare(&entry(1, Some(Md5::of(b"y")), None), &none), None);
        assert_eq!(compare(&entry(2, Some(md5), None), &none), None);
        assert_eq!(compare(&entry(1, None, Some(7)), &none), Some(Some(Basis::Crc32)));
        assert_eq!(compare(&entry(1, None, Some(8)), &none), None);
        assert_eq!(compare(&entry(1, None, None), &none), Some(None));
        let same = |etag: ETag| ETags { source: Some(etag.clone()), copy: Some(etag) };
        assert_eq!(compare(&entry(1, None, None), &same(ETag::Md5(md5))), Some(Some(Basis::ObjectETag)));
        assert_eq!(compare(&entry(1, None, None), &same(ETag::Opaque("a".into()))), Some(None));
        let other = ETags { source: Some(ETag::Md5(md5)), copy: Some(ETag::Md5(Md5::of(b"y"))) };
        assert_eq!(compare(&entry(1, None, None), &other), Some(None), "another way to put it together");
    }
}
