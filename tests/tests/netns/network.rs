//! Namespaces joined by wires, and what a packet filter does to what goes over them.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use worker_tests::process::{Running, Scratch, Start};

/// Where nodes listen.
pub(crate) const PORT: u16 = 7400;

/// Namespaces of a and others; a has a wire to each of those. They are gone when it is dropped.
#[derive(Debug)]
pub(crate) struct Network {
    prefix: String,
    names: Vec<&'static str>,
}

impl Network {
    pub(crate) fn of(others: &[&'static str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        assert!(
            rustix::process::geteuid().is_root(),
            "network namespaces need root: run these tests as root"
        );
        for (tool, package) in
            [("ip", "iproute2"), ("tc", "iproute2"), ("ss", "iproute2"), ("nft", "nftables")]
        {
            let found = Command::new(tool).arg("-V").output();
            assert!(found.is_ok(), "{tool} is missing: install the Debian package {package}");
        }
        let prefix = format!("wt{}x{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let network = Self { prefix, names: [&["a"], others].concat() };
        for name in &network.names {
            system(&["ip", "netns", "add", &network.namespace(name)]);
            network.inside(name, &["ip", "link", "set", "lo", "up"]);
        }
        for (other, number) in others.iter().zip(1..) {
            network.link(other, number);
        }
        network
    }

    /// Joins a, as 10.77.N.1, to another node, as 10.77.N.2.
    fn link(&self, other: &str, number: u8) {
        let (a, b) = (self.namespace("a"), self.namespace(other));
        let (near, far) = (format!("to-{other}"), "to-a");
        system(&["ip", "-n", &a, "link", "add", &near, "type", "veth", "peer", "name", far, "netns", &b]);
        for (name, device, host) in [("a", near.as_str(), 1), (other, far, 2)] {
            self.inside(name, &["ip", "address", "add", &format!("10.77.{number}.{host}/24"), "dev", device]);
            self.inside(name, &["ip", "link", "set", device, "up"]);
        }
    }

    fn namespace(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    fn inside(&self, name: &str, command: &[&str]) -> String {
        system(&[&["ip", "netns", "exec", &self.namespace(name)], command].concat())
    }

    /// Drops everything that b gets (`input`), sends (`output`), or both.
    pub(crate) fn cut(&self, directions: &[&str]) {
        self.filter(directions, "drop");
    }

    /// Drops so many of 100 packets that b gets, and of those that it sends.
    pub(crate) fn lose(&self, percent: u32) {
        self.filter(&["input", "output"], &format!("numgen random mod 100 < {percent} drop"));
    }

    fn filter(&self, directions: &[&str], rule: &str) {
        self.inside("b", &["nft", "add", "table", "inet", "faults"]);
        for direction in directions {
            let chain = format!("{{ type filter hook {direction} priority 0; }}");
            self.inside("b", &["nft", "add", "chain", "inet", "faults", direction, &chain]);
            self.inside("b", &["nft", "add", "rule", "inet", "faults", direction, rule]);
        }
    }

    pub(crate) fn heal(&self) {
        self.inside("b", &["nft", "delete", "table", "inet", "faults"]);
    }

    /// What goes from a to b, and from b to a, goes no faster than that (as `tc` writes it).
    pub(crate) fn slow(&self, rate: &str) {
        for (name, device) in [("a", "to-b"), ("b", "to-a")] {
            let queue = ["root", "tbf", "rate", rate, "burst", "16kb", "latency", "400ms"];
            self.inside(name, &[&["tc", "qdisc", "add", "dev", device][..], &queue].concat());
        }
    }

    pub(crate) fn fast_again(&self) {
        for (name, device) in [("a", "to-b"), ("b", "to-a")] {
            self.inside(name, &["tc", "qdisc", "del", "dev", device, "root"]);
        }
    }

    /// Ends every connection that a has to b, under both of them; says how many that were.
    pub(crate) fn kill_connections(&self) -> usize {
        let said = self.inside("a", &["ss", "--no-header", "--kill", "--tcp", "dst", "10.77.1.2"]);
        // Those are shown that were killed.
        said.lines().count()
    }

    /// A node in its namespace. `ip netns exec` becomes the node, so that its process is the node's.
    pub(crate) fn start<'a>(&self, scratch: &'a Scratch, node: Start<'a>, name: &str) -> Running<'a> {
        let mut start = scratch.program("ip".as_ref());
        start.command.args(["netns", "exec", &self.namespace(name)]).arg(node.command.get_program());
        start.command.args(node.command.get_args());
        start.start()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in &self.names {
            Command::new("ip").args(["netns", "delete", &self.namespace(name)]).output().ok();
        }
    }
}

/// What it prints.
fn system(command: &[&str]) -> String {
    let output = Command::new(command[0]).args(&command[1..]).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", command.join(" ")));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}: {said} (these tests need root and CAP_NET_ADMIN)",
        command.join(" ")
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
