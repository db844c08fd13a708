//! POSIX attributes, and how those that the API has no field for travel.
//!
//! They live in `custom_metadata`, under one key:
//! `filescomfs = "1 mode=600 uid=1000 gid=1000 mtime=1700000000.000000001"`. What is written depends on nothing but the
//! attributes: with whatever options a mount reads it, they come back. Where nothing is written, the options of the
//! mount that reads decide ([`Defaults`]). The number in front is the version of the format; unknown words are left
//! alone by those who read it. A symbolic
//! link is a small file that holds its target, with the word `link`; the target stands once more under
//! [`LINK_KEY`], where it fits, so that reading a link costs no download. Extended attributes have keys of
//! their own ([`super::xattrs`]).

use std::collections::BTreeMap;

use super::moment::Moment;
use super::xattrs::{XATTR_KEY, Xattrs};

/// The key in `custom_metadata`.
pub const METADATA_KEY: &str = "filescomfs";
/// The key that holds the target of a symbolic link.
pub const LINK_KEY: &str = "filescomfs.link";
/// The longest value that the service keeps, in characters.
pub const LONGEST_VALUE: usize = 1024;
/// The most keys that the service keeps for one file or folder.
pub const MOST_KEYS: usize = 32;
const VERSION: &str = "1";
const LINK: &str = "link";

/// What something is for POSIX.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Bytes.
    File,
    /// Names.
    Folder,
    /// A symbolic link.
    Link,
}

impl Shape {
    /// What an entry of the service is, a folder or not, with its metadata.
    pub fn of(is_folder: bool, metadata: &BTreeMap<String, String>) -> Self {
        if is_folder {
            return Self::Folder;
        }
        let mut words = words(metadata);
        if words.any(|word| word == LINK) { Self::Link } else { Self::File }
    }
}

fn words(metadata: &BTreeMap<String, String>) -> impl Iterator<Item = &str> {
    let value = metadata.get(METADATA_KEY).and_then(|value| value.strip_prefix(VERSION));
    value.unwrap_or_default().split_ascii_whitespace()
}

/// Does this key say something of ours? An empty value says nothing: so a key is blanked where the service
/// keeps those that a change does not name.
pub fn is_ours(key: &str, value: &str) -> bool {
    !value.is_empty() && (key == METADATA_KEY || key == LINK_KEY || key.starts_with(XATTR_KEY))
}

/// The metadata of an entry, taken apart: extended attributes, and what others keep there. Our own words are
/// read by [`Defaults::from_entry`].
pub fn take_apart(mut metadata: BTreeMap<String, String>) -> (Xattrs, BTreeMap<String, String>) {
    let xattrs = Xattrs::take_from(&mut metadata);
    metadata.remove(METADATA_KEY);
    metadata.remove(LINK_KEY);
    metadata.retain(|key, value| !(value.is_empty() && key.starts_with(XATTR_KEY)));
    (xattrs, metadata)
}

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

impl Attributes {
    /// Takes off what runs a program as its owner or group. Without the group's execute bit, set-group-id
    /// means something else (mandatory locks) and stays.
    pub fn drop_privilege(&mut self) {
        self.mode &= !0o4000;
        if self.mode & 0o2010 == 0o2010 {
            self.mode &= !0o2000;
        }
    }

    /// As they are shown. Last of all and whatever mode is stored, the key decides what may be written: what is stored
    /// stays what it is.
    #[must_use]
    pub fn shown(mut self, shape: Shape, may_write: bool) -> Self {
        if !may_write && shape != Shape::Link {
            self.mode &= !0o222;
        }
        self
    }

    /// For something that is made in a folder with these attributes: set-group-id of the folder hands the
    /// group on, and a folder hands on the bit, too.
    #[must_use]
    pub fn made_in(mut self, folder: &Self, shape: Shape) -> Self {
        if folder.mode & 0o2000 != 0 {
            self.gid = folder.gid;
            if shape == Shape::Folder {
                self.mode |= 0o2000;
            }
        }
        self
    }
}

/// What is known of a modification time, when attributes are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Time {
    /// Its whole second travels in a field of its own.
    Kept,
    /// The site keeps no time that it is given: all of it goes into the metadata.
    NotKept,
    /// Nobody has set it, as of a folder that was just made: it is not stored.
    NotSet,
}

/// A folder of root's that everybody may enter: the commonest of all. To say so would cost a request of its own.
const PLAIN_FOLDER: (u16, u32, u32) = (0o755, 0, 0);

