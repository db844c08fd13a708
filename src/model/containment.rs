//! Symbolic links that lead out of the mount: a folder that others write to must not make a program here read or
//! write files of this machine.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Does `target` lead to a place in the mount, for a link that lies `depth` folders below its root?
///
/// Only `..` at the beginning can be counted: behind a name, they begin wherever that name leads to, which may be
/// a link itself. So those are taken to lead outside, and so is an absolute path.
pub fn stays_inside(target: &OsStr, depth: usize) -> bool {
    if target.as_bytes().starts_with(b"/") {
        return false;
    }
    let names =
        target.as_bytes().split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".");
    let (mut up, mut down) = (0, false);
    for name in names {
        match name {
            b".." if down => return false,
            b".." => up += 1,
            _ => down = true,
        }
    }
    up <= depth
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_outside_is_told_from_what_stays() {
        for (target, depth, inside) in [
            ("file", 0, true),
            ("a/b/./c//d", 0, true),
            ("../a", 1, true),
            ("../../a", 2, true),
            ("..", 1, true),
            ("./../a", 1, true),
            ("../a", 0, false),
            ("../../a", 1, false),
            ("/etc/passwd", 9, false),
            ("//", 9, false),
            ("a/../b", 5, false),
            ("...", 0, true),
            ("", 0, true),
        ] {
            assert_eq!(stays_inside(OsStr::new(target), depth), inside, "{target:?} at {depth}");
        }
    }
}
