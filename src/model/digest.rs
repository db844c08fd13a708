//! Digests as Files.com and its storage state them.
//!
//! MD5 comes as 32 lower-case hex digits, CRC32 as hex **without leading zeros** (`"0"` for an empty
//! file), and the storage's ETag as a quoted MD5 of a part, or as `md5-of-part-md5s` with `-count`
//! behind it for a whole object.

use std::fmt;
use std::str::FromStr;

use md5::Digest as _;

use super::md5::Chain;

/// An MD5 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Md5(pub [u8; 16]);

impl Md5 {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(md5::Md5::digest(bytes).into())
    }
}

impl fmt::Display for Md5 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Md5 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no digest of the expected form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a digest: wanted hexadecimal digits of the right count")]
pub struct NotADigest;

impl FromStr for Md5 {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(NotADigest);
        }
        let mut digest = [0; 16];
        for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| NotADigest)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| NotADigest)?;
        }
        Ok(Self(digest))
    }
}

/// A CRC32 (IEEE) checksum.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(C, packed)]
pub struct Crc32(pub u32);

impl fmt::Display for Crc32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", { self.0 })
    }
}

impl fmt::Debug for Crc32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Crc32 {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        if text.is_empty() || text.len() > 8 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(NotADigest);
        }
        u32::from_str_radix(text, 16).map(Self).map_err(|_| NotADigest)
    }
}

/// What an ETag of the storage says, once its quotes are off.
///
/// Only ETags that are MD5s prove anything. Storage behind a remote server mount, in another cloud
/// or with other encryption states ETags that are opaque.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ETag {
    /// The MD5 of the bytes: what the upload of one part answers.
    Md5(Md5),
    /// `md5(md5 of part 1 ‖ md5 of part 2 ‖ …)-count`: what a finished object shows.
    Composite {
        /// The digest over the binary digests of all parts.
        md5: Md5,
        /// The number of parts.
        parts: u32,
    },
    /// Something else; it can be compared with itself and proves nothing.
    Opaque(String),
    /// Something else, of a part whose bytes the storage compared with their MD5 itself before it took them.
    Compared(String),
}

/// What [`ETag::to_record`] puts before an ETag that would be read as something else.
const OPAQUE: &str = "opaque:";
const COMPARED: &str = "compared:";

impl ETag {
    /// Reads an ETag header that says nothing of the bytes, whatever it looks like.
    pub fn opaque(header: &str) -> Self {
        Self::Opaque(bare(header).to_owned())
    }

    /// The same, of a part that the storage took with its MD5.
    pub fn compared(header: &str) -> Self {
        Self::Compared(bare(header).to_owned())
    }

    /// A text that [`Self::from_record`] reads back as the very same: what an ETag is does not always show in it.
    pub fn to_record(&self) -> String {
        match self {
            Self::Md5(_) | Self::Composite { .. } => self.to_string(),
            Self::Opaque(text) => format!("{OPAQUE}{text}"),
            Self::Compared(text) => format!("{COMPARED}{text}"),
        }
    }

    /// Reads a record, of an earlier version too.
    pub fn from_record(record: &str) -> Self {
        match (record.strip_prefix(OPAQUE), record.strip_prefix(COMPARED)) {
            (Some(text), _) => Self::Opaque(text.to_owned()),
            (_, Some(text)) => Self::Compared(text.to_owned()),
            (None, None) => Self::parse(record),
        }
    }

    /// Reads an ETag header, quoted or not. A weak one (`W/…`) is opaque.
    pub fn parse(header: &str) -> Self {
        let bare = bare(header);
        if let Ok(md5) = bare.parse() {
            return Self::Md5(md5);
        }
        if let Some((md5, parts)) = bare.split_once('-')
            && let (Ok(md5), Ok(parts)) = (md5.parse(), parts.parse())
        {
            return Self::Composite { md5, parts };
        }
        Self::Opaque(bare.to_owned())
    }

    /// The ETag of an object that was put together from parts with these digests, in this order.
    pub fn composite(parts: &[Md5]) -> Self {
        let mut hasher = md5::Md5::new();
        for part in parts {
            hasher.update(part.0);
        }
        Self::Composite { md5: Md5(hasher.finalize().into()), parts: parts.len() as u32 }
    }
}

