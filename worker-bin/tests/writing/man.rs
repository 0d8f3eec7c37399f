//! `worker man`.

use super::worker;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

#[test]
fn there_is_a_page_for_each_command_and_roff_finds_nothing_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let made = worker(dir.path(), &["man", "pages/man1"]);
    assert_eq!((made.status, made.out.as_str()), (0, ""), "{made:?}");
    let entries = std::fs::read_dir(dir.path().join("pages/man1")).unwrap();
    let names: BTreeSet<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    for page in ["worker.1", "worker-run.1", "worker-dlq-replay.1", "worker-explain.1"] {
        assert!(names.contains(page), "{page}: {names:?}");
    }
    let help = worker(dir.path(), &["--help"]).out;
    let commands = help.split_once("Commands:").unwrap().1.split_once("Options:").unwrap().0.lines();
    let commands = commands
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty());
    let missing: Vec<_> =
        commands.filter(|name| *name != "help" && !names.contains(&format!("worker-{name}.1"))).collect();
    assert!(missing.is_empty(), "{missing:?} of {help}");
    for name in &names {
        let path = dir.path().join("pages/man1").join(name);
        let roff = Command::new("groff")
            .args(["-man", "-Tutf8", "-ww", "-P-cbou"])
            .arg(&path)
            .output()
            .expect("groff");
        let said = String::from_utf8_lossy(&roff.stderr).into_owned();
        assert!(roff.status.success() && said.is_empty(), "{name}: {said}");
        let shown = String::from_utf8_lossy(&roff.stdout).into_owned();
        assert!(shown.contains("NAME") && shown.contains("SYNOPSIS"), "{shown}");
        if name == "worker-run.1" {
            let line = "worker run -i 'logs/*.log' -s 'grep 500' --ok-exit 0,1 -S sort -o out.txt\n";
            assert!(shown.contains(line) && shown.contains("EXIT STATUS"), "{shown}");
            assert!(shown.contains(concat!("worker ", env!("CARGO_PKG_VERSION"))), "{shown}");
        }
    }
    // Again over those that are there, and to standard output.
    assert_eq!(worker(dir.path(), &["man", "pages/man1"]).status, 0);
    let printed = worker(dir.path(), &["man"]);
    assert_eq!(printed.out, std::fs::read_to_string(dir.path().join("pages/man1/worker.1")).unwrap());
    std::fs::write(dir.path().join("file"), "").unwrap();
    let refused = worker(dir.path(), &["man", "file"]);
    assert!(refused.status == 1 && refused.err.contains("cannot write file/worker.1"), "{refused:?}");
}

/// The pattern of a path, of which the last part may have a star.
fn is_there(root: &Path, pattern: &str) -> bool {
    let path = root.join(pattern);
    let (directory, last) = (path.parent().unwrap(), path.file_name().unwrap().to_str().unwrap());
    let (begin, end) = last.split_once('*').unwrap_or((last, ""));
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    names.into_iter().any(|name| {
        if last.contains('*') { name.starts_with(begin) && name.ends_with(end) } else { name == last }
    })
}

#[test]
fn what_the_package_ships_is_made_by_its_command() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = tempfile::tempdir().unwrap();
    let made = dir.path().join("dist/made");
    let pages = Command::new(package.join("dist/pages"))
        .arg(env!("CARGO_BIN_EXE_worker"))
        .arg(&made)
        .output()
        .unwrap();
    assert!(pages.status.success(), "{}", String::from_utf8_lossy(&pages.stderr));
    let manifest: toml::Table =
        toml::from_str(&std::fs::read_to_string(package.join("Cargo.toml")).unwrap()).unwrap();
    let assets = manifest["package"]["metadata"]["deb"]["assets"].as_array().unwrap();
    let mut shipped = Vec::new();
    for asset in assets {
        let (from, to) = (asset[0].as_str().unwrap(), asset[1].as_str().unwrap());
        let root = if from.starts_with("dist/made/") { dir.path() } else { package };
        assert!(from.starts_with("target/") || is_there(root, from), "{from} is not there");
        shipped.push(to);
    }
    for to in ["usr/share/man/man1/", "usr/share/bash-completion/completions/worker"] {
        assert!(shipped.contains(&to), "{shipped:?}");
    }
}
