//! The live page in a real browser: what it shows, what it asks for, and how it is used without a mouse.

mod faults;
mod looks;
mod numbers;
mod report;
mod use_of_it;

use std::time::Duration;
use worker_tests::process::{Browser, Running, Scratch, eventually, free_port};

/// How long anything may take to show on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The token of every worker here.
const TOKEN: &str = "right-token";

/// A source that gives ten records each tenth of a second until the file `stop` is there.
const TICKS: &str = r#"run = ["sh", "-c", "i=0; while [ ! -e stop ]; do seq $((i*10)) $((i*10+9)); i=$((i+1)); sleep 0.1; done"]"#;

/// A worker and the address of its page.
struct Served<'a> {
    worker: Running<'a>,
    port: u16,
}

impl<'a> Served<'a> {
    /// Runs a pipeline in one process.
    fn run(scratch: &'a Scratch, pipeline: &str) -> Self {
        Self::run_at(scratch, pipeline, free_port())
    }

    fn run_at(scratch: &'a Scratch, pipeline: &str, port: u16) -> Self {
        scratch.write("pipeline.toml", pipeline);
        let admin = format!("127.0.0.1:{port}");
        let start = scratch.worker(&["run", "pipeline.toml", "--admin", &admin, "--progress", "none"]);
        let run = scratch.path("run");
        let start = start.env("WORKER_ADMIN_TOKEN", TOKEN).env("WORKER_RUNTIME_DIR", &run.to_string_lossy());
        Self { worker: start.start(), port }
    }

    /// Opens its page and waits until it shows something.
    fn open(&mut self, browser: &Browser<'_>) {
        let at = ("127.0.0.1", self.port);
        eventually("the admin address answers", Duration::from_secs(20), || {
            assert!(!self.worker.has_ended(), "the worker ended: {}", self.worker.stderr());
            std::net::TcpStream::connect(at).map_err(|error| error.to_string())
        });
        browser.open(&self.origin());
        browser.until("the graph is drawn", "return document.querySelectorAll('#graph .box').length > 0");
    }

    fn origin(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }
}
