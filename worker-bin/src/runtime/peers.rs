//! What a node with state keeps of the peers that it sends to: `peers.json`, written by a thread of its own.
//!
//! With it a peer whose state was removed or put back from an older copy is known at once, and one that has everything is not needed
//! again when this node was killed.

use super::cell::{Cell, End, Tell};
use super::storage::StorageGuard;
use crate::io::durable::replace_file;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};
use std::time::Duration;
use thiserror::Error;
use worker_core::config::NodeIx;
use worker_core::event::{Event, NodeError, NodeEvent};
use worker_core::recovery::PeerState;
use worker_proto::{JournalId, LinkId};

/// Its name in the state directory.
const PEERS_FILE: &str = "peers.json";

const FORMAT: u64 = 1;

/// How long to wait before a full disk is tried again.
const FULL_DISK_WAIT: Duration = Duration::from_secs(1);

/// Why what is known of the peers cannot be read.
#[derive(Debug, Error)]
pub enum PeersError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "{} was made by a newer worker: its format is {found}, this one knows {FORMAT}; use the newer worker", path.display()
    )]
    Newer { path: PathBuf, found: u64 },
    #[error(
        "{} cannot be understood ({why}); put it back from a copy of the whole state directory, or start every node over with --fresh",
        path.display()
    )]
    Senseless { path: PathBuf, why: String },
}

/// The file, and what it says.
#[derive(Debug)]
pub(super) struct PeersFile {
    path: PathBuf,
    names: Vec<String>,
    pub(super) peers: BTreeMap<NodeIx, PeerState>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    format: u64,
    peers: BTreeMap<String, WrittenPeer>,
}

#[derive(Serialize, Deserialize)]
struct WrittenPeer {
    /// It has everything, ends included.
    finished: bool,
    /// By link, the journal of its receiver in hexadecimal digits.
    receivers: BTreeMap<u32, String>,
}

impl PeersFile {
    /// What is kept in the state directory `dir` of the nodes called `names`; a state of an older worker has nothing.
    pub(super) fn load(dir: &Path, names: &[String]) -> Result<Self, PeersError> {
        let path = dir.join(PEERS_FILE);
        let mut file = Self { path, names: names.to_vec(), peers: BTreeMap::new() };
        let text = match std::fs::read(&file.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(file),
            Err(source) => return Err(PeersError::Read { path: file.path, source }),
        };
        file.peers = file.read(&text)?;
        Ok(file)
    }

    fn read(&self, text: &[u8]) -> Result<BTreeMap<NodeIx, PeerState>, PeersError> {
        let senseless = |why: String| PeersError::Senseless { path: self.path.clone(), why };
        let any: serde_json::Value = serde_json::from_slice(text).map_err(|e| senseless(e.to_string()))?;
        match any.get("format").and_then(serde_json::Value::as_u64) {
            Some(FORMAT) => {}
            Some(found) => return Err(PeersError::Newer { path: self.path.clone(), found }),
            None => return Err(senseless("it has no format".to_owned())),
        }
        let written: Written = serde_json::from_value(any).map_err(|e| senseless(e.to_string()))?;
        let mut peers = BTreeMap::new();
        for (name, WrittenPeer { finished, receivers }) in written.peers {
            let at = self.names.iter().position(|known| *known == name).and_then(|at| u16::try_from(at).ok());
            let at = at.ok_or_else(|| senseless(format!("there is no node {name}")))?;
            let journal = |text: &str| u64::from_str_radix(text, 16).map(JournalId);
            let receivers = receivers.iter().map(|(link, id)| Ok((LinkId(*link), journal(id)?)));
            let receivers = receivers.collect::<Result<_, std::num::ParseIntError>>();
            let receivers = receivers.map_err(|e| senseless(format!("a journal of node {name}: {e}")))?;
            peers.insert(NodeIx(at), PeerState { receivers, finished });
        }
        Ok(peers)
    }

