//! Choices of the user that decide what counts as done.

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
