//! POSIX attributes, and how those that the API has no field for travel.
//!
//! They live in `custom_metadata`, under one key, and only when they differ from the mount's
//! defaults: `filescomfs = "1 mode=600 uid=1000 gid=1000 mtime=1700000000.000000001"`. The number in
//! front is the version of the format; unknown words are left alone by those who read it.

use std::collections::BTreeMap;

use super::moment::Moment;

/// The key in `custom_metadata`.
pub const METADATA_KEY: &str = "filescomfs";
const VERSION: &str = "1";

/// Who may do what with a file, and when it was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits, `0o7777` at most.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change of the bytes.
    pub mtime: Moment,
    /// Last change of anything; only known here.
    pub ctime: Moment,
}

/// What a file has of whom nothing is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defaults {
    /// Permission bits of files.
    pub file_mode: u16,
    /// Permission bits of folders.
    pub folder_mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Defaults {
    /// 0666 and 0777 less `umask`.
    pub fn with_umask(umask: u16, uid: u32, gid: u32) -> Self {
        Self { file_mode: 0o666 & !umask, folder_mode: 0o777 & !umask, uid, gid }
    }

    fn mode(&self, is_folder: bool) -> u16 {
        if is_folder { self.folder_mode } else { self.file_mode }
    }

    /// Attributes of something new.
    pub fn new_entry(&self, is_folder: bool, now: Moment) -> Attributes {
        Attributes { mode: self.mode(is_folder), uid: self.uid, gid: self.gid, mtime: now, ctime: now }
    }

    /// What must be stored so that `attributes` come back: nothing, where the defaults and the whole
    /// second of `mtime` say it all. A site that does not keep the given time (`keeps_mtime` is false)
    /// gets it here.
    pub fn to_metadata(
        &self,
        attributes: &Attributes,
        is_folder: bool,
        keeps_mtime: bool,
    ) -> BTreeMap<String, String> {
        let mut words = Vec::new();
        if attributes.mode != self.mode(is_folder) {
            words.push(format!("mode={:o}", attributes.mode));
        }
        if attributes.uid != self.uid {
            words.push(format!("uid={}", attributes.uid));
        }
        if attributes.gid != self.gid {
            words.push(format!("gid={}", attributes.gid));
        }
        let mtime = attributes.mtime;
        if !keeps_mtime || mtime.nanos != 0 || !API_SECONDS.contains(&mtime.seconds) {
            words.push(format!("mtime={}.{:09}", mtime.seconds, mtime.nanos));
        }
        if words.is_empty() {
            return BTreeMap::new();
        }
        let value = format!("{VERSION} {}", words.join(" "));
        BTreeMap::from([(METADATA_KEY.to_owned(), value)])
    }

    /// The attributes of a listed entry: the defaults, its time, and what its metadata adds.
    pub fn from_entry(
        &self,
        is_folder: bool,
        may_write: bool,
        provided: Option<Moment>,
        changed: Option<Moment>,
        metadata: &BTreeMap<String, String>,
    ) -> Attributes {
        let mtime = provided.or(changed).unwrap_or_default();
        let mut attributes = self.new_entry(is_folder, mtime);
        if !may_write {
            attributes.mode &= !0o222;
        }
        let Some(words) = metadata.get(METADATA_KEY).and_then(|value| value.strip_prefix(VERSION)) else {
            return attributes;
        };
        for word in words.split_ascii_whitespace() {
            match word.split_once('=') {
                Some(("mode", text)) => {
                    if let Ok(mode) = u16::from_str_radix(text, 8) {
                        attributes.mode = mode & 0o7777;
                    }
                }
                Some(("uid", text)) => attributes.uid = text.parse().unwrap_or(attributes.uid),
                Some(("gid", text)) => attributes.gid = text.parse().unwrap_or(attributes.gid),
                Some(("mtime", text)) => {
                    // Someone else may have set the API's own field since: then that one is newer.
                    if let Some(exact) = parse_moment(text)
                        && provided.is_none_or(|p| p == on_the_wire(exact))
                    {
                        attributes.mtime = exact;
                        attributes.ctime = exact;
                    }
                }
                _ => {}
            }
        }
        attributes
    }
}

/// Whole seconds that the API is known to take: 1970 to 9999.
const API_SECONDS: std::ops::RangeInclusive<i64> = 0..=253_402_300_799;

/// `moment` as it can be sent: whole seconds, within the range that the API takes.
pub fn on_the_wire(moment: Moment) -> Moment {
    Moment::from_seconds(moment.seconds.clamp(*API_SECONDS.start(), *API_SECONDS.end()))
}

fn parse_moment(text: &str) -> Option<Moment> {
    let (seconds, nanos) = text.split_once('.')?;
    let nanos = (nanos.len() == 9).then(|| nanos.parse().ok()).flatten()?;
    Some(Moment { seconds: seconds.parse().ok()?, nanos })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DEFAULTS: Defaults = Defaults { file_mode: 0o644, folder_mode: 0o755, uid: 0, gid: 0 };

    #[test]
    fn ordinary_files_need_no_metadata() {
        let attributes = DEFAULTS.new_entry(false, Moment::from_seconds(1_700_000_000));
        assert!(DEFAULTS.to_metadata(&attributes, false, true).is_empty());
        assert!(!DEFAULTS.to_metadata(&attributes, true, true).is_empty());
    }

    #[test]
    fn a_time_that_someone_else_set_wins_over_ours() {
        let metadata = BTreeMap::from([(METADATA_KEY.to_owned(), "1 mtime=1700000000.000000007".to_owned())]);
        let read = |provided| DEFAULTS.from_entry(false, true, provided, None, &metadata).mtime;
        assert_eq!(
            read(Some(Moment::from_seconds(1_700_000_000))),
            Moment { seconds: 1_700_000_000, nanos: 7 }
        );
        assert_eq!(read(Some(Moment::from_seconds(1_800_000_000))), Moment::from_seconds(1_800_000_000));
        assert_eq!(read(None), Moment { seconds: 1_700_000_000, nanos: 7 });
    }

    #[test]
    fn nonsense_in_the_metadata_is_left_alone() {
        for value in ["", "1", "1 mode=9 uid=-1 gid= mtime=1.2 who=me", "2 mode=600", "1 mtime=x.000000000"] {
            let metadata = BTreeMap::from([(METADATA_KEY.to_owned(), value.to_owned())]);
            let read = DEFAULTS.from_entry(false, true, Some(Moment::from_seconds(5)), None, &metadata);
            assert_eq!(read, DEFAULTS.new_entry(false, Moment::from_seconds(5)), "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn attributes_come_back_as_they_went_in(
            mode in 0u16..=0o7777, uid: u32, gid: u32, seconds in -9_000_000_000i64..300_000_000_000,
            nanos in prop_oneof![Just(0u32), 0..1_000_000_000u32], is_folder: bool,
        ) {
            let mtime = Moment { seconds, nanos };
            let attributes = Attributes { mode, uid, gid, mtime, ctime: mtime };
            let metadata = DEFAULTS.to_metadata(&attributes, is_folder, true);
            prop_assert!(metadata.values().all(|value| value.len() <= 1024));
            let read = DEFAULTS.from_entry(is_folder, true, Some(on_the_wire(mtime)), None, &metadata);
            prop_assert_eq!(read, attributes);
        }
    }
}
