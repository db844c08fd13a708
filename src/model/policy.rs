//! Choices of the user that decide what counts as done.

/// When close(2) answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Close {
    /// When Files.com holds the bytes, proven.
    #[default]
    Verified,
    /// When bytes and intent are durable on this machine; they are published in the background.
    Journaled,
}

impl Close {
    /// The word of the option, and of the status.
    pub fn name(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Journaled => "journaled",
        }
    }
}

/// How much proof a close asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Verify {
    /// The strongest proof that the site offers; a weak one is accepted, counted and reported.
    #[default]
    Auto,
    /// Files.com's own MD5, awaited for every file. A site that computes none is not mounted.
    Strict,
}

/// What is stored of a file beyond the API's own fields.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Metadata {
    /// Mode, owner and the fraction of the time, in `custom_metadata`, where they differ from the
    /// mount's defaults.
    #[default]
    Full,
    /// Only the API's own modification time, in whole seconds.
    Mtime,
}

/// What becomes of names that Files.com does not store as they are, or takes for a sibling's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Names {
    /// They are stored under another text that can be read back.
    #[default]
    Encode,
    /// They are refused: EINVAL and EEXIST.
    Refuse,
}

/// What becomes of link(2): Files.com has no second names for a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HardLinks {
    /// EPERM.
    #[default]
    Refuse,
    /// The new name is a copy of its own.
    Copy,
}

/// What becomes of symbolic links that lead out of the mount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Symlinks {
    /// They are links like others.
    #[default]
    Keep,
    /// EPERM for whoever makes or follows one.
    Inside,
}
