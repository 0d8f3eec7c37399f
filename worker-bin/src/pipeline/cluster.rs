//! `cluster.toml`: which nodes there are and where they listen.

use super::diagnostics::{At, ConfigError, Problem, SourceText, in_file_order};
use super::keys::value::{FilePath, Flag, Maybe, Number, Text, Value};
use super::keys::{Class, Key, Keys, Section, WhenAbsent, row, schema};
use super::reader::{self, KeyValue, Reader, Table};
use super::vars::Vars;
use crate::admin::Place;
use crate::text::names;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use worker_core::config::NodeIx;
use worker_net::TlsFiles;

/// Most nodes of a cluster; a node's number is small on the wire.
const NODES_MAX: usize = 1024;

/// The nodes that share a pipeline, in the order of their names: a node's place is its [`NodeIx`] on every node.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    nodes: Vec<ClusterNode>,
    /// Plain TCP off the loopback is wanted.
    insecure: bool,
    /// Read from a file, not the single process of `worker run`.
    from_file: bool,
    text: SourceText,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ClusterNode {
    pub name: String,
    /// Host and port; resolved again at every dial. Empty for the single process of `worker run`.
    pub address: String,
    /// Host and port of its admin API.
    pub admin: Option<String>,
    /// How many batch children may run there at once; `None`: as many as it has cores.
    pub slots: Option<usize>,
    /// By what it proves who it is, and whom it believes; `None`: plain TCP.
    pub tls: Option<TlsFiles>,
    given: GivenFiles,
    at: At,
}

/// Files of TLS as they are given, all of them or not.
#[derive(Clone, Debug, Default, PartialEq)]
struct GivenFiles {
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    ca: Option<PathBuf>,
    crl: Option<PathBuf>,
}

/// What holds for all nodes.
#[derive(Clone, Debug, Default, PartialEq)]
struct Shared {
    insecure: bool,
}

