//! The `worker` binary.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::process::ExitCode;
use worker_bin::text::harmless::Harmless;

/// The data path allocates and frees buffers of hundreds of KiB; this keeps their pages instead of faulting them in anew. It does not ask for
/// huge pages: one is cleared whole for the first byte of it, and what is used here for a moment lies in many.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|arg| arg == worker_bin::child::LAUNCHER_ARG) {
        return worker_bin::child::launcher_main();
    }
    exit_on_panic();
    let status = worker_bin::cli::main();
    worker_bin::stderr::flush();
    status
}

/// A panic anywhere is a bug of the worker. Better to stop with it, children included, than to wait for a thread that is
/// gone. It is said by the writer of standard error, which waits for nobody who does not read.
fn exit_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = Backtrace::capture();
        let thread = std::thread::current();
        let mut text =
            format!("thread '{}' panicked, a bug of the worker: {panic}", thread.name().unwrap_or("?"));
        if backtrace.status() == BacktraceStatus::Captured {
            text.push_str(&format!("\n{backtrace}"));
        }
        worker_bin::stderr::say(&Harmless::text(text));
        worker_bin::stderr::flush();
        std::process::exit(1);
    }));
}
