//! Files as people write them, and what they are told.

mod delivery;
mod errors;
mod fingerprint;
mod inline;
mod keys;
mod layout;
mod model;
mod order;
mod pages;
mod print;
mod programs;
mod schema;
mod tests_of_file;
mod warnings;

use super::{Cluster, ConfigError, InlineWord, Pipeline, Plan, SourceText, parse, plan};
use crate::cli::args::{self, WorkerCommand};
use std::path::Path;
use worker_core::config::NodeIx;

pub(super) fn read(text: &str) -> Result<Pipeline, ConfigError> {
    read_with(text, &[])
}

fn read_with(text: &str, set: &[(&str, &str)]) -> Result<Pipeline, ConfigError> {
    let set: Vec<(String, String)> = set.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
    parse(&SourceText::new("test.toml", text), Path::new("/base"), &set)
}

/// What the command line `worker run …` says of its pipeline.
fn words(line: &str) -> Vec<InlineWord> {
    let argv = shell_words::split(&format!("worker run {line}")).unwrap();
    let WorkerCommand::Run(run) = args::parse(argv).unwrap().command else { panic!("not run: {line}") };
    run.inline.words
}

fn laid_out(text: &str) -> Result<Plan, ConfigError> {
    plan(&read(text)?, &Cluster::single(), NodeIx(0))
}

fn cluster(text: &str) -> Result<Cluster, ConfigError> {
    Cluster::parse(&SourceText::new("cluster.toml", text), Path::new("/"))
}

fn three_nodes() -> Cluster {
    let text = "[node.a]\naddress='10.0.0.1:7400'\nslots=2\n[node.b]\naddress='10.0.0.2:7400'\nslots=3\n\
                [node.c]\naddress='10.0.0.3:7400'\nslots=1\n";
    cluster(text).unwrap()
}
