//! Several nodes of one cluster.

use super::scratch::{Scratch, free_port};
use super::worker::{Running, Start};
use std::fmt::Write as _;

/// A cluster file and the pipeline its nodes share.
#[derive(Debug)]
pub struct Nodes<'a> {
    scratch: &'a Scratch,
    addresses: Vec<(String, String)>,
}

impl<'a> Nodes<'a> {
    /// Nodes of these names on free ports of the loopback, one slot each.
    #[must_use]
    pub fn on_loopback(scratch: &'a Scratch, names: &[&str], pipeline: &str) -> Self {
        let address = |name: &&str| ((*name).to_owned(), format!("127.0.0.1:{}", free_port()));
        Self::at(scratch, names.iter().map(address).collect(), pipeline)
    }

    /// Nodes of these names and addresses.
    #[must_use]
    pub fn at(scratch: &'a Scratch, addresses: Vec<(String, String)>, pipeline: &str) -> Self {
        let mut cluster = String::new();
        if addresses.iter().any(|(_, address)| !address.starts_with("127.")) {
            cluster += "[cluster]\ninsecure = true\n";
        }
        for (name, address) in &addresses {
            writeln!(cluster, "[node.{name}]\naddress = \"{address}\"\nslots = 1").ok();
        }
        scratch.write("cluster.toml", cluster);
        scratch.write("pipeline.toml", pipeline);
        Self { scratch, addresses }
    }

    /// The same with certificates, made as a user makes them.
    ///
    /// # Panics
    /// The commands fail.
    #[must_use]
    pub fn with_certificates(self) -> Self {
        self.scratch.worker(&["cert", "init"]).run().expect(0);
        self.scratch.worker(&["cert", "issue", "--cluster", "cluster.toml"]).run().expect(0);
        let cluster = self.scratch.text("cluster.toml");
        self.scratch.write("cluster.toml", cluster.replace("[cluster]\ninsecure = true\n", ""));
        self
    }

    /// Where a node listens.
    ///
    /// # Panics
    /// There is no such node.
    #[must_use]
    pub fn address(&self, name: &str) -> &str {
        let found = self.addresses.iter().find(|(other, _)| other == name);
        &found.unwrap_or_else(|| panic!("there is no node {name}")).1
    }

    /// A node about to be started.
    #[must_use]
    pub fn node(&self, name: &str) -> Start<'a> {
        self.scratch.worker(&["node", "--name", name, "--cluster", "cluster.toml", "pipeline.toml"])
    }

    /// Starts a node.
    #[must_use]
    pub fn start(&self, name: &str) -> Running<'a> {
        self.node(name).start()
    }
}
