//! One file after a crash: the versions that may be under its name, and whether what was seen is one of them.

use std::collections::BTreeMap;
use std::rc::Rc;

/// What may be found under the name of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// The file was never acknowledged: there may be none.
    Nothing,
    /// These bytes.
    Bytes(Rc<Vec<u8>>),
    /// A write that was in flight: the old bytes, with some of the new ones, from the first on.
    Torn { old: Rc<Vec<u8>>, offset: usize, bytes: Rc<Vec<u8>> },
    /// A symbolic link.
    Link(String),
}

/// What was found in a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    Folder,
    File { bytes: Vec<u8>, mode: u32, time: u64 },
    Link(String),
}

/// Everything that was found, by path.
pub type Sight = BTreeMap<String, Seen>;

/// One file, with all that may be true of it after a crash; the newest is last.
#[derive(Debug, Clone)]
pub struct File {
    pub versions: Vec<Version>,
    /// As the running mount shows it.
    pub now: Rc<Vec<u8>>,
    pub is_link: bool,
    pub modes: Vec<u32>,
    /// `None` where the mount's own clock has set the time.
    pub times: Vec<Option<u64>>,
    /// Its bytes changed since the last answer that published it: such answers take attributes along.
    pub owed: bool,
    /// A call that changes it was in flight.
    pub unsure: bool,
}

impl File {
    pub fn new(mode: u32) -> Self {
        Self {
            versions: vec![Version::Nothing],
            now: Rc::default(),
            is_link: false,
            modes: vec![mode],
            times: vec![None],
            owed: true,
            unsure: false,
        }
    }

    pub fn push(&mut self, bytes: Vec<u8>) {
        self.now = Rc::new(bytes);
        self.versions.push(Version::Bytes(self.now.clone()));
        self.times.push(None);
        self.owed = true;
    }

    pub fn allows(&self, seen: &Seen, power_failed: bool) -> Result<(), String> {
        let fits = self.versions.iter().any(|version| version.fits(seen));
        let fits = fits || (power_failed && self.is_mixture(seen));
        if !fits {
            return Err(format!("{} was found; allowed: {}", told(seen), self.told()));
        }
        let Seen::File { mode, time, .. } = seen else { return Ok(()) };
        if !self.modes.contains(mode) {
            return Err(format!("mode {mode:o} was found; allowed: {:?}", self.modes));
        }
        if !self.times.iter().any(|allowed| allowed.is_none_or(|allowed| allowed == *time)) {
            return Err(format!("time {time} was found; allowed: {:?}", self.times));
        }
        Ok(())
    }

    /// Is each byte that of one version or another? The disk knows no order of what was not synced.
    pub fn is_mixture(&self, seen: &Seen) -> bool {
        let Seen::File { bytes: found, .. } = seen else { return false };
        let versions: Vec<Vec<u8>> = self.versions.iter().filter_map(Version::bytes).collect();
        let lengths = versions.iter().map(Vec::len);
        let (Some(least), Some(most)) = (lengths.clone().min(), lengths.max()) else { return false };
        let byte = |version: &Vec<u8>, at| version.get(at).copied().unwrap_or(0);
        (least..=most).contains(&found.len())
            && found.iter().enumerate().all(|(at, found)| versions.iter().any(|v| byte(v, at) == *found))
    }

    pub fn told(&self) -> String {
        let each: Vec<String> = self.versions.iter().map(Version::told).collect();
        each.join(", ")
    }
}

impl Version {
    pub fn fits(&self, seen: &Seen) -> bool {
        match (self, seen) {
            (Self::Bytes(allowed), Seen::File { bytes, .. }) => **allowed == *bytes,
            (Self::Torn { old, offset, bytes }, Seen::File { bytes: found, .. }) => {
                let tail = found.get(*offset..).unwrap_or_default();
                let arrived = tail.iter().zip(bytes.iter()).take_while(|(a, b)| a == b).count();
                overlay(old, *offset, &bytes[..arrived]) == *found
            }
            (Self::Link(target), Seen::Link(found)) => target == found,
            _ => false,
        }
    }

    /// The bytes when all of it has happened.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        match self {
            Self::Nothing => Some(Vec::new()),
            Self::Bytes(bytes) => Some(bytes.to_vec()),
            Self::Torn { old, offset, bytes } => Some(overlay(old, *offset, bytes)),
            Self::Link(_) => None,
        }
    }

    pub fn told(&self) -> String {
        match self {
            Self::Nothing => "nothing".to_owned(),
            Self::Bytes(bytes) => digest(bytes),
            Self::Torn { old, offset, bytes } => {
                format!("{} with a part of {} from {offset} on", digest(old), digest(bytes))
            }
            Self::Link(target) => format!("a link to {target}"),
        }
    }
}

pub fn told(seen: &Seen) -> String {
    match seen {
        Seen::Folder => "a folder".to_owned(),
        Seen::File { bytes, .. } => digest(bytes),
        Seen::Link(target) => format!("a link to {target}"),
    }
}

pub fn digest(bytes: &[u8]) -> String {
    format!("{} bytes (crc {:08x})", bytes.len(), crc32fast::hash(bytes))
}

/// `old`, with `bytes` over it from `offset` on, and zeros where there was nothing.
pub fn overlay(old: &[u8], offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut new = old.to_vec();
    if !bytes.is_empty() {
        new.resize(new.len().max(offset + bytes.len()), 0);
        new[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
    new
}
