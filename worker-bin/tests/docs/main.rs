//! The book and the READMEs say what is so: commands in them are run, files are checked, links lead somewhere.
//!
//! What a block of code is, its mark tells (the words behind the three backticks):
//!
//! | mark | what is done with it |
//! |---|---|
//! | `sh` | run, in the order of the page, in one bash and one copy of the directory that a comment of the page names |
//! | `console` | the same for each line behind `$ `, and what it prints is as shown; `…` stands for anything |
//! | `sh old`, `sh new`, `sh new in order` | a pair: both print the same lines (in the same order) |
//! | `toml`, `toml NAME` | checked as a pipeline or cluster file; with a name also written for the commands of the page |
//! | `LANGUAGE NAME` | a file for the commands of the page; one that is there already has to be the same |
//! | `json`, `yaml`, `text`, `mermaid` | no commands: what is printed, or is for other programs |
//!
//! A block of commands behind a line `*Not run by a test: …*` is only read: its words have to be known ([`unrun`]).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod book;
mod files;
mod keys;
mod links;
mod markdown;
mod pairs;
mod session;
mod spans;
mod unrun;

use markdown::Document;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// The Markdown files below a directory of the repository, by their paths in it.
fn markdown_in(dir: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(root().join(dir)).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{dir}/{}", entry.file_name().to_string_lossy());
        match entry.file_type().unwrap().is_dir() {
            true => markdown_in(&name, found),
            false if name.ends_with(".md") => found.push(name),
            false => {}
        }
    }
}

/// The pages of the book.
fn pages() -> Vec<Document> {
    let mut names = Vec::new();
    markdown_in("docs", &mut names);
    names.sort();
    names.iter().filter(|name| *name != "docs/SUMMARY.md").map(|name| Document::read(name)).collect()
}

/// All that is written for users: the pages, and the READMEs.
fn documents() -> Vec<Document> {
    let mut names = Vec::new();
    markdown_in("examples", &mut names);
    names.sort();
    let mut documents = pages();
    documents.push(Document::read("README.md"));
    documents.extend(names.iter().map(|name| Document::read(name)));
    assert!(documents.len() > 15, "only {} documents", documents.len());
    documents
}
