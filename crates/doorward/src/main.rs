//! The `doorward` program.

use std::{process::ExitCode, thread, time::Duration};

/// A pass over everything takes much memory for a moment; glibc's allocator keeps most of it (docs/adr/0016-allocator.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Between two looks at what can be given back.
const GIVE_BACK_EVERY: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    // Pages of 2 MiB for what is scattered over many small ones: three quarters of an idle gateway's memory were of that.
    // Where the kernel has none of them there is nothing to switch off.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    // Without that thread it is only more memory.
    drop(thread::Builder::new().name("memory".to_owned()).stack_size(64 * 1024).spawn(give_back));
    doorward::cli::run()
}

/// Gives memory back that is free. The allocator does so by itself only while it is asked for more, and after a pass over everything
/// nobody asks.
fn give_back() {
    loop {
        thread::sleep(GIVE_BACK_EVERY);
        #[expect(unsafe_code, reason = "the allocator is a C library")]
        // SAFETY: any thread may call it at any time.
        unsafe {
            libmimalloc_sys::mi_collect(true);
        }
    }
}