/// What must be stored so that `attributes` come back, through this mount, whose options are `here`, and any other. A
/// file's metadata travels with its bytes, so that it always says everything.
pub fn to_metadata(
    attributes: &Attributes,
    shape: Shape,
    time: Time,
    here: &Defaults,
) -> BTreeMap<String, String> {
    let Attributes { mode, uid, gid, mtime, .. } = attributes;
    let is_exact = mtime.nanos == 0 && API_SECONDS.contains(&{ mtime.seconds });
    let time = match time {
        Time::Kept => !is_exact,
        Time::NotKept => true,
        Time::NotSet => false,
    };
    let is_plain = [(*mode, *uid, *gid), (here.folder_mode, here.uid, here.gid)] == [PLAIN_FOLDER; 2];
    if shape == Shape::Folder && is_plain && !time {
        return BTreeMap::new();
    }
    let mut value = format!("{VERSION} mode={mode:o} uid={uid} gid={gid}");
    if shape == Shape::Link {
        value.push_str(&format!(" {LINK}"));
    }
    if time {
        value.push_str(&format!(" mtime={}.{:09}", { mtime.seconds }, mtime.nanos));
    }
    BTreeMap::from([(METADATA_KEY.to_owned(), value)])
}

/// Does the metadata say what the modification time is?
pub fn states_time(metadata: &BTreeMap<String, String>) -> bool {
    words(metadata).any(|word| word.starts_with("mtime="))
}

