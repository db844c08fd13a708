//! The one door to the environment: variables, and who we are.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// Variables and identity, as a value: tests make their own.
#[derive(Clone, Default)]
pub struct Environment {
    /// User id of this process.
    pub uid: u32,
    /// Group id of this process.
    pub gid: u32,
    variables: BTreeMap<OsString, OsString>,
}

impl Environment {
    /// What this process was started with.
    pub fn of_this_process() -> Self {
        // SAFETY: both calls only read the process's identity and cannot fail.
        let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
        let mut variables: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
        // mount(8) and cron may set no HOME: then it is what the system's list of users says.
        if variables.get(OsStr::new("HOME")).is_none_or(|home| home.is_empty())
            && let Some(home) = std::env::home_dir()
        {
            variables.insert("HOME".into(), home.into());
        }
        Self { uid, gid, variables }
    }

    /// An invented one.
    pub fn invented(uid: u32, variables: &[(&str, &str)]) -> Self {
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { uid, gid: uid, variables }
    }

    /// Are we root?
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// A variable that is set to something.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// A variable that names an absolute path. Relative ones do not count, as the XDG rules say.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from).filter(|path| path.is_absolute())
    }

    /// A folder of the XDG rules: its variable, else its place below the home folder.
    pub fn xdg(&self, name: &str, below_home: &str) -> Option<PathBuf> {
        self.path(name).or_else(|| Some(self.path("HOME")?.join(below_home)))
    }
}

/// Variables may be secrets, so none is shown.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment").field("uid", &self.uid).field("gid", &self.gid).finish_non_exhaustive()
    }
}
