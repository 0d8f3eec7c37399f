//! The commands of each page are run, one after the other, as a reader would.

use super::{documents, markdown::Block, markdown::Document, root};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

/// What `tests/examples.rs` runs, and looks at more closely.
const ELSEWHERE: [&str; 2] = ["examples/exactly-once/run.sh", "examples/three-nodes/run.sh"];

/// All commands of a page have to be over by then, on a busy machine.
const SECONDS_MAX: u32 = 240;

/// `cargo run` is what has been built already; nothing else of it is run.
const CARGO: &str = "#!/bin/bash
if [[ \"$*\" =~ ^run\\ (--release\\ )?-p\\ worker-bin\\ --\\ (.*) ]]; then
    while [[ $1 != -- ]]; do shift; done
    shift
    exec worker \"$@\"
fi
echo \"cargo $*: a page that is run may only have cargo run -p worker-bin -- …\" >&2
exit 1
";

#[test]
fn every_command_runs() {
    let documents = documents();
    let queue = Mutex::new(documents.iter().filter(|document| has_commands(document)).collect::<Vec<_>>());
    let failed = Mutex::new(Vec::new());
    let (mut pages, mut blocks) = (0, 0);
    for document in queue.lock().unwrap().iter() {
        pages += 1;
        blocks += document.blocks.iter().filter(|block| is_run(block)).count();
    }
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let Some(document) = queue.lock().unwrap().pop() else { return };
                    failed.lock().unwrap().extend(run(document).err());
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    assert!(pages > 5 && blocks > 15, "{blocks} blocks on {pages} pages");
}

fn is_run(block: &Block) -> bool {
    matches!(block.mark.as_str(), "sh" | "console") && block.not_run.is_none()
}

fn has_commands(document: &Document) -> bool {
    document.blocks.iter().any(is_run)
}

/// What a page shows of a command's output, and the file in which that is.
struct Shown {
    line: usize,
    command: String,
    output: String,
}

fn run(document: &Document) -> Result<(), String> {
    let name = &document.name;
    let from = document.directory().ok_or(format!("{name}: say where: <!-- commands run in … -->"))?;
    let dir = tempfile::tempdir().unwrap();
    let work = dir.path().join("work");
    lay_out(from, &work);
    std::os::unix::fs::symlink(root(), dir.path().join("worker")).unwrap();
    // curl says with its status that it was refused.
    std::fs::write(dir.path().join(".curlrc"), "fail\n").unwrap();
    let (script, shown) = script(document, &work, dir.path())?;
    let ended = Command::new("timeout")
        .args(["--kill-after=5", &SECONDS_MAX.to_string(), "bash", "-c", &script])
        .current_dir(&work)
        .env("PATH", path_with(dir.path()))
        .env("HOME", dir.path())
        .env("LC_ALL", "C.UTF-8")
        .env("WORKER", env!("CARGO_BIN_EXE_worker"))
        .env("WORKER_RUNTIME_DIR", dir.path().join("runtime"))
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(dir.path().join("said")).unwrap())
        .stderr(std::fs::File::create(dir.path().join("complained")).unwrap())
        .status()
        .unwrap();
    let text = |file: &str| {
        String::from_utf8_lossy(&std::fs::read(dir.path().join(file)).unwrap_or_default()).into_owned()
    };
    let steps = text("steps");
    let last = steps.lines().last().unwrap_or("the start").to_owned();
    for (i, shown) in shown.iter().enumerate() {
        let said = text(&format!("output-{i}"));
        if dir.path().join(format!("output-{i}")).exists()
            && !shown.output.is_empty()
            && !is_like(&shown.output, &said)
        {
            let Shown { line, command, output } = shown;
            return Err(format!("{name}:{line}: $ {command}\nshows\n{output}\nbut it prints\n{said}"));
        }
    }
    match ended.success() {
        true => Ok(()),
        false => Err(format!("{name}:{last}: {ended}\n{}{}", tail(&text("said")), tail(&text("complained")))),
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].iter().map(|line| format!("  {line}\n")).collect()
}

fn path_with(dir: &Path) -> String {
    let bin = dir.join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::write(bin.join("cargo"), CARGO).unwrap();
    Command::new("chmod").arg("+x").arg(bin.join("cargo")).status().unwrap();
    let worker = Path::new(env!("CARGO_BIN_EXE_worker")).parent().unwrap();
    format!("{}:{}:{}", bin.display(), worker.display(), std::env::var("PATH").unwrap())
}

/// What a page's commands find; the repository's root has the examples only.
pub(super) fn lay_out(from: &str, to: &Path) {
    match from {
        "." => copy(&root().join("examples"), &to.join("examples")),
        "an empty directory" => std::fs::create_dir_all(to).unwrap(),
        from => copy(&root().join(from), to),
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => _ = std::fs::copy(entry.path(), to).unwrap(),
        }
    }
}

