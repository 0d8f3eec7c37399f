//! What it was measured on.

use super::suite::{Suite, root};
use serde_json::{Value, json};
use std::fmt;
use std::path::Path;
use std::process::Command;

#[derive(Debug)]
pub(crate) struct Machine {
    processor: String,
    cores: usize,
    memory_gib: u64,
    kernel: String,
    /// Of the directory with input, output and state.
    filesystem: String,
    compiler: String,
    /// What `-V` says of each binary.
    workers: Vec<(String, String)>,
    commit: String,
    date: String,
    /// Of the minute before; a busy machine measures badly.
    load: String,
}

impl Machine {
    pub(crate) fn look(suite: &Suite) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(':').map_or_else(String::new, |(_, value)| value.trim().to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal");
        let memory_kib: u64 = memory.trim_end_matches(" kB").parse().unwrap_or_default();
        let version =
            |path: &Path| said(Command::new(path).arg("-V")).lines().next().unwrap_or_default().to_owned();
        Self {
            processor: field(&read("/proc/cpuinfo"), "model name"),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_gib: memory_kib >> 20,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            filesystem: said(Command::new("stat").args(["-f", "-c", "%T"]).arg(suite.dir())),
            compiler: said(Command::new("rustc").arg("-V")),
            workers: suite.workers.iter().map(|(who, path)| (who.clone(), version(path))).collect(),
            commit: said(Command::new("git").args(["describe", "--always", "--dirty"]).current_dir(root())),
            date: said(Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"])),
            load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
        }
    }

    /// As [`Self::json`] and its neighbours have written it.
    pub(crate) fn read(results: &Value) -> Self {
        let machine = &results["machine"];
        let text = |value: &Value| value.as_str().unwrap_or("unknown").to_owned();
        let workers = results["workers"].as_array().into_iter().flatten();
        Self {
            processor: text(&machine["processor"]),
            cores: machine["cores"]
                .as_u64()
                .and_then(|cores| usize::try_from(cores).ok())
                .unwrap_or_default(),
            memory_gib: machine["memory_gib"].as_u64().unwrap_or_default(),
            kernel: text(&machine["kernel"]),
            filesystem: text(&machine["filesystem"]),
            compiler: text(&machine["compiler"]),
            workers: workers.map(|worker| (text(&worker["who"]), text(&worker["version"]))).collect(),
            commit: text(&results["commit"]),
            date: text(&results["date"]),
            load: text(&machine["load_before"]),
        }
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "processor": self.processor,
            "cores": self.cores,
            "memory_gib": self.memory_gib,
            "kernel": self.kernel,
            "filesystem": self.filesystem,
            "compiler": self.compiler,
            "load_before": self.load,
        })
    }

    pub(crate) fn workers(&self) -> Value {
        self.workers.iter().map(|(who, version)| json!({ "who": who, "version": version })).collect()
    }

    pub(crate) fn commit(&self) -> &str {
        &self.commit
    }

    pub(crate) fn date(&self) -> &str {
        &self.date
    }

    pub(crate) fn day(&self) -> &str {
        self.date.split('T').next().unwrap_or_default()
    }

    /// For a picture.
    pub(crate) fn short(&self) -> String {
        format!(
            "{} cores ({}), Linux {}, commit {}; load in the minute before: {}",
            self.cores, self.processor, self.kernel, self.commit, self.load
        )
    }

    /// How many wanted a processor in the minute before.
    pub(crate) fn load(&self) -> &str {
        &self.load
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cores ({}), {} GiB, Linux {}, input and state on {}, {}, commit {}",
            self.cores,
            self.processor,
            self.memory_gib,
            self.kernel,
            self.filesystem,
            self.compiler,
            self.commit
        )
    }
}

/// What a command prints, or that it does not.
fn said(command: &mut Command) -> String {
    match command.output() {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}
