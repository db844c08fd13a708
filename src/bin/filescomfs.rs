//! The command `filescomfs`, also under the name `mount.filescomfs`.

use std::process::ExitCode;

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    filescomfs::cli::main(std::env::args_os().collect()).into()
}
