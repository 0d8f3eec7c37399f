//! `worker graph`.

use super::worker;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// Names and programs that drawings could take for something else.
const ODD: &str = r##"
[pipeline]
name = "odd"
[source.end]
run = ["printf", "%s\\n", "a\"b<c>`d`[e]{f}|g;#h&i", "$x @y: \\N ü→\u001b\n"]
[stage.graph]
from = "end"
run = ["sed", "s/\"/'/; s/#quot;/x/"]
partition_by = { field = 1, delimiter = "\"|" }
partitions = 3
[stage.click]
from = "end"
run = "cat"
order = "input"
[sink.kept]
from = "click"
stdout = true
[stage.subgraph]
from = ["end", "graph"]
mode = "stream"
run = "wc -l"
[sink.style]
from = ["graph", "subgraph"]
file = "out dir/"
"##;

fn drawn(text: &str, how: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("p.toml"), text).unwrap();
    let done = worker(dir.path(), &[&["graph", "p.toml"], how].concat());
    assert_eq!((done.status, done.err.as_str()), (0, ""), "{done:?}");
    done.out
}

/// What `dot` makes of a drawing: the text of a box or beside an arrow, line by line.
fn by_graphviz(dot: &str) -> String {
    let mut graphviz = Command::new("dot");
    graphviz.arg("-Tplain").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut graphviz = graphviz.spawn().expect("dot, of graphviz");
    graphviz.stdin.take().unwrap().write_all(dot.as_bytes()).unwrap();
    let done = graphviz.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success() && said.is_empty(), "{said}\n{dot}");
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn graphviz_reads_what_is_drawn_for_it() {
    let plain = by_graphviz(&drawn(ODD, &["--dot"]));
    let count = |what: &str| plain.lines().filter(|line| line.starts_with(what)).count();
    assert_eq!((count("node "), count("edge ")), (6, 7), "{plain}");
    for text in [r#"a\"b<c>`d`[e]{f}|g;#h&i"#, "ü→", "#quot;", "by field 1"] {
        assert!(plain.contains(text), "{text}: {plain}");
    }
}

#[test]
fn mermaid_is_drawn_with_nothing_in_its_labels_that_it_could_obey() {
    let text = drawn(ODD, &["--mermaid"]);
    assert_eq!(text, drawn(ODD, &[]), "it is the default");
    insta::assert_snapshot!("mermaid", text);
    let mut lines = text.lines();
    assert_eq!([(); 4].map(|()| lines.next().unwrap()), ["---", "title: \"odd\"", "---", "flowchart LR"]);
    let mut boxes = 0;
    for line in lines {
        // Between the quotes of a label there are no more quotes, and no characters but letters, digits and numbered ones.
        let parts: Vec<&str> = line.split('"').collect();
        let label = match parts.as_slice() {
            [head, label, tail] if tail.ends_with(']') || tail.ends_with(')') => {
                assert!(head.trim().starts_with(&format!("n{boxes}")), "{line}");
                boxes += 1;
                label
            }
            [head, label, tail] => {
                assert!(head.ends_with(" -->|") && tail.starts_with("| n"), "{line}");
                label
            }
            [arrow] => {
                assert!(arrow.contains(" --> n"), "{line}");
                continue;
            }
            _ => panic!("{line}"),
        };
        for word in label.split("<br>") {
            let harmless = |c: char| c.is_alphanumeric() || " .,-'+=!?#;→×…".contains(c);
            assert!(word.chars().all(harmless), "{word}");
            for numbered in word.split('#').skip(1) {
                let (number, _) = numbered.split_once(';').unwrap_or_else(|| panic!("{word}"));
                assert!(number.parse::<u32>().is_ok(), "{word}");
            }
        }
    }
    assert_eq!(boxes, 6);
}

#[test]
fn a_file_that_is_wrong_is_an_error_and_nothing_is_drawn() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("p.toml"), "[source.s]\nfile = 1\n").unwrap();
    let wrong = worker(dir.path(), &["graph", "p.toml"]);
    assert!((wrong.status, wrong.out.as_str()) == (2, "") && wrong.err.contains("p.toml:2:8"), "{wrong:?}");
    let both = worker(dir.path(), &["graph", "p.toml", "--dot", "--mermaid"]);
    assert!(both.status == 2 && both.err.contains("cannot be used with"), "{both:?}");
}