    fn store(&self) -> io::Result<()> {
        let peers = self.peers.iter().filter_map(|(peer, state)| {
            let PeerState { receivers, finished } = state;
            let receivers = receivers.iter().map(|(link, id)| (link.0, format!("{:016x}", id.0))).collect();
            let name = self.names.get(usize::from(peer.0))?;
            Some((name.clone(), WrittenPeer { finished: *finished, receivers }))
        });
        let mut text = serde_json::to_vec(&Written { format: FORMAT, peers: peers.collect() })?;
        text.push(b'\n');
        replace_file(&self.path, &text, "peers")
    }
}

/// What is to be kept of a peer.
#[derive(Debug)]
pub(super) struct KeepPeer {
    pub(super) peer: NodeIx,
    pub(super) state: PeerState,
    pub(super) version: u64,
}

/// The thread that keeps it, until it is started.
#[derive(Debug)]
pub(super) struct PeersThread {
    commands: Receiver<KeepPeer>,
    file: PeersFile,
    storage: Arc<StorageGuard>,
}

impl PeersThread {
    pub(super) fn new(file: PeersFile, storage: Arc<StorageGuard>) -> (Sender<KeepPeer>, Self) {
        let (sender, commands) = channel();
        (sender, Self { commands, file, storage })
    }

    pub(super) fn start(self, cell: &Arc<Cell>) -> io::Result<()> {
        let cell = Arc::downgrade(cell);
        std::thread::Builder::new().name("peers".into()).spawn(move || self.keep_all(&cell)).map(drop)
    }

    fn keep_all(mut self, cell: &Weak<Cell>) {
        while let Ok(first) = self.commands.recv() {
            // One write serves all that came meanwhile.
            let commands: Vec<KeepPeer> = std::iter::once(first).chain(self.commands.try_iter()).collect();
            let mut kept = Vec::new();
            for KeepPeer { peer, state, version } in commands {
                self.file.peers.insert(peer, state);
                kept.push(Event::Node(NodeEvent::PeerKept { peer, version }));
            }
            if !self.store(cell) {
                return;
            }
            let Some(cell) = cell.upgrade() else { return };
            cell.tell_all(kept);
        }
    }

    /// Waits while the disk is full; whether it is kept.
    fn store(&self, cell: &Weak<Cell>) -> bool {
        loop {
            let Err(error) = self.file.store() else { return true };
            let Some(cell) = cell.upgrade() else { return false };
            if !matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
                let task = self.file.path.display().to_string();
                let why = format!("cannot keep what is known of the other nodes: {error}");
                cell.end(End::Failed(NodeError::Task { task, why }));
                cell.leave();
                return false;
            }
            let to: Weak<dyn Tell> = Arc::downgrade(&(Arc::clone(&cell) as Arc<dyn Tell>));
            drop(cell);
            if !self.storage.is_full_now(&to, &format!("{}: {error}", self.file.path.display())) {
                std::thread::sleep(FULL_DISK_WAIT);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        ["a", "b"].map(str::to_owned).into()
    }

    #[test]
    fn what_is_kept_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = PeersFile::load(dir.path(), &names()).unwrap();
        assert!(file.peers.is_empty(), "a state of an older worker has none");
        let receivers = [(LinkId(3), JournalId(u64::MAX)), (LinkId(4), JournalId(1))].into();
        file.peers.insert(NodeIx(1), PeerState { receivers, finished: true });
        file.store().unwrap();
        assert_eq!(PeersFile::load(dir.path(), &names()).unwrap().peers, file.peers);
    }

    #[test]
    fn what_is_newer_or_senseless_is_refused_with_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let refusal = |text: &str| {
            std::fs::write(dir.path().join(PEERS_FILE), text).unwrap();
            PeersFile::load(dir.path(), &names()).unwrap_err().to_string()
        };
        let newer = refusal(r#"{"format":2}"#);
        assert!(newer.contains("newer worker") && newer.contains(PEERS_FILE), "{newer}");
        let stranger = r#"{"format":1,"peers":{"c":{"finished":true,"receivers":{}}}}"#;
        let no_number = r#"{"format":1,"peers":{"b":{"finished":true,"receivers":{"1":"x"}}}}"#;
        for text in ["", "{}", "[]", r#"{"format":1}"#, stranger, no_number] {
            let refused = refusal(text);
            assert!(refused.contains("cannot be understood") && refused.contains("--fresh"), "{refused}");
        }
    }
}