impl Cluster {
    /// Reads a cluster file.
    ///
    /// # Errors
    /// The file cannot be read, or what is wrong with it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let path_of = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Self::parse(&SourceText::read(path)?, path_of.parent().unwrap_or(Path::new("/")))
    }

    /// Checks the text of a cluster file in the directory `dir`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &SourceText, dir: &Path) -> Result<Self, ConfigError> {
        let document =
            reader::parse(text.text()).map_err(|problems| ConfigError::new(text.clone(), problems))?;
        let mut reader = Reader { text: text.text(), dir, vars: Vars::default(), problems: Vec::new() };
        let mut top = Table::new("the cluster file", document.get_ref());
        let mut shared = Shared::default();
        if let Some(mut table) = top.take("cluster").and_then(|entry| reader.table(&entry, "[cluster]")) {
            row::read(SHARED_KEYS, &mut reader, &mut table, &mut shared);
            table.finish(&mut reader);
        }
        let mut nodes = Vec::new();
        if let Some(table) = top.take("node").and_then(|entry| reader.table(&entry, "[node]")) {
            for entry in table.into_entries() {
                nodes.extend(node(&mut reader, &entry));
            }
        }
        top.finish(&mut reader);
        let mut problems = reader.problems;
        if nodes.is_empty() && problems.is_empty() {
            problems.push(
                Problem::new(format!("{} names no node", text.name()))
                    .help("add one for each machine, for example [node.a] with address = \"10.0.0.1:7400\""),
            );
        }
        if nodes.len() > NODES_MAX {
            problems.push(Problem::new(format!("{} nodes are too many: at most {NODES_MAX}", nodes.len())));
        }
        problems.extend(shared_addresses(&nodes));
        if !problems.is_empty() {
            in_file_order(&mut problems);
            return Err(ConfigError::new(text.clone(), problems));
        }
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { nodes, insecure: shared.insecure, from_file: true, text: text.clone() })
    }

    /// The one process of `worker run`.
    #[must_use]
    pub fn single() -> Self {
        let at = At::default();
        let node = ClusterNode { name: "local".to_owned(), at, ..ClusterNode::defaults(Path::new("/")) };
        Self { nodes: vec![node], insecure: false, from_file: false, text: SourceText::new("worker run", "") }
    }

    /// The same with another number of slots on a node.
    #[must_use]
    pub fn with_slots(mut self, node: NodeIx, slots: NonZeroUsize) -> Self {
        self.nodes[usize::from(node.0)].slots = Some(slots.get());
        self
    }

    /// All nodes, in the order that [`NodeIx`] counts.
    #[must_use]
    pub fn nodes(&self) -> &[ClusterNode] {
        &self.nodes
    }

    /// The node with this name.
    ///
    /// # Errors
    /// There is none; says which there are.
    pub fn find(&self, name: &str) -> Result<NodeIx, ConfigError> {
        self.position(name).ok_or_else(|| {
            let problem = Problem::new(format!("{} has no node `{name}`", self.text.name()))
                .helps(names::help(name, "nodes there", self.names()));
            ConfigError::one(&self.text, problem)
        })
    }

    /// Whether a node may listen where it does: off the loopback whoever reaches a port without TLS may speak as any node. And whether
    /// the others understand it.
    ///
    /// # Errors
    /// It may not, and what to do.
    pub fn may_listen(&self, node: NodeIx) -> Result<(), ConfigError> {
        if let Some(problem) = mixed(&self.nodes) {
            return Err(ConfigError::one(&self.text, problem));
        }
        let node = &self.nodes[usize::from(node.0)];
        if node.tls.is_some() || self.insecure || is_loopback(&node.address) {
            return Ok(());
        }
        let title = format!("node `{}` has no TLS, and {} is not of the loopback", node.name, node.address);
        let problem = Problem::at(&node.at, title, "whoever reaches it may speak as any node")
            .help("worker cert init && worker cert issue --cluster FILE makes certificates and names them in the file")
            .help("where everybody on that network is trusted, [cluster] insecure = true");
        Err(ConfigError::one(&self.text, problem))
    }

    /// Whether plain TCP off the loopback is wanted.
    #[must_use]
    pub fn insecure(&self) -> bool {
        self.insecure
    }

    /// What a node is told at each start that trusts its network.
    #[must_use]
    pub fn warning(&self, node: NodeIx) -> Option<String> {
        let node = &self.nodes[usize::from(node.0)];
        (self.insecure && node.tls.is_none()).then(|| {
            format!(
                "[cluster] insecure = true: whoever reaches {} may speak as any node; worker cert makes certificates",
                node.address
            )
        })
    }

    /// Whether this came from a cluster file.
    #[must_use]
    pub fn is_from_file(&self) -> bool {
        self.from_file
    }

    pub(super) fn position(&self, name: &str) -> Option<NodeIx> {
        let index = self.nodes.iter().position(|node| node.name == name)?;
        u16::try_from(index).ok().map(NodeIx)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.nodes.iter().map(|node| node.name.as_str())
    }

    /// Tasks that keep all nodes busy: this machine's cores, or all slots if every node says how many it has.
    /// Where the admin API of nodes is asked, by their names. One that listens at every address is asked at the one of its data.
    pub(super) fn admins(&self) -> BTreeMap<String, String> {
        let of = |node: &ClusterNode| Some((node.name.clone(), node.asked_at()?.to_string()));
        self.nodes.iter().filter_map(of).collect()
    }

    pub(super) fn slots_in_all(&self) -> Option<usize> {
        match self.nodes.as_slice() {
            [_] if !self.from_file => Some(cores()),
            [only] => Some(only.slots.unwrap_or_else(cores)),
            several => several.iter().map(|node| node.slots).sum(),
        }
    }

    /// How many batch children may run at once on a node.
    #[must_use]
    pub fn slots(&self, node: NodeIx) -> usize {
        self.nodes[usize::from(node.0)].slots.unwrap_or_else(cores)
    }
}

impl ClusterNode {
    /// Its admin address. Where other machines reach it, and the node has a certificate, TLS is spoken there.
    #[must_use]
    pub fn admin_place(&self) -> Option<Place> {
        let place = Place::of(self.admin.as_ref()?);
        let tls = place.tls || (self.tls.is_some() && !place.is_loopback());
        Some(Place { tls, ..place })
    }

