//! `worker run` with real programs, files and signals.

mod encoded;
mod failures;
mod follow;
mod framing;
mod handed;
mod headers;
mod inline;
mod inputs;
mod list;
mod listing;
mod names;
mod order;
mod pipelines;
mod pipes;
mod printed;
mod programs;
mod rates;
mod readers;
mod records;
mod sample;
mod signals;
mod slots;
mod stops;

/// Lines in the order of their bytes, for results whose order is free.
fn sorted(bytes: &[u8]) -> Vec<String> {
    let mut lines: Vec<String> =
        String::from_utf8_lossy(bytes).lines().map(std::borrow::ToOwned::to_owned).collect();
    lines.sort_unstable();
    lines
}

/// The airports of the examples.
const AIRPORTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/airports/airports.csv");
