//! Asks every node again and again, each by itself: one that hangs holds no other up.

use super::super::args::TargetArgs;
use super::super::find::{Instance, Target, find};
use super::state::{Answer, Said};
use crate::admin::client::{Client, ClientError};
use crate::admin::registry;
use crate::explain::Snapshot;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::mpsc;

/// How often a node is asked.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// How often is looked for nodes that were not there before.
const FIND_EVERY: Duration = Duration::from_secs(3);

/// Answers that wait to be looked at.
const ANSWERS_MAX: usize = 64;

/// What the nodes say.
#[derive(Debug)]
pub(super) struct Polls(mpsc::Receiver<Answer>);

impl Polls {
    pub(super) fn start(args: TargetArgs, target: Target) -> Self {
        let (sender, answers) = mpsc::channel(ANSWERS_MAX);
        tokio::spawn(keep_asking(args, target, sender));
        Self(answers)
    }

    pub(super) async fn next(&mut self) -> Answer {
        match self.0.recv().await {
            Some(answer) => answer,
            // All are over, and nothing changes any more.
            None => std::future::pending().await,
        }
    }
}

/// Asks those that were found, and looks for more.
async fn keep_asking(args: TargetArgs, mut target: Target, answers: mpsc::Sender<Answer>) {
    let mut asked = BTreeSet::new();
    loop {
        match target {
            Target::Running { instances, notes } => {
                for note in notes {
                    answers.send(Answer { node: String::new(), said: Said::Note(note) }).await.ok();
                }
                for instance in instances {
                    if asked.insert(instance.node.clone()) {
                        tokio::spawn(ask(instance, answers.clone()));
                    }
                }
            }
            Target::Ended(snapshots) if asked.is_empty() => {
                for snapshot in snapshots {
                    let said = Said::Last(Box::new(snapshot.clone()));
                    answers.send(Answer { node: snapshot.node, said }).await.ok();
                }
                return;
            }
            Target::Ended(_) => {}
        }
        target = loop {
            tokio::time::sleep(FIND_EVERY).await;
            if answers.is_closed() {
                return;
            }
            // It may be that none runs any more; that is what those who ask it find out.
            if let Ok(target) = find(&args) {
                break target;
            }
        };
    }
}

/// Asks one node until nobody wants to know.
async fn ask(mut instance: Instance, answers: mpsc::Sender<Answer>) {
    let mut last: Option<Snapshot> = None;
    loop {
        let said = match instance.client.get::<Snapshot>("/api/v1/status").await {
            Ok(snapshot) => {
                last = Some(snapshot.clone());
                Said::Now(Box::new(snapshot))
            }
            Err(error @ ClientError::Untrusted { .. }) => {
                // It may show a newer certificate, and say so.
                instance.client = last.as_ref().and_then(shown_now).unwrap_or(instance.client);
                Said::Nothing(error.to_string())
            }
            Err(error) => match last.as_ref().map_or(PolledNode::Unknown, entry) {
                PolledNode::Ended(snapshot) => Said::Last(snapshot),
                PolledNode::Died => Said::Nothing("its process died".to_owned()),
                PolledNode::Moved(client) => {
                    instance.client = client;
                    Said::Nothing("another process takes its place".to_owned())
                }
                PolledNode::Unknown => Said::Nothing(error.to_string()),
            },
        };
        if answers.send(Answer { node: instance.node.clone(), said }).await.is_err() {
            return;
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// Who asks the same process, if it is one of this machine, as its entry says now.
fn shown_now(last: &Snapshot) -> Option<Client> {
    let all = registry::list().unwrap_or_default();
    all.iter().find(|f| f.alive && f.entry.pid == last.pid).and_then(|f| f.entry.client())
}

/// What the runtime directory knows of a node that does not answer.
enum PolledNode {
    Unknown,
    /// This is the last it said.
    Ended(Box<Snapshot>),
    Died,
    /// Another process took its place.
    Moved(Client),
}

fn entry(last: &Snapshot) -> PolledNode {
    let all = registry::list().unwrap_or_default();
    let mut same = all.iter().filter(|f| f.entry.node == last.node && f.entry.pipeline == last.pipeline);
    let newer = same.clone().find(|f| f.alive && f.entry.started_ms > last.started_ms);
    if let Some(entry) = newer.map(|f| &f.entry)
        && last.admin != entry.admin
        && let Some(client) = entry.client()
    {
        return PolledNode::Moved(client);
    }
    match same.find(|f| f.entry.pid == last.pid && !f.alive) {
        Some(found) => found.entry.last.clone().map_or(PolledNode::Died, PolledNode::Ended),
        None => PolledNode::Unknown,
    }
}
