//! What lies in the folder that a mount hides: as a rule nothing, unless a tool wrote there while nothing was mounted.

use std::fmt::{self, Display};
use std::io;
use std::path::Path;

use super::mountinfo::View;

/// Names that are told.
const SHOWN: usize = 3;

/// The entries of a folder that is, or was, a mountpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beneath {
    /// How many.
    pub entries: usize,
    names: Vec<String>,
}

impl Beneath {
    /// What lies in `folder` while nothing is mounted there.
    ///
    /// # Errors
    /// Of reading the folder.
    pub fn of(folder: &Path) -> io::Result<Self> {
        let mut beneath = Self::default();
        for entry in folder.read_dir()? {
            let name = entry?.file_name();
            beneath.entries += 1;
            if beneath.names.len() < SHOWN {
                beneath.names.push(name.to_string_lossy().chars().filter(|c| !c.is_control()).collect());
            }
        }
        Ok(beneath)
    }

    /// The same, where something lies there and nothing is mounted on `folder`.
    pub fn exposed(folder: &Path) -> Option<Self> {
        let is_mounted = View::of(folder).ok()?.top()?.path == folder;
        let beneath = if is_mounted { None } else { Self::of(folder).ok() };
        beneath.filter(|beneath| beneath.entries > 0)
    }
}

impl Display for Beneath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.entries == 1 { "entry" } else { "entries" };
        let more = if self.entries > self.names.len() { ", …" } else { "" };
        write!(f, "{} {word} ({}{more})", self.entries, self.names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_names_stand_for_many() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!((Beneath::of(folder.path()).unwrap().entries, Beneath::exposed(folder.path())), (0, None));
        std::fs::write(folder.path().join("a\u{1b}"), "").unwrap();
        assert_eq!(Beneath::exposed(folder.path()).unwrap().to_string(), "1 entry (a)");
        for n in 0..4 {
            std::fs::write(folder.path().join(format!("{n}")), "").unwrap();
        }
        let shown = Beneath::exposed(folder.path()).unwrap().to_string();
        assert!(shown.starts_with("5 entries (") && shown.ends_with(", …)"), "{shown}");
        assert_eq!(Beneath::exposed(Path::new("/proc")), None, "a mount is there");
    }
}
