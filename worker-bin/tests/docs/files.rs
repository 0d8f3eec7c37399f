//! Blocks that are no commands: pipeline and cluster files are right, JSON can be read, and every block has a mark that is known.

use super::session::lay_out;
use super::{documents, markdown::Document};
use std::path::Path;
use std::process::Command;

/// Programs that a pipeline of a page may name and that need not be installed.
const PROGRAMS: [&str; 4] = ["docker", "journalctl", "psql", "mosquitto_sub"];

#[test]
fn every_block_has_a_mark_that_is_known() {
    let mut wrong = Vec::new();
    for document in documents() {
        for block in &document.blocks {
            let at = format!("{}:{}: {}", document.name, block.line, block.mark);
            let (kind, name) = block.mark.split_once(' ').unwrap_or((&block.mark, ""));
            let is_known = match kind {
                "sh" => ["", "old", "new", "new in order"].contains(&name),
                "text" | "json" | "yaml" | "mermaid" | "console" => name.is_empty(),
                "toml" => true,
                "awk" | "python" | "csv" | "ini" | "xml" | "bash" | "js" => !name.is_empty(),
                _ => false,
            };
            if !is_known {
                wrong.push(format!("{at}: no mark that is known (see worker-bin/tests/docs/main.rs)"));
            }
            let is_command = |line: &str| line.starts_with("$ ") || line.starts_with("worker ");
            if kind == "text" && !document.name.ends_with("commands.md") && block.text.lines().any(is_command)
            {
                wrong.push(format!("{at}: a command has the mark sh or console"));
            }
            if kind == "json" && serde_json::from_str::<serde_json::Value>(&block.text).is_err() {
                wrong.push(format!("{at}: not JSON"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_on_pages_are_right() {
    let mut files = 0;
    for document in documents() {
        for block in document.blocks.iter().filter(|block| block.mark.split(' ').next() == Some("toml")) {
            let at = format!("{}:{}", document.name, block.line);
            let dir = tempfile::tempdir().unwrap();
            if let Some(from) = document.directory() {
                lay_out(from, dir.path());
            }
            // What else the page has in files may be what this one runs.
            for other in document
                .blocks
                .iter()
                .filter(|other| other.mark.contains(' ') && !other.mark.starts_with("sh"))
            {
                let (_, name) = other.mark.split_once(' ').unwrap();
                std::fs::write(dir.path().join(name), &other.text).unwrap();
            }
            let checked = check(&document, &block.text, dir.path());
            assert!(checked.is_ok(), "{at}: {}{}", block.text, checked.unwrap_err());
            files += 1;
        }
    }
    assert!(files >= 10, "only {files}");
}

fn check(document: &Document, file: &str, dir: &Path) -> Result<(), String> {
    for program in PROGRAMS {
        std::os::unix::fs::symlink("/bin/true", dir.join(program)).unwrap();
    }
    let mut args = vec!["check", "pipeline.toml"];
    let mut pipeline = file.to_owned();
    let node = file.split_once("[node.").map(|(_, rest)| rest.split(']').next().unwrap().to_owned());
    if let Some(name) = &node {
        std::fs::write(dir.join("cluster.toml"), file).unwrap();
        args.extend(["--cluster", "cluster.toml", "--name", name]);
        pipeline = format!("[source.made]\ngenerate = {{}}\nplace = \"{name}\"\n");
    }
    if !pipeline.contains("[sink.") {
        pipeline += "[sink.shown]\nstdout = true\n";
        pipeline += &node.as_ref().map(|name| format!("place = \"{name}\"\n")).unwrap_or_default();
    }
    // A cluster's sections in a pipeline's file, as pages show them side by side, are none.
    std::fs::write(dir.join("pipeline.toml"), pipeline).unwrap();
    let checked = Command::new(env!("CARGO_BIN_EXE_worker"))
        .args(args)
        .current_dir(dir)
        .env("PATH", format!("{}:/usr/bin:/bin", dir.display()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    match checked.status.success() {
        true => Ok(()),
        false => Err(format!("{}: {said}", document.name)),
    }
}