    /// Where that is asked: one of all addresses of its machine at the one of its data.
    #[must_use]
    pub fn asked_at(&self) -> Option<Place> {
        let place = self.admin_place()?;
        let host = place.host().trim_matches(['[', ']']);
        let is_any = host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_unspecified());
        let (Some((data, _)), Some((_, port)), true) =
            (self.address.rsplit_once(':'), place.at.rsplit_once(':'), is_any)
        else {
            return Some(place);
        };
        Some(Place { at: format!("{data}:{port}"), tls: place.tls })
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

fn node<'d>(reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<ClusterNode> {
    let title = format!("[node.{}]", entry.key);
    let mut table = reader.table(entry, title.clone())?;
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    // It names a directory of state, so it is none of the names that begin with a dot.
    let good_first = entry.key.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    if !good_first || entry.key.len() > 64 || !entry.key.chars().all(good) {
        let title = format!("`{}` cannot be the name of a node", entry.key);
        let label = "expected up to 64 letters, digits, `_`, `-` and `.`, a letter or digit first";
        reader.problems.push(Problem::at(&entry.key_at, title, label));
    }
    let mut node = ClusterNode { name: entry.key.to_owned(), ..ClusterNode::defaults(reader.dir) };
    let given = row::read(KEYS, reader, &mut table, &mut node);
    if !given.iter().any(|entry| entry.key == "address") {
        reader.problems.push(
            Problem::at(&entry.key_at, format!("{title} has no `address`"), "expected host and port")
                .help("for example address = \"10.0.0.1:7400\""),
        );
    }
    table.finish(reader);
    node.tls = files_of(reader, entry, &node.given);
    let is_good = !node.address.is_empty();
    is_good.then(|| ClusterNode { at: entry.key_at.clone(), ..node })
}

impl Section for ClusterNode {
    fn defaults(_: &Path) -> Self {
        Self {
            name: String::new(),
            address: String::new(),
            admin: None,
            slots: None,
            tls: None,
            given: GivenFiles::default(),
            at: At::default(),
        }
    }
}

impl Section for Shared {
    fn defaults(_: &Path) -> Self {
        Self::default()
    }
}

/// The keys of `[cluster]`.
const SHARED_KEYS: Keys<Shared> = &[&Key::<Shared, _> {
    name: "insecure",
    class: Class::Tuning,
    doc: "plain TCP off the loopback: whoever reaches a node's port may speak as any node; each start warns",
    value: Flag,
    when_absent: WhenAbsent::Default,
    get: |shared| shared.insecure,
    set: |shared, insecure, _| shared.insecure = insecure,
}];

/// The keys of `[node.NAME]`.
const KEYS: Keys<ClusterNode> = &[
    &Key::<ClusterNode, _> {
        name: "address",
        class: Class::Tuning,
        doc: "host and port where it listens to other nodes",
        value: Address { of_page: false },
        when_absent: WhenAbsent::Required,
        get: |node| node.address.clone(),
        set: |node, address, _| node.address = address,
    },
    &Key::<ClusterNode, _> {
        name: "admin",
        class: Class::Tuning,
        doc: "host and port of its admin API, for the commands that ask all nodes; `https://` before them for TLS, which is spoken in any case where other machines reach it and the node has a certificate",
        value: Maybe(Address { of_page: true }),
        when_absent: WhenAbsent::Nothing("not asked"),
        get: |node| node.admin.clone(),
        set: |node, address, _| node.admin = address,
    },
    &Key::<ClusterNode, _> {
        name: "slots",
        class: Class::Tuning,
        doc: "how many batch programs may run at once there",
        value: Maybe(Number { most: 65_536 }),
        when_absent: WhenAbsent::Nothing("as many as it has cores"),
        get: |node| node.slots.and_then(|slots| u32::try_from(slots).ok()),
        set: |node, slots, _| node.slots = slots.map(|slots| slots as usize),
    },
    &Key::<ClusterNode, _> {
        name: "cert",
        class: Class::Tuning,
        doc: "its certificate, in PEM: the node's name is a DNS name or the end of a URI in it",
        value: Maybe(FilePath),
        when_absent: WhenAbsent::Nothing("plain TCP"),
        get: |node| node.given.cert.clone(),
        set: |node, path, _| node.given.cert = path,
    },
    &Key::<ClusterNode, _> {
        name: "key",
        class: Class::Tuning,
        doc: "the private key of `cert`, in PEM",
        value: Maybe(FilePath),
        when_absent: WhenAbsent::Nothing("plain TCP"),
        get: |node| node.given.key.clone(),
        set: |node, path, _| node.given.key = path,
    },
    &Key::<ClusterNode, _> {
        name: "ca",
        class: Class::Tuning,
        doc: "certificates of those whose nodes it believes, in PEM",
        value: Maybe(FilePath),
        when_absent: WhenAbsent::Nothing("plain TCP"),
        get: |node| node.given.ca.clone(),
        set: |node, path, _| node.given.ca = path,
    },
    &Key::<ClusterNode, _> {
        name: "crl",
        class: Class::Tuning,
        doc: "lists of certificates that do not count any more, in PEM",
        value: Maybe(FilePath),
        when_absent: WhenAbsent::Nothing("none is revoked"),
        get: |node| node.given.crl.clone(),
        set: |node, path, _| node.given.crl = path,
    },
];

