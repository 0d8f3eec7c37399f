//! What gets through, and that there is no other way out.

use super::*;
use std::collections::BTreeMap;
use std::path::Path;

const EVIL: &str = "a\u{1b}]0;t\u{7}\u{9b}31m\u{202e}\u{1b}[2Jb\r\n\tc\u{1b}";

#[test]
fn of_what_others_say_nothing_is_obeyed() {
    let tame = "a\\u{1b}]0;t\\u{7}\\u{9b}31m\\u{202e}\\u{1b}[2Jb\\r\n\tc\\u{1b}";
    assert_eq!(Harmless::text(EVIL).as_str(), tame);
    assert_eq!(Harmless::coloured(EVIL).as_str(), tame, "only colours are ours");
    assert_eq!(Harmless::record(EVIL.as_bytes()).as_str(), tame.replace('\n', "\\n"));
    assert_eq!(Harmless::text(b"\xff").as_str(), "\\xff");
    let json = Harmless::json(&EVIL).expect("a string");
    assert!(!Harmless::is_needed_for(json.as_str()), "{json}");
    assert_eq!(serde_json::from_str::<String>(json.as_str()).expect("JSON"), EVIL);
}

#[test]
fn colours_of_our_own_get_through() {
    for text in ["\u{1b}[1m\u{1b}[38;5;9merror\u{1b}[0m: no\n", "\u{1b}[m", "plain"] {
        assert_eq!(Harmless::coloured(text).as_str(), text);
    }
    for (text, tame) in [
        ("\u{1b}[31", "\\u{1b}[31"),
        ("\u{1b}[3\u{1b}[31mx", "\\u{1b}[3\u{1b}[31mx"),
        ("\u{1b}[?25l", "\\u{1b}[?25l"),
        ("\u{1b}\u{1b}[0m", "\\u{1b}\u{1b}[0m"),
    ] {
        assert_eq!(Harmless::coloured(text).as_str(), tame);
    }
}

/// Where standard output and standard error are named, and what for. Whoever writes there writes what is [`Harmless`].
const WAYS: [(&str, &str); 9] = [
    ("stdout.rs", "the writer of answers"),
    ("stderr/write.rs", "the writer of log, progress and what is wrong"),
    ("cli/init/questions.rs", "questions, harmless ones"),
    ("cli/observe/top/term.rs", "ratatui, whose buffer takes no control character"),
    ("child/launcher_main.rs", "passes its socket on"),
    ("child/guardian.rs", "passes its socket on"),
    ("child/confined.rs", "standard error of a program, which is read as such"),
    ("io/sink/stream.rs", "records of a run, as they are"),
    ("cli/observe/tap.rs", "asks whether anybody reads"),
];

#[test]
fn there_is_no_other_way_out() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeMap::new();
    look(&source, &source, &mut found);
    let known: Vec<_> = WAYS.iter().map(|(file, _)| (*file).to_owned()).collect();
    let unknown: Vec<_> = found.iter().filter(|(file, _)| !known.contains(file)).collect();
    assert!(unknown.is_empty(), "these name a standard stream, and WAYS does not say what for: {unknown:#?}");
    let gone: Vec<_> = known.iter().filter(|file| !found.contains_key(*file)).collect();
    assert!(gone.is_empty(), "these name none any more: {gone:?}");
}

/// The lines of each file that name a standard stream, but to ask about it: what kind it is, how wide, whether it has colours.
fn look(root: &Path, at: &Path, found: &mut BTreeMap<String, Vec<String>>) {
    let asks = ["colors(", "columns(", "is_terminal()", "size("];
    for entry in std::fs::read_dir(at).expect("sources").flatten() {
        let path = entry.path();
        if path.is_dir() {
            look(root, &path, found);
            continue;
        }
        let name = path.strip_prefix(root).expect("below it").to_string_lossy().into_owned();
        if !name.ends_with(".rs") || name.ends_with("tests.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a source");
        let names = |line: &&str| {
            let line = line.trim_start();
            (line.contains("io::stdout()") || line.contains("io::stderr()") || line.contains("stdio::std"))
                && !line.starts_with("//")
                && !asks.iter().any(|asks| line.contains(asks))
        };
        let lines: Vec<_> = text.lines().filter(names).map(str::to_owned).collect();
        if !lines.is_empty() {
            found.insert(name, lines);
        }
    }
}
