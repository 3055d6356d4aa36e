//! The `doorward` program.

use std::process::ExitCode;

/// A pass over everything takes much memory for a moment; glibc's allocator keeps most of it (docs/adr/0016-allocator.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    doorward::cli::run()
}
