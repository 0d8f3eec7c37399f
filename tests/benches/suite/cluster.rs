//! Several nodes of one pipeline, each a process of its own.

use super::pipeline::command;
use super::suite::Suite;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};

/// Files of a cluster whose nodes listen on free ports; they lie in the suite's directory.
pub(crate) fn write(suite: &Suite, nodes: &[&str], pipeline: &str) {
    let mut cluster = String::new();
    for node in nodes {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a port")
            .port();
        writeln!(cluster, "[node.{node}]\naddress = \"127.0.0.1:{port}\"\nslots = 1")
            .expect("a string takes it");
    }
    std::fs::write(suite.dir().join("cluster.toml"), cluster).expect("write the cluster file");
    std::fs::write(suite.dir().join("nodes.toml"), pipeline).expect("write the pipeline file");
}

pub(crate) fn node(binary: &Path, suite: &Suite, name: &str) -> Command {
    let mut node = command(binary, suite);
    node.args([
        "node",
        "--name",
        name,
        "--cluster",
        "cluster.toml",
        "nodes.toml",
        "--admin",
        "none",
        "--quiet",
    ]);
    node
}

/// A process that is killed when it is not needed any more.
pub(crate) struct Alive {
    child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) stdout: Option<ChildStdout>,
    /// Where the command has asked for a pipe.
    pub(crate) stderr: Option<ChildStderr>,
}

impl Alive {
    /// With pipes where standard input and output are.
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        Self { child, stdin, stdout, stderr }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