/// What something has of whom nothing is stored: as this mount was told.
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

    fn mode(&self, shape: Shape) -> u16 {
        match shape {
            Shape::File => self.file_mode,
            Shape::Folder => self.folder_mode,
            Shape::Link => 0o777,
        }
    }

    /// Attributes of something new.
    pub fn new_entry(&self, shape: Shape, now: Moment) -> Attributes {
        Attributes { mode: self.mode(shape), uid: self.uid, gid: self.gid, mtime: now, ctime: now }
    }

    /// The attributes of a listed entry: the defaults, its time, and what its metadata says instead.
    pub fn from_entry(
        &self,
        shape: Shape,
        provided: Option<Moment>,
        changed: Option<Moment>,
        metadata: &BTreeMap<String, String>,
    ) -> Attributes {
        let mtime = provided.or(changed).unwrap_or_default();
        let mut attributes = self.new_entry(shape, mtime);
        for word in words(metadata) {
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

/// Whole seconds that the API is known to take: 1970 to 9999, less the last day, which an offset may take beyond.
pub const API_SECONDS: std::ops::RangeInclusive<i64> = 0..=253_402_207_199;

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
    fn a_file_always_says_everything_and_a_plain_folder_nothing() {
        let whole = Moment::from_seconds(1_700_000_000);
        let text = |attributes: &Attributes, shape, time| {
            to_metadata(attributes, shape, time, &DEFAULTS).remove(METADATA_KEY).unwrap_or_default()
        };
        let file = DEFAULTS.new_entry(Shape::File, whole);
        assert_eq!(text(&file, Shape::File, Time::Kept), "1 mode=644 uid=0 gid=0");
        assert_eq!(
            text(&file, Shape::File, Time::NotKept),
            "1 mode=644 uid=0 gid=0 mtime=1700000000.000000000"
        );
        let fraction = Moment { nanos: 5, ..whole };
        let folder = DEFAULTS.new_entry(Shape::Folder, fraction);
        assert_eq!(text(&folder, Shape::Folder, Time::NotSet), "");
        assert!(text(&folder, Shape::Folder, Time::Kept).ends_with(" mtime=1700000000.000000005"));
        for folder in [Attributes { mode: 0o700, ..folder }, Attributes { uid: 7, ..folder }] {
            assert!(text(&folder, Shape::Folder, Time::NotSet).starts_with("1 mode=7"));
        }
        // Through this mount, nothing would say something else.
        let others = Defaults::with_umask(0o077, 0, 0);
        assert!(!to_metadata(&folder, Shape::Folder, Time::NotSet, &others).is_empty());
    }

    #[test]
    fn what_is_stored_is_read_alike_by_mounts_of_other_options() {
        let others = Defaults::with_umask(0o077, 7, 8);
        let mtime = Moment::from_seconds(5);
        for shape in [Shape::File, Shape::Link] {
            for attributes in [DEFAULTS, others].map(|defaults| defaults.new_entry(shape, mtime)) {
                let metadata = to_metadata(&attributes, shape, Time::Kept, &DEFAULTS);
                let read = [DEFAULTS, others]
                    .map(|defaults| defaults.from_entry(shape, Some(mtime), None, &metadata));
                assert_eq!(read, [attributes; 2]);
            }
        }
        // What earlier versions left out is what the mount says.
        let older = BTreeMap::from([(METADATA_KEY.to_owned(), "1 mode=640".to_owned())]);
        let read = others.from_entry(Shape::File, Some(mtime), None, &older);
        assert_eq!((read.mode, read.uid, read.gid), (0o640, 7, 8));
    }

    #[test]
    fn a_time_that_someone_else_set_wins_over_ours() {
        let metadata = BTreeMap::from([(METADATA_KEY.to_owned(), "1 mtime=1700000000.000000007".to_owned())]);
        let read = |provided| DEFAULTS.from_entry(Shape::File, provided, None, &metadata).mtime;
        assert_eq!(
            read(Some(Moment::from_seconds(1_700_000_000))),
            Moment { seconds: 1_700_000_000, nanos: 7 }
        );
        assert_eq!(read(Some(Moment::from_seconds(1_800_000_000))), Moment::from_seconds(1_800_000_000));
        assert_eq!(read(None), Moment { seconds: 1_700_000_000, nanos: 7 });
    }

    #[test]
    fn what_may_not_be_written_is_shown_so_whatever_mode_is_stored() {
        let metadata = BTreeMap::from([(METADATA_KEY.to_owned(), "1 mode=6775".to_owned())]);
        let mode =
            |shape, may_write| DEFAULTS.from_entry(shape, None, None, &metadata).shown(shape, may_write).mode;
        assert_eq!((mode(Shape::File, true), mode(Shape::File, false)), (0o6775, 0o6555));
        assert_eq!((mode(Shape::Folder, false), mode(Shape::Link, false)), (0o6555, 0o6775));
    }

    #[test]
    fn a_folder_with_set_group_id_hands_its_group_on() {
        let folder =
            Attributes { mode: 0o2775, gid: 7, ..DEFAULTS.new_entry(Shape::Folder, Moment::default()) };
        let made = |shape| DEFAULTS.new_entry(shape, Moment::default()).made_in(&folder, shape);
        assert_eq!((made(Shape::File).gid, made(Shape::File).mode), (7, 0o644));
        assert_eq!((made(Shape::Folder).gid, made(Shape::Folder).mode), (7, 0o2755));
    }

    #[test]
    fn privilege_is_dropped_but_not_the_mark_of_mandatory_locks() {
        for (before, after) in [(0o6755, 0o755), (0o2644, 0o2644), (0o4644, 0o644), (0o1755, 0o1755)] {
            let mut attributes =
                Attributes { mode: before, ..DEFAULTS.new_entry(Shape::File, Moment::default()) };
            attributes.drop_privilege();
            assert_eq!(attributes.mode, after, "{before:o}");
        }
    }

    #[test]
    fn nonsense_in_the_metadata_is_left_alone() {
        for value in ["", "1", "1 mode=9 uid=-1 gid= mtime=1.2 who=me", "2 mode=600", "1 mtime=x.000000000"] {
            let metadata = BTreeMap::from([(METADATA_KEY.to_owned(), value.to_owned())]);
            let read = DEFAULTS.from_entry(Shape::File, Some(Moment::from_seconds(5)), None, &metadata);
            assert_eq!(read, DEFAULTS.new_entry(Shape::File, Moment::from_seconds(5)), "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn attributes_come_back_as_they_went_in(
            mode in 0u16..=0o7777, uid: u32, gid: u32, seconds in -9_000_000_000i64..300_000_000_000,
            nanos in prop_oneof![Just(0u32), 0..1_000_000_000u32],
            shape in prop::sample::select(vec![Shape::File, Shape::Folder, Shape::Link]),
        ) {
            let mtime = Moment { seconds, nanos };
            let attributes = Attributes { mode, uid, gid, mtime, ctime: mtime };
            let metadata = to_metadata(&attributes, shape, Time::Kept, &DEFAULTS);
            prop_assert!(metadata.values().all(|value| value.len() <= 1024));
            // What the API keeps of the time: whole seconds, from 1970 to the last day but one of 9999.
            let kept = Moment { seconds: seconds.clamp(0, 253_402_207_199), nanos: 0 };
            // A mount whose own options say something else; of a plain folder nothing is stored.
            let read = Defaults::with_umask(0o137, 7, 8).from_entry(shape, Some(kept), None, &metadata);
            if !metadata.is_empty() {
                prop_assert_eq!(read, attributes);
            }
            prop_assert_eq!(Shape::of(shape == Shape::Folder, &metadata), shape);
        }
    }
}
