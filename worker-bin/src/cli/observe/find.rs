//! Which workers a command means, and what they say.

use super::args::TargetArgs;
use super::{FAILED, Failure, WRONG};
use crate::admin::client::{Client, ClientError};
use crate::admin::registry::{self, Found, RegistryEntry};
use crate::admin::{Place, Token};
use crate::explain::{Snapshot, words};
use crate::pipeline::{Cluster, ClusterNode};
use crate::text::names;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use worker_net::Trust;

/// One worker to ask.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    pub(super) node: String,
    pub(super) client: Client,
}

/// The workers that are meant.
#[derive(Clone, Debug)]
pub(super) enum Target {
    Running {
        instances: Vec<Instance>,
        /// What is to be said of those that cannot be asked.
        notes: Vec<String>,
    },
    /// None runs; this is what the last ones said when they ended.
    Ended(Vec<Snapshot>),
}

/// What was heard of the workers.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    pub(super) snapshots: Vec<Snapshot>,
    pub(super) notes: Vec<String>,
    /// The process of one of them is stopped.
    pub(super) is_stopped: bool,
}

/// Finds the workers that `args` mean.
pub(super) fn find(args: &TargetArgs) -> Result<Target, Failure> {
    let token = args.admin_token_file.as_deref().map(Token::from_file).transpose();
    let token = token.map_err(|error| Failure::new(WRONG, error.to_string()))?.or_else(Token::from_env);
    let ca = args.admin_ca.as_deref().map(Trust::in_host).transpose();
    let ca = ca.map_err(|error| Failure::new(WRONG, format!("--admin-ca: {error}")))?;
    if let Some(place) = &args.admin {
        let client = client_at(place, token, ca);
        return Ok(running(vec![Instance { node: client.address(), client }], Vec::new()));
    }
    match &args.cluster {
        Some(file) => {
            let cluster = Cluster::load(file).map_err(|error| {
                Failure::new(WRONG, error.render(false).trim_start_matches("error: ").to_owned())
            })?;
            of_cluster(&cluster, token.as_ref(), ca.as_ref())
        }
        None => of_this_machine(args.pipeline.as_deref()),
    }
}

/// Asks all at once for their state.
pub(super) async fn ask(target: &Target) -> Heard {
    match target {
        Target::Ended(snapshots) => Heard { snapshots: snapshots.clone(), ..Heard::default() },
        Target::Running { instances, notes } => {
            let asked: Vec<_> = instances
                .iter()
                .map(|instance| {
                    let instance = instance.clone();
                    tokio::spawn(async move {
                        (instance.client.get::<Snapshot>("/api/v1/status").await, instance.node)
                    })
                })
                .collect();
            let mut heard = Heard { notes: notes.clone(), ..Heard::default() };
            for answer in asked {
                match answer.await {
                    Ok((Ok(snapshot), _)) => heard.snapshots.push(snapshot),
                    Ok((Err(error @ ClientError::Stopped { .. }), node)) => {
                        heard.is_stopped = true;
                        heard.notes.push(format!("node {node} does nothing: {error}"));
                    }
                    Ok((Err(error), node)) => heard.notes.push(format!("node {node} was not heard: {error}")),
                    Err(error) => heard.notes.push(error.to_string()),
                }
            }
            heard
        }
    }
}

/// Who asks at this address, with what the user gives, else with what the worker of this machine says that has it: the token, and
/// whom to believe where TLS is spoken.
fn client_at(place: &Place, given: Option<Token>, trust: Option<Trust>) -> Client {
    let here = registry::list().unwrap_or_default();
    let is_there = |f: &&Found| f.alive && f.entry.admin.as_deref().is_some_and(|at| is_same(at, &place.at));
    let found = here.iter().find(is_there).map(|f| &f.entry);
    let own = found.and_then(RegistryEntry::trust);
    let place = Place { tls: place.tls || trust.is_some() || own.is_some(), ..place.clone() };
    let token = given.or_else(|| found.map(RegistryEntry::token));
    let client = Client::new(&place.to_string(), token).of_process(found.map(|entry| entry.pid));
    client.trusting(trust.or(own))
}

