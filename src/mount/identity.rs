//! Is the path that somebody named the mount that answers for it?
//!
//! Two sides are compared: what the caller's own kernel shows at the path ([`View`]), and what the process at the other
//! end of the socket says it is ([`Said`]), with the user whom the kernel names as its owner. The device of a mount is
//! the same in every namespace and nobody else's while its process lives, so that equal devices are one filesystem.
//! Neither side is believed alone: the socket may be somebody else's, and the path may lead elsewhere.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::mountinfo::{KIND, Mounted, View};

/// What a mount says of itself, in every answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Tells this mount from those before and after it, on the same path.
    pub instance: String,
    /// Its device, as `0:40`; `None` where it could not find itself.
    pub device: Option<String>,
    /// Does it still serve the kernel, and is it mounted in its own namespace?
    pub mounted: bool,
}

/// Why a path is not the mount that answers for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Astray {
    /// Its process goes on alone.
    #[error("unmounted, still sending: what is written to that path now stays in the folder below")]
    Unmounted,
    /// Nothing is there, and whoever answers does not say that it ever was.
    #[error("not mounted: no filescomfs is on this path")]
    NotMounted,
    /// Something else is mounted over it, or over a folder above.
    #[error(
        "covered by another mount ({0}): what is written to that path now goes there; unmount that first"
    )]
    Covered(String),
    /// It is mounted where this process does not see it.
    #[error(
        "mounted in another mount namespace (a container, or a unit with PrivateTmp= or PrivateMounts=), and not seen \
         here: what is written to that path here does not arrive there"
    )]
    Elsewhere,
    /// The mount on this path is another user's than the process that answers for it.
    #[error("mounted by user {owner}, and a process of user {peer} answers for it: it is not believed")]
    OtherUser {
        /// Who mounted what is there.
        owner: u32,
        /// Who answers.
        peer: u32,
    },
    /// It does not say which mount it is.
    #[error(
        "served by a filescomfs that does not say which mount it is (an older version?); unmount, and mount again"
    )]
    Silent,
    /// It is not the mount that it was.
    #[error("another mount than it was: it was unmounted and mounted again meanwhile")]
    Replaced,
}

/// Is what `view` shows at `path` the mount that `said` this, with a process of the user `peer`?
///
/// # Errors
/// Why not.
pub fn judge(view: &View, path: &Path, said: Option<&Said>, peer: u32) -> Result<(), Astray> {
    let here = view.top().filter(|top| top.path == path && top.root == b"/" && top.kind == KIND);
    // A process of somebody else is not asked what it is.
    if let Some(owner) = here.as_ref().and_then(|here| here.owner)
        && owner != peer
    {
        return Err(Astray::OtherUser { owner, peer });
    }
    let Some(said) = said else {
        return Err(if here.is_some() { Astray::Silent } else { Astray::NotMounted });
    };
    let is_it = |mounted: &Mounted<'_>| said.device.as_deref().map(str::as_bytes) == Some(mounted.device);
    match here {
        _ if !said.mounted => Err(Astray::Unmounted),
        Some(here) if is_it(&here) => Ok(()),
        _ if view.all().any(|mounted| mounted.path == path && is_it(&mounted)) => {
            let cover = view.top().map(|top| String::from_utf8_lossy(top.kind).into_owned());
            Err(Astray::Covered(cover.unwrap_or_else(|| "one that cannot be entered".to_owned())))
        }
        _ => Err(Astray::Elsewhere),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "22 1 8:1 / / rw - ext4 /dev/sda1 rw";
    const OURS: &str = "40 22 0:40 / /mnt rw - fuse.filescomfs mysite rw,user_id=7,group_id=0";
    const COVER: &str = "41 40 0:41 / /mnt rw - tmpfs x rw";
    const ABOVE: &str = "42 22 0:42 / / rw - tmpfs x rw";
    const OTHER: &str = "43 22 0:43 / /mnt rw - fuse.filescomfs mysite rw,user_id=7,group_id=0";
    const BOUND: &str = "44 22 0:40 /sub /mnt rw - fuse.filescomfs mysite rw,user_id=7,group_id=0";

    fn judged(mounts: &[&str], top: u64, said: Option<(&str, bool)>, peer: u32) -> Result<(), Astray> {
        let said = said.map(|(device, mounted)| Said {
            instance: "x".to_owned(),
            device: Some(device.to_owned()),
            mounted,
        });
        let view = View::invented(mounts.join("\n").as_bytes(), Some(top));
        judge(&view, Path::new("/mnt"), said.as_ref(), peer)
    }

    #[test]
    fn both_sides_must_agree() {
        let said = Some(("0:40", true));
        let covered = |by: &str| Err(Astray::Covered(by.to_owned()));
        assert_eq!(judged(&[ROOT, OURS], 40, said, 7), Ok(()));
        assert_eq!(judged(&[ROOT], 22, said, 7), Err(Astray::Elsewhere));
        assert_eq!(judged(&[ROOT], 22, Some(("0:40", false)), 7), Err(Astray::Unmounted));
        assert_eq!(judged(&[ROOT, OURS, COVER], 41, said, 7), covered("tmpfs"));
        assert_eq!(judged(&[ROOT, OURS, ABOVE], 42, said, 7), covered("tmpfs"), "a folder above is covered");
        assert_eq!(judged(&[ROOT, OURS, OTHER], 43, said, 7), covered("fuse.filescomfs"));
        assert_eq!(judged(&[ROOT, OTHER], 43, Some(("0:40", false)), 7), Err(Astray::Unmounted));
        assert_eq!(judged(&[ROOT, BOUND], 44, said, 7), covered("fuse.filescomfs"), "a part of it is not it");
    }

    #[test]
    fn nobody_answers_for_the_mount_of_somebody_else() {
        for peer in [0, 8] {
            let refused = Err(Astray::OtherUser { owner: 7, peer });
            assert_eq!(judged(&[ROOT, OURS], 40, Some(("0:40", true)), peer), refused);
            assert_eq!(judged(&[ROOT, OURS], 40, None, peer), refused);
        }
        assert_eq!(judged(&[ROOT, OURS], 40, None, 7), Err(Astray::Silent));
        assert_eq!(judged(&[ROOT], 22, None, 8), Err(Astray::NotMounted));
    }
}
