//! Why the kernel's door stays shut: the faults of a machine that keep FUSE from mounting, told apart.

use std::fs::{Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;

/// A fault, with what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FuseFault {
    /// The device is not there.
    #[error(
        "there is no /dev/fuse: load the module (modprobe fuse), or give the container the device (--device /dev/fuse)"
    )]
    NoDevice,
    /// The device is there, and no module behind it.
    #[error("/dev/fuse is there and the kernel has no FUSE behind it: load the module (modprobe fuse)")]
    NoModule,
    /// The device may not be opened, by root either.
    #[error("/dev/fuse may not be opened: let the container use the device, or type: chmod 666 /dev/fuse")]
    Forbidden,
    /// An ordinary user needs the program.
    #[error("fusermount3 is not installed, and only root mounts without it: install the package fuse3")]
    NoProgram,
    /// The program is there and may not mount.
    #[error(
        "fusermount3 is not setuid root, and does not mount for ordinary users: chmod u+s, or install fuse3 again"
    )]
    NotSetuid,
    /// Root without the right to mount.
    #[error(
        "this process may not mount: give the container CAP_SYS_ADMIN (--cap-add SYS_ADMIN), and let AppArmor allow it"
    )]
    MayNotMount,
}

/// What this machine is like, as far as it matters.
#[derive(Debug, Clone, Copy)]
struct Machine {
    /// What opening the device ended with.
    device: Result<(), i32>,
    /// mount(2) is ours to call.
    may_mount: bool,
    is_root: bool,
    /// Of fusermount3, where it is: is it setuid root?
    program: Option<bool>,
}

/// Looks for what keeps a FUSE filesystem from being mounted here; nothing is mounted for that.
pub fn look() -> Option<FuseFault> {
    let device = OpenOptions::new().read(true).write(true).open("/dev/fuse");
    let program = std::env::var_os("PATH").and_then(|path| {
        std::env::split_paths(&path).find_map(|folder| folder.join("fusermount3").metadata().ok())
    });
    // SAFETY: only reads the process's identity and cannot fail.
    let is_root = unsafe { libc::geteuid() } == 0;
    fault(&Machine {
        device: device.map(drop).map_err(|error: io::Error| error.raw_os_error().unwrap_or(libc::EIO)),
        may_mount: may_mount().unwrap_or(is_root),
        is_root,
        program: program.map(|found: Metadata| found.uid() == 0 && found.mode() & 0o4000 != 0),
    })
}

/// CAP_SYS_ADMIN among the capabilities in force.
fn may_mount() -> Option<bool> {
    const CAP_SYS_ADMIN: u32 = 21;
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    Some(u64::from_str_radix(effective.trim(), 16).ok()? >> CAP_SYS_ADMIN & 1 == 1)
}

fn fault(machine: &Machine) -> Option<FuseFault> {
    match machine.device {
        Err(libc::ENOENT) => return Some(FuseFault::NoDevice),
        Err(libc::ENODEV | libc::ENXIO) => return Some(FuseFault::NoModule),
        // fusermount3 opens it as root.
        Err(_) if !machine.is_root && machine.program == Some(true) => {}
        Err(_) => return Some(FuseFault::Forbidden),
        Ok(()) => {}
    }
    match (machine.may_mount, machine.is_root, machine.program) {
        (true, ..) => None,
        (false, true, _) => Some(FuseFault::MayNotMount),
        (false, false, None) => Some(FuseFault::NoProgram),
        (false, false, Some(false)) => Some(FuseFault::NotSetuid),
        (false, false, Some(true)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_has_its_own_sentence() {
        let root = Machine { device: Ok(()), may_mount: true, is_root: true, program: None };
        let user = Machine { may_mount: false, is_root: false, program: Some(true), ..root };
        assert_eq!((fault(&root), fault(&user)), (None, None));
        for (machine, expected) in [
            (Machine { device: Err(libc::ENOENT), ..root }, FuseFault::NoDevice),
            (Machine { device: Err(libc::ENODEV), ..user }, FuseFault::NoModule),
            (Machine { device: Err(libc::EPERM), ..root }, FuseFault::Forbidden),
            (Machine { may_mount: false, ..root }, FuseFault::MayNotMount),
            (Machine { program: None, ..user }, FuseFault::NoProgram),
            (Machine { program: Some(false), ..user }, FuseFault::NotSetuid),
        ] {
            assert_eq!(fault(&machine), Some(expected), "{machine:?}");
        }
        let fallback = Machine { device: Err(libc::EACCES), ..user };
        assert_eq!(fault(&fallback), None, "fusermount3 opens the device as root");
    }
}