/// The keys of a node.
pub(crate) fn infos() -> Vec<super::keys::KeyInfo> {
    row::infos(KEYS)
}

/// The keys of `[cluster]`.
pub(crate) fn shared_infos() -> Vec<super::keys::KeyInfo> {
    row::infos(SHARED_KEYS)
}

/// The JSON Schema of cluster files.
#[must_use]
pub fn schema_of_clusters() -> serde_json::Value {
    schema::of_clusters(&row::infos(KEYS), &row::infos(SHARED_KEYS))
}

/// Host and port.
struct Address {
    /// It may be given as the address of a page there, as a worker prints it.
    of_page: bool,
}

impl Value for Address {
    type T = String;

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<String> {
        let text = reader.text(entry)?;
        let place = if self.of_page { Place::of(&text) } else { Place::plain(&text) };
        let good = place.at.rsplit_once(':').is_some_and(|(host, port)| {
            let host_is_good = match host.strip_prefix('[') {
                Some(rest) => {
                    rest.strip_suffix(']').is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok())
                }
                None => {
                    !host.is_empty()
                        && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
                }
            };
            host_is_good && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        if good {
            return Some(place.to_string());
        }
        reader.not_a(
            entry,
            "an address",
            "host and port, such as \"10.0.0.1:7400\", \"host.example:7400\" or \"[::1]:7400\"",
        )
    }

    fn text(&self, address: &String, dir: &Path) -> Option<String> {
        Text.text(address, dir)
    }

    fn schema(&self) -> serde_json::Value {
        let host_and_port = r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}";
        let (before, behind) =
            if self.of_page { ("([Hh][Tt][Tt][Pp][Ss]?://)?", "(/.*)?") } else { ("", "") };
        serde_json::json!({"type": "string", "pattern": format!("^{before}{host_and_port}{behind}$")})
    }
}

/// The files of a node that has them all; one without the others proves nothing.
fn files_of<'d>(reader: &mut Reader<'d>, entry: &KeyValue<'d>, given: &GivenFiles) -> Option<TlsFiles> {
    let GivenFiles { cert, key, ca, crl } = given.clone();
    match (cert, key, ca) {
        (Some(cert), Some(key), Some(ca)) => Some(TlsFiles { cert, key, ca, crl }),
        (None, None, None) if crl.is_none() => None,
        _ => {
            let title = format!("[node.{}] has some of the files of TLS, and not all", entry.key);
            let problem = Problem::at(&entry.key_at, title, "expected `cert`, `key` and `ca`");
            reader
                .problems
                .push(problem.help("`worker cert issue --cluster FILE` makes them and names them"));
            None
        }
    }
}

/// Nodes with TLS and nodes without do not understand each other.
fn mixed(nodes: &[ClusterNode]) -> Option<Problem> {
    let with = nodes.iter().find(|node| node.tls.is_some())?;
    let without = nodes.iter().find(|node| node.given == GivenFiles::default())?;
    let title = format!("node `{}` has TLS, and node `{}` has none", with.name, without.name);
    let problem = Problem::at(&without.at, title, "without `cert`, `key` and `ca`");
    Some(problem.also(&with.at, "with them").help("give all nodes certificates, or none"))
}

/// Whether only this machine reaches an address.
fn is_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.to_canonical().is_loopback())
}

fn shared_addresses(nodes: &[ClusterNode]) -> Vec<Problem> {
    let mut seen: BTreeMap<&str, &ClusterNode> = BTreeMap::new();
    let mut problems = Vec::new();
    for node in nodes {
        if let Some(other) = seen.insert(&node.address, node) {
            let title =
                format!("nodes `{}` and `{}` have one address, {}", other.name, node.name, node.address);
            problems.push(
                Problem::at(&node.at, title, "the same again")
                    .also(&other.at, "first here")
                    .help("give each node its own host or port"),
            );
        }
    }
    problems
}