/// Whether two addresses are one of this machine, whatever it is called.
fn is_same(mine: &str, asked: &str) -> bool {
    let parts = |address: &str| {
        Place::of(address).at.rsplit_once(':').map(|(host, port)| (host.to_owned(), port.to_owned()))
    };
    let (Some((mine_host, mine_port)), Some((host, port))) = (parts(mine), parts(asked)) else {
        return false;
    };
    let is_here = |host: &str| {
        let host = host.trim_matches(['[', ']']);
        host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback() || ip.is_unspecified())
    };
    mine_port == port && (mine_host == host || (is_here(&mine_host) && is_here(&host)))
}

fn running(instances: Vec<Instance>, notes: Vec<String>) -> Target {
    Target::Running { instances, notes }
}

fn instance(found: &Found) -> Option<Instance> {
    Some(Instance { node: found.entry.node.clone(), client: found.entry.client()? })
}

fn of_cluster(cluster: &Cluster, token: Option<&Token>, ca: Option<&Trust>) -> Result<Target, Failure> {
    let here = registry::list().unwrap_or_default();
    let (mut instances, mut notes) = (Vec::new(), Vec::new());
    for node in cluster.nodes() {
        let local = here.iter().find(|f| f.alive && f.entry.node == node.name);
        match (node.asked_at(), local) {
            (Some(place), _) => {
                let trust = if place.tls { ca.cloned().map_or_else(|| trust_in(node, cluster), |ca| Ok(Some(ca)))? } else { None };
                let client = client_at(&place, token.cloned(), trust);
                instances.push(Instance { node: node.name.clone(), client });
            }
            (None, Some(found)) => instances.extend(instance(found)),
            (None, None) => notes.push(format!(
                "node {} was not asked: the cluster file gives it no admin = \"HOST:PORT\", and it does not run on this machine",
                node.name
            )),
        }
    }
    Ok(running(instances, notes))
}

/// A node shows there what it shows other nodes, unless it has a certificate of its own for that (`--admin-cert`).
fn trust_in(node: &ClusterNode, cluster: &Cluster) -> Result<Option<Trust>, Failure> {
    let Some(files) = &node.tls else { return Ok(None) };
    let nodes: Vec<String> = cluster.nodes().iter().map(|node| node.name.clone()).collect();
    let trust = Trust::in_node(&node.name, &nodes, &files.ca, files.crl.as_deref());
    trust.map(Some).map_err(|error| Failure::new(WRONG, format!("{error}; --admin-ca FILE names another")))
}

fn of_this_machine(pipeline: Option<&str>) -> Result<Target, Failure> {
    let found = registry::list().map_err(|error| {
        Failure::new(
            FAILED,
            format!("cannot read the runtime directory {}: {error}", registry::dir().display()),
        )
    })?;
    among(&found, pipeline)
}

/// Of the workers found here, those that run and are meant; if none runs, the last word of those that did.
fn among(found: &[Found], pipeline: Option<&str>) -> Result<Target, Failure> {
    let wanted: Vec<_> =
        found.iter().filter(|f| pipeline.is_none_or(|name| f.entry.pipeline == name)).collect();
    let alive: Vec<_> = wanted.iter().copied().filter(|f| f.alive).collect();
    if alive.is_empty() {
        return ended(found, &wanted, pipeline);
    }
    let mut groups: BTreeMap<(&str, usize), Vec<&Found>> = BTreeMap::new();
    for found in alive {
        // Two runs of one name at once are two groups: nodes of one run have different names.
        let mut copy = 0;
        let name = found.entry.pipeline.as_str();
        while groups
            .get(&(name, copy))
            .is_some_and(|group| group.iter().any(|f| f.entry.node == found.entry.node))
        {
            copy += 1;
        }
        groups.entry((name, copy)).or_default().push(found);
    }
    if groups.len() > 1 {
        let lines: Vec<_> = groups.values().flatten().map(|found| line(found)).collect();
        let why = format!(
            "several workers run here; choose with --pipeline NAME or --admin ADDR:\n  {}",
            lines.join("\n  ")
        );
        return Err(Failure::new(WRONG, why));
    }
    let group: Vec<_> = groups.into_values().flatten().collect();
    let instances: Vec<_> = group.iter().filter_map(|found| instance(found)).collect();
    if instances.is_empty() {
        let why = format!("{} runs with --admin none, so it cannot be asked", line(group[0]));
        return Err(Failure::new(FAILED, why));
    }
    Ok(running(instances, Vec::new()))
}

