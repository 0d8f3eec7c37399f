//! The `worker` binary.

use std::process::ExitCode;

/// The data path allocates and frees buffers of hundreds of KiB; this keeps their pages instead of faulting them in anew.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|arg| arg == worker_bin::child::LAUNCHER_ARG) {
        return worker_bin::child::launcher_main();
    }
    exit_on_panic();
    worker_bin::cli::main()
}

/// A panic anywhere is a bug of the worker. Better to stop with it, children included, than to wait for a thread that is
/// gone.
fn exit_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::exit(1);
    }));
}
