//! Files as people write them, and what they are told.

mod delivery;
mod errors;
mod fingerprint;
mod keys;
mod layout;
mod model;
mod print;
mod programs;
mod schema;
mod warnings;

use super::{Cluster, ConfigError, Pipeline, Plan, SourceText, parse, plan};
use std::path::Path;
use worker_core::config::NodeIx;

pub(super) fn read(text: &str) -> Result<Pipeline, ConfigError> {
    read_with(text, &[])
}

fn read_with(text: &str, set: &[(&str, &str)]) -> Result<Pipeline, ConfigError> {
    let set: Vec<(String, String)> = set.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
    parse(&SourceText::new("test.toml", text), Path::new("/base"), &set)
}

fn laid_out(text: &str) -> Result<Plan, ConfigError> {
    plan(&read(text)?, &Cluster::single(), NodeIx(0))
}

fn cluster(text: &str) -> Result<Cluster, ConfigError> {
    Cluster::parse(&SourceText::new("cluster.toml", text))
}

fn three_nodes() -> Cluster {
    let text = "[node.a]\naddress='10.0.0.1:7400'\nslots=2\n[node.b]\naddress='10.0.0.2:7400'\nslots=3\n\
                [node.c]\naddress='10.0.0.3:7400'\nslots=1\n";
    cluster(text).unwrap()
}