fn bare(header: &str) -> &str {
    let header = header.trim();
    header.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(header)
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Md5(md5) => write!(f, "{md5}"),
            Self::Composite { md5, parts } => write!(f, "{md5}-{parts}"),
            Self::Opaque(text) | Self::Compared(text) => f.write_str(text),
        }
    }
}

/// Size and digests of a whole file, computed in one pass over its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest {
    /// Bytes.
    pub size: u64,
    /// MD5 of all bytes.
    pub md5: Md5,
    /// CRC32 of all bytes.
    pub crc32: Crc32,
}

/// Computes a [`Digest`] piece by piece.
#[derive(Debug, Clone, Default)]
pub struct Hasher {
    size: u64,
    md5: Chain,
    crc32: crc32fast::Hasher,
}

/// The MD5 of one part of a file, computed beside the [`Hasher`] of the whole.
#[derive(Debug, Default)]
pub struct PartHasher(Chain);

impl PartHasher {
    /// The MD5 of all bytes of the part.
    pub fn finish(self) -> Md5 {
        Md5(self.0.finish())
    }
}

impl Hasher {
    /// Has it seen nothing yet?
    pub fn is_new(&self) -> bool {
        self.size == 0
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.md5.update(bytes);
        self.crc32.update(bytes);
    }

    /// Takes the next bytes, which are the next of `part` too.
    pub fn update_with(&mut self, part: &mut PartHasher, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.md5.update_both(&mut part.0, bytes);
        self.crc32.update(bytes);
    }

    /// What all the bytes so far amount to.
    pub fn finish(self) -> Digest {
        Digest { size: self.size, md5: Md5(self.md5.finish()), crc32: Crc32(self.crc32.finalize()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_and_written_as_the_service_spells_them() {
        let empty: Md5 = "d41d8cd98f00b204e9800998ecf8427e".parse().unwrap();
        assert_eq!(empty, Md5::of(b""));
        assert_eq!(empty.to_string(), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!("0".parse(), Ok(Crc32(0)));
        assert_eq!(Crc32(0x00ab).to_string(), "ab");
        assert_eq!("+12".parse::<Crc32>(), Err(NotADigest));
        assert_eq!("ﬀ".repeat(16).parse::<Md5>(), Err(NotADigest));
    }

    #[test]
    fn an_etag_comes_back_from_its_record_as_what_it_was() {
        let digits = "5045cf51883b32c692d1b38d57993daf";
        let all =
            [ETag::parse(digits), ETag::opaque(digits), ETag::compared(digits), ETag::opaque("opaque:x")];
        for etag in all {
            assert_eq!(ETag::from_record(&etag.to_record()), etag);
        }
        assert_eq!(ETag::from_record("null"), ETag::opaque("null"), "as an earlier version wrote it");
    }

    #[test]
    fn etags_say_what_they_prove() {
        assert_eq!(
            ETag::parse("\"5045cf51883b32c692d1b38d57993daf\"").to_string(),
            "5045cf51883b32c692d1b38d57993daf"
        );
        let one = ETag::composite(&[Md5::of(b"")]);
        assert_eq!(ETag::parse(&format!("\"{one}\"")), one);
        assert_eq!(ETag::parse("null"), ETag::Opaque("null".into()));
        assert_eq!(
            ETag::parse("W/\"5045cf51883b32c692d1b38d57993daf\""),
            ETag::Opaque("W/\"5045cf51883b32c692d1b38d57993daf\"".into())
        );
    }

    #[test]
    fn pieces_hash_like_the_whole() {
        let mut hasher = Hasher::default();
        hasher.update(b"hello ");
        hasher.update(b"world");
        let digest = hasher.finish();
        assert_eq!((digest.size, digest.md5), (11, Md5::of(b"hello world")));
        assert_eq!(digest.crc32, Crc32(crc32fast::hash(b"hello world")));
    }

    #[test]
    fn a_part_is_hashed_beside_the_whole() {
        let (mut hasher, mut part) = (Hasher::default(), PartHasher::default());
        hasher.update(b"hello ");
        hasher.update_with(&mut part, b"wor");
        hasher.update_with(&mut part, b"ld");
        assert_eq!(part.finish(), Md5::of(b"world"));
        let digest = hasher.finish();
        assert_eq!((digest.size, digest.md5), (11, Md5::of(b"hello world")));
        assert_eq!(digest.crc32, Crc32(crc32fast::hash(b"hello world")));
    }
}
