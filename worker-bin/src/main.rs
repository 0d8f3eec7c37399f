//! The `worker` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|arg| arg == worker_bin::child::LAUNCHER_ARG) {
        return worker_bin::child::launcher_main();
    }
    ExitCode::SUCCESS
}