/// The page as one script of bash, which notes how far it has come, and what is shown of outputs.
fn script(document: &Document, work: &Path, notes: &Path) -> Result<(String, Vec<Shown>), String> {
    let mut ports = Ports::default();
    let mut shown = Vec::new();
    // A page's background work ends with it.
    let mut script = format!(
        "set -e\ntrap 'kill -9 $(jobs -p) 2> /dev/null || true' EXIT\nas_before() {{ return $1; }}\nstatus=0\n{}\n",
        ports.of_a_test(document.before())
    );
    for block in &document.blocks {
        let text = ports.of_a_test(&block.text);
        script += &format!("echo {} >> '{}'\n", block.line, notes.join("steps").display());
        if let Some((_, file)) = block.mark.split_once(' ').filter(|(kind, _)| *kind != "sh") {
            let there = std::fs::read_to_string(work.join(file)).ok();
            if there.is_some_and(|there| there != block.text) {
                return Err(format!("{}:{}: {file} has something else", document.name, block.line));
            }
            script += &format!("cat > '{file}' <<'END OF FILE'\n{text}END OF FILE\n");
        } else if is_run(block) && block.mark == "sh" {
            script += &elsewhere(&text);
        } else if is_run(block) {
            for (command, output) in commands(&text) {
                let file = notes.join(format!("output-{}", shown.len()));
                let checked = if output.is_empty() { "[ $status = 0 ]" } else { ":" };
                script += &format!(
                    "set +e\nas_before $status\n{{ {command}\n}} > '{}' 2>&1\nstatus=$?\nset -e\n{checked}\n",
                    file.display()
                );
                shown.push(Shown { line: block.line, command, output });
            }
        }
    }
    Ok((script, shown))
}

fn elsewhere(text: &str) -> String {
    let is_elsewhere = |line: &&str| ELSEWHERE.contains(&line.split(" #").next().unwrap().trim_end());
    text.lines().filter(|line| !is_elsewhere(line)).map(|line| format!("{line}\n")).collect()
}

#[test]
fn what_is_run_elsewhere_is() {
    let examples = include_str!("../examples.rs");
    for script in ELSEWHERE {
        assert!(examples.contains(script.trim_start_matches("examples/")), "{script}");
        assert!(root().join(script).exists(), "{script}");
    }
}

/// Commands behind `$ ` (lines behind `> ` go on with them), and what is shown behind each.
fn commands(block: &str) -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = Vec::new();
    for line in block.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            commands.push((command.to_owned(), String::new()));
        } else if let Some((command, output)) = commands.last_mut() {
            match line.strip_prefix("> ").filter(|_| output.is_empty()) {
                Some(more) => *command += &format!("\n{more}"),
                None => *output += &format!("{line}\n"),
            }
        }
    }
    commands
}

/// Whether a text is as shown, in which `…` stands for anything, and alone on a line for any lines.
fn is_like(shown: &str, text: &str) -> bool {
    let (shown, text): (Vec<&str>, Vec<&str>) = (shown.lines().collect(), text.lines().collect());
    lines_are_like(&shown, &text)
}

fn lines_are_like(shown: &[&str], text: &[&str]) -> bool {
    match (shown.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((&"…", rest)), _) => (0..=text.len()).any(|left_out| lines_are_like(rest, &text[left_out..])),
        (Some((line, rest)), Some((there, more))) => line_is_like(line, there) && lines_are_like(rest, more),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

fn line_is_like(shown: &str, text: &str) -> bool {
    match shown.split_once('…') {
        None => shown.trim_end() == text.trim_end(),
        Some((before, rest)) => text.strip_prefix(before).is_some_and(|text| {
            let ends = text.char_indices().map(|(i, _)| i).chain([text.len()]);
            ends.into_iter().any(|end| line_is_like(rest, &text[end..]))
        }),
    }
}

#[test]
fn anything_is_like_what_is_left_out_and_nothing_else_is() {
    assert!(is_like("a … c\n", "a bb c\n") && is_like("a\n…\nd\n", "a\nb\nc\nd\n") && is_like("…\n", ""));
    assert!(!is_like("a … c\n", "a bb d\n") && !is_like("a\nb\n", "a\n") && !is_like("a\n", "a\nb\n"));
}

/// Tests run at the same time: a port of a page is another one in its test.
#[derive(Default)]
struct Ports(BTreeMap<u16, u16>);

impl Ports {
    fn of_a_test(&mut self, text: &str) -> String {
        let mut parts = text.split("127.0.0.1:");
        let mut replaced = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let port = part[..digits].parse().unwrap_or(0);
            let free = *self
                .0
                .entry(port)
                .or_insert_with(|| TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port());
            replaced += &format!("127.0.0.1:{free}{}", &part[digits..]);
        }
        replaced
    }
}
