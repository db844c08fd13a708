//! The command `filescomfs`, also under the name `mount.filescomfs`.

use std::process::ExitCode;

fn main() -> ExitCode {
    filescomfs::cli::main(std::env::args_os().collect()).into()
}