/// The names of those that run, else of those that did.
fn pipelines(found: &[Found]) -> BTreeSet<&str> {
    let names = |alive: bool| -> BTreeSet<&str> {
        found.iter().filter(|f| f.alive || !alive).map(|f| f.entry.pipeline.as_str()).collect()
    };
    let running = names(true);
    if running.is_empty() { names(false) } else { running }
}

/// What the last run said when it ended.
fn ended(found: &[Found], wanted: &[&Found], pipeline: Option<&str>) -> Result<Target, Failure> {
    let Some(last) = wanted.first() else {
        let named =
            pipeline.map_or_else(String::new, |name| format!(" of pipeline {}", words::foreign(name)));
        if let (Some(name), false) = (pipeline, found.is_empty()) {
            let there = names::tail(name, "pipelines here", pipelines(found));
            return Err(Failure::new(FAILED, registry::none_found(&named) + &there));
        }
        let start = match registry::refusal() {
            Some(_) => "",
            None => "; start one with worker run, or name another's --admin HOST:PORT",
        };
        return Err(Failure::new(FAILED, registry::none_found(&named) + start));
    };
    let name = &last.entry.pipeline;
    let mut last_by_node: BTreeMap<&str, &Found> = BTreeMap::new();
    for found in wanted.iter().filter(|f| f.entry.pipeline == *name) {
        last_by_node.entry(&found.entry.node).or_insert(found);
    }
    let snapshots: Vec<_> = last_by_node.values().filter_map(|f| f.entry.last.as_deref().cloned()).collect();
    if snapshots.is_empty() {
        let why = format!(
            "the last worker here ({} on node {}, pid {}) ended without a word: it was killed, or its machine lost power. {}",
            last.entry.pipeline,
            last.entry.node,
            last.entry.pid,
            after_death(last.entry.state.as_deref())
        );
        return Err(Failure::new(FAILED, why));
    }
    Ok(Target::Ended(snapshots))
}

/// There is only the last word of one that ended; one that runs may have found no place for its entry.
pub(super) fn none_any_more() -> String {
    match registry::refusal() {
        Some(_) => registry::none_found(""),
        None => "no worker runs here as this user any more".to_owned(),
    }
}

/// What there is to do about a worker that was killed.
fn after_death(state: Option<&Path>) -> String {
    match state {
        Some(dir) => format!("Started again with --state {} it goes on where it was", dir.display()),
        None => "It kept no state: what it had accepted and not finished is lost, and started again it begins anew; with --state DIR \
                 a run goes on where it was"
            .to_owned(),
    }
}

/// One worker in a line.
pub(super) fn line(found: &Found) -> String {
    let entry = &found.entry;
    let admin = entry.admin.as_ref().map_or_else(|| "no admin address".to_owned(), |at| Place::of(at).page());
    let state = match (&entry.last, found.alive) {
        (Some(last), false) => match last.end.as_ref().and_then(|end| end.why.as_ref()) {
            Some(why) => format!("ended: {}", words::foreign(why)),
            None => "ended".to_owned(),
        },
        (None, false) => "died".to_owned(),
        (_, true) => {
            crate::stopped::stopped(entry.pid).map_or_else(|| "runs".to_owned(), |by| by.to_string())
        }
    };
    format!("{} node {} pid {} {admin} {state}", entry.pipeline, entry.node, entry.pid)
}

#[cfg(test)]
mod tests;
