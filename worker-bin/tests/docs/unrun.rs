//! Commands that a test cannot run are read: each block says why, bash can parse it, and what of it is ours exists.

use super::{documents, markdown::Block, root};
use std::process::Command;
use worker_bin::cli::args;

/// How many blocks there are. One more needs a reason that holds: a service manager, a registry, other machines, minutes.
const BLOCKS: usize = 5;

#[test]
fn what_is_not_run_says_why_and_is_right_as_far_as_it_can_be_read() {
    let mut listed = Vec::new();
    let mut wrong = Vec::new();
    for document in documents() {
        for block in &document.blocks {
            let Some(reason) = &block.not_run else { continue };
            let at = format!("{}:{}", document.name, block.line);
            listed.push(format!("{at}: {reason}"));
            let reads = Command::new("bash").args(["-n", "-c", &block.text]).output().unwrap();
            if block.mark != "sh" || reason.len() < 10 || !reads.status.success() {
                let said = String::from_utf8_lossy(&reads.stderr).into_owned();
                wrong.push(format!("{at}: should be a block of sh behind a reason {said}"));
            }
            wrong.extend(errors(block).into_iter().map(|error| format!("{at}: {error}")));
        }
    }
    println!("{} blocks of commands are not run:\n{}", listed.len(), listed.join("\n"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(listed.len(), BLOCKS, "{}", listed.join("\n"));
}

fn errors(block: &Block) -> Vec<String> {
    let commands = block.text.lines().flat_map(|line| line.split(" && ")).map(str::trim);
    let known = |command: &str| match command.split(' ').next().unwrap() {
        "worker" => worker(command),
        "cargo" => cargo(command),
        program if program.starts_with("./") || program.contains('/') => {
            match root().join(program).exists() {
                true => Ok(()),
                false => Err(format!("{program}: not in the repository")),
            }
        }
        _ => Ok(()),
    };
    commands.filter_map(|command| known(command).err()).collect()
}

/// A command line of ours has options that exist, and values that they take.
pub(super) fn worker(command: &str) -> Result<(), String> {
    let words = shell_words::split(command.split(['|', '#', ';', '&', '>']).next().unwrap());
    let words = words.map_err(|error| format!("{error}: {command}"))?;
    let shown = |word: String| match word.as_str() {
        "N" | "SEED" => "1".to_owned(),
        "HOST:PORT" => "127.0.0.1:7480".to_owned(),
        "http://HOST:4318" => "http://127.0.0.1:4318".to_owned(),
        "DURATION" => "1s".to_owned(),
        _ => word,
    };
    // With it only what is there is looked at: what is not may be left out of a sentence.
    let help = ["--help".to_owned()];
    match args::parse(words.into_iter().map(shown).chain(help)) {
        Err(error) if error.exit_code() == 0 => Ok(()),
        // A sentence may name an option alone.
        Err(error) if error.to_string().contains("but none was supplied") => Ok(()),
        Err(error) => Err(error.to_string()),
        Ok(_) => Err("--help is taken for a value".to_owned()),
    }
}

/// Packages, benches and tests that a command of cargo names exist.
fn cargo(command: &str) -> Result<(), String> {
    let words = shell_words::split(command.split('#').next().unwrap()).map_err(|error| error.to_string())?;
    let behind = |option: &str| words.iter().position(|word| word == option).and_then(|i| words.get(i + 1));
    let known = |path: String| match root().join(&path).exists() {
        true => Ok(()),
        false => Err(format!("{command}: there is no {path}")),
    };
    let package = behind("-p").map_or("", |package| match package.as_str() {
        "worker-tests" => "tests",
        "worker-journal" => "worker-bin/journal",
        package => package,
    });
    known(format!("{package}/Cargo.toml").trim_start_matches('/').to_owned())?;
    behind("--bench").map_or(Ok(()), |bench| {
        known(format!("{package}/benches/{bench}.rs"))
            .or_else(|_| known(format!("{package}/benches/{bench}/main.rs")))
    })?;
    behind("--path").map_or(Ok(()), |path| known(format!("{path}/Cargo.toml")))?;
    behind("--test").map_or(Ok(()), |test| {
        known(format!("{package}/tests/{test}.rs"))
            .or_else(|_| known(format!("{package}/tests/{test}/main.rs")))
    })
}
