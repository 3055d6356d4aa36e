//! The `doorward` program.

use std::process::ExitCode;

/// A pass over everything takes much memory for a moment; glibc's allocator keeps most of it (docs/adr/0016-allocator.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Pages of 2 MiB for what is scattered over many small ones: three quarters of an idle gateway's memory were of that.
    // Where the kernel has none of them there is nothing to switch off.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    doorward::cli::run()
}
