//! Verdicts as JUnit XML, which build servers read.

use super::verdict::{Trouble, Verdict};
use crate::cli::files::{self, Overwrite, WriteError};
use crate::io::beside::{WriteRefused, try_writing};
use std::fmt::Write as _;
use std::path::Path;

/// What stands of a test until it is over.
const NOT_RUN: &str = "not run: worker test was ended before this test was, or has said what is wrong";

/// Whether the report can be written there, now and not when the tests are over.
pub(super) fn try_path(path: &Path, pipeline: &Path) -> Result<(), String> {
    if path.canonicalize().is_ok_and(|path| pipeline.canonicalize().is_ok_and(|pipeline| pipeline == path)) {
        return Err("it is the pipeline file; choose another name".to_owned());
    }
    try_writing(path).map_err(|error| match error {
        WriteRefused::NoFile(what) => format!("it is {what}; name a file that may be made or replaced"),
        WriteRefused::System(error) => {
            format!("cannot write there: {error}; the directory must exist and be writable")
        }
    })
}

/// Writes what is known so far, at once or not at all: a report of an earlier run is nowhere taken for this one's.
///
/// # Errors
/// It cannot be written.
pub(super) fn write(
    path: &Path,
    names: (&str, &str),
    verdicts: &[Verdict],
    waiting: &[&str],
) -> Result<(), WriteError> {
    let waiting = waiting.iter().map(|label| not_run(label));
    let cases: Vec<Verdict> = verdicts.iter().cloned().chain(waiting).collect();
    files::write(path, &report(names, &cases), Overwrite::Replace)
}

fn not_run(label: &str) -> Verdict {
    let trouble = Trouble { title: NOT_RUN.to_owned(), text: String::new(), is_error: true };
    let (done, notes) = (Vec::new(), Vec::new());
    Verdict { label: label.to_owned(), done, notes, trouble: Some(trouble), seconds: 0.0 }
}

/// The report: a suite with a case for each test; its names are those of the pipeline and of its file.
fn report((name, file): (&str, &str), verdicts: &[Verdict]) -> String {
    let count = |errors: bool| {
        let troubles = verdicts.iter().filter_map(|verdict| verdict.trouble.as_ref());
        troubles.filter(|trouble| trouble.is_error == errors).count()
    };
    let seconds: f64 = verdicts.iter().map(|verdict| verdict.seconds).sum();
    let counts = format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\" time=\"{seconds:.3}\"",
        verdicts.len(),
        count(false),
        count(true)
    );
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let name = escaped(name);
    writeln!(xml, "<testsuites name=\"{name}\" {counts}>").ok();
    writeln!(xml, "  <testsuite name=\"{name}\" {counts}>").ok();
    for verdict in verdicts {
        case(&mut xml, file, verdict);
    }
    xml += "  </testsuite>\n</testsuites>\n";
    xml
}

fn case(xml: &mut String, file: &str, verdict: &Verdict) {
    let (class, name) = (escaped(file), escaped(&verdict.label));
    writeln!(xml, "    <testcase classname=\"{class}\" name=\"{name}\" time=\"{:.3}\">", verdict.seconds)
        .ok();
    if let Some(trouble) = &verdict.trouble {
        let kind = if trouble.is_error { "error" } else { "failure" };
        let (title, text) = (escaped(&trouble.title), escaped(&trouble.text));
        writeln!(xml, "      <{kind} message=\"{title}\" type=\"{kind}\">{text}</{kind}>").ok();
    }
    let told: Vec<&str> = verdict.done.iter().chain(&verdict.notes).map(String::as_str).collect();
    if !told.is_empty() {
        writeln!(xml, "      <system-out>{}</system-out>", escaped(&told.join("\n"))).ok();
    }
    *xml += "    </testcase>\n";
}

/// Text for XML 1.0, in an element or an attribute: it has no control characters but tab and the ends of lines, nor a way to write
/// them, so they stand there as in Rust.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_cannot_hold_is_escaped() {
        assert_eq!(escaped("a<b>&\"'"), "a&lt;b&gt;&amp;&quot;&apos;");
        assert_eq!(escaped("\u{1b}[1m\u{0}\r\u{ffff}\u{85}"), "\\u{1b}[1m\\u{0}\\r\\u{ffff}\\u{85}");
        assert_eq!(escaped("a\tb\nä😀]]>"), "a&#9;b&#10;ä😀]]&gt;");
    }
}
