//! The command `filescomfs`, also under the names `mount.filescomfs` and `umount.filescomfs`.

use std::process::ExitCode;

fn main() -> ExitCode {
    filescomfs::cli::main(std::env::args_os().collect()).into()
}
