//! An upload of several parts that was begun, and how far it came: what a further attempt, or the next
//! mount, goes on from.
//!
//! A part counts as sent only for bytes with its MD5. Whoever goes on reads all bytes again and compares,
//! so that no file is ever put together from two versions.

use std::collections::BTreeMap;

use super::digest::Md5;
use super::moment::Moment;
use super::parts::Parts;
use super::path::RemotePath;
use super::proof::PartEvidence;

/// How far an upload came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// The service's name of the upload.
    pub reference: String,
    /// Bytes of the file.
    pub size: u64,
    /// Bytes of each part but the last.
    pub part_size: u64,
    /// Parts may travel side by side.
    pub parallel: bool,
    /// When the bytes were last changed; any other time means other bytes.
    pub written: Moment,
    /// Parts that the storage accepted.
    pub parts: BTreeMap<u32, PartEvidence>,
    /// The path under which its completion was asked for: it may have been carried out.
    pub completing: Option<RemotePath>,
}

/// What is known of one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// It is with the storage.
    Sent(PartEvidence),
    /// It has to be sent.
    Missing,
    /// Other bytes were sent as this part: nothing of this upload can be used.
    Differs,
}

impl Begun {
    /// May a file of `size` bytes, last changed at `written`, be the one that was begun?
    pub fn may_be_of(&self, size: u64, written: Moment) -> bool {
        (self.size, self.written) == (size, written)
    }

    /// Into which parts it is cut.
    pub fn plan(&self) -> Parts {
        Parts::of_size(self.size, self.part_size)
    }

    /// What became of part `number`, whose bytes have this MD5 now?
    pub fn part(&self, number: u32, md5: Md5) -> Known {
        match self.parts.get(&number) {
            None => Known::Missing,
            Some(evidence) if evidence.sent == md5 => Known::Sent(evidence.clone()),
            Some(_) => Known::Differs,
        }
    }

    /// Was the completion asked for under `path`?
    pub fn may_be_completed(&self, path: &RemotePath) -> bool {
        self.completing.as_ref() == Some(path) && self.parts.len() == self.plan().count() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::super::digest::ETag;
    use super::*;

    #[test]
    fn only_the_same_bytes_count_as_sent() {
        let md5 = Md5::of(b"part");
        let evidence = PartEvidence { sent: md5, etag: ETag::Md5(md5) };
        let written = Moment { seconds: 5, nanos: 6 };
        let path = RemotePath::parse("f").unwrap();
        let mut begun = Begun {
            reference: "put-1".into(),
            size: 50 << 20,
            part_size: 20 << 20,
            parallel: true,
            written,
            parts: BTreeMap::from([(2, evidence.clone())]),
            completing: Some(path.clone()),
        };
        assert!(begun.may_be_of(50 << 20, written));
        assert!(!begun.may_be_of(50 << 20, Moment { nanos: 7, ..written }));
        assert!(!begun.may_be_of(1, written));
        assert_eq!(begun.plan().count(), 3);
        assert_eq!(begun.part(1, md5), Known::Missing);
        assert_eq!(begun.part(2, md5), Known::Sent(evidence.clone()));
        assert_eq!(begun.part(2, Md5::of(b"tarp")), Known::Differs);
        assert!(!begun.may_be_completed(&path), "parts are missing");
        begun.parts = (1..=3).map(|number| (number, evidence.clone())).collect();
        assert!(begun.may_be_completed(&path));
        assert!(!begun.may_be_completed(&RemotePath::parse("g").unwrap()));
    }
}
