//! Sources and sinks.

use super::program::{no_program, program};
use super::{Unjoined, exactly_one, framing, from, key, place};
use crate::pipeline::diagnostics::{At, Problem, normalized};
use crate::pipeline::model::{Exists, Framing, Header, Sink, SinkTarget, Source, SourceInput};
use crate::pipeline::plan::PARTITIONS_MAX;
use crate::pipeline::reader::{KeyValue, Reader, Table};
use std::path::Path;

pub(super) fn source<'d>(reader: &mut Reader<'d>, mut table: Table<'d>, (name, at): (String, At)) -> Source {
    let (file, run, stdin) = (table.take("file"), table.take("run"), table.take("stdin"));
    let stdin = stdin.filter(|entry| must_be_true(reader, entry));
    let given: Vec<&KeyValue<'d>> = [&file, &run, &stdin].into_iter().flatten().collect();
    exactly_one(reader, &table.title, &at, &["file", "run", "stdin"], &given);
    let input = match (file, run) {
        (Some(file), _) => {
            no_program(reader, &mut table);
            let pattern = glob(reader, &file).unwrap_or_default();
            SourceInput::Files { pattern, at: file.at() }
        }
        (None, Some(run)) => SourceInput::Program(program(reader, &mut table, &run)),
        (None, None) => {
            no_program(reader, &mut table);
            SourceInput::Stdin
        }
    };
    let header = table.take("header").and_then(|entry| {
        let choices = [("keep", Header::Keep), ("skip", Header::Skip), ("repeat", Header::Repeat)];
        let header = reader.choice(&entry, &choices)?;
        if header == Header::Repeat && !matches!(input, SourceInput::Files { .. }) {
            let problem = Problem::at(
                &entry.at(),
                "`header = \"repeat\"` needs files",
                "the header must be known before the run",
            );
            return reader.fail(problem.help("read a file with `file`, or use \"keep\" or \"skip\""));
        }
        Some(header)
    });
    let framing = framing(reader, &mut table).unwrap_or(Framing::Lines);
    let place = place(reader, &mut table);
    table.finish(reader);
    Source { name, input, header: header.unwrap_or(Header::Keep), framing, place, at }
}

pub(super) fn sink<'d>(
    reader: &mut Reader<'d>,
    mut table: Table<'d>,
    (name, at): (String, At),
) -> Unjoined<Sink> {
    let from = from(reader, &mut table);
    let (file, stdout, run) = (table.take("file"), table.take("stdout"), table.take("run"));
    let stdout = stdout.filter(|entry| must_be_true(reader, entry));
    let given: Vec<&KeyValue<'d>> = [&file, &stdout, &run].into_iter().flatten().collect();
    exactly_one(reader, &table.title, &at, &["file", "stdout", "run"], &given);
    let exists = table.take("exists");
    let target = match (file, run) {
        (Some(file), _) => {
            no_program(reader, &mut table);
            let choices =
                [("error", Exists::Error), ("replace", Exists::Replace), ("append", Exists::Append)];
            let exists = exists.as_ref().and_then(|entry| reader.choice(entry, &choices));
            file_target(reader, &file, exists.unwrap_or(Exists::Error))
        }
        (None, Some(run)) => {
            refuse_exists(reader, exists.as_ref());
            SinkTarget::Program(program(reader, &mut table, &run))
        }
        (None, None) => {
            refuse_exists(reader, exists.as_ref());
            no_program(reader, &mut table);
            SinkTarget::Stdout
        }
    };
    if let Some(entry) = table.take("order") {
        reader.choice(&entry, &[("any", ())]);
    }
    let (partitions, partitions_at) = match table.take("partitions") {
        Some(entry) => (reader.count(&entry, PARTITIONS_MAX), entry.at()),
        None => (None, at.clone()),
    };
    one_task_only(reader, &target, partitions, &partitions_at);
    let (rule, key_at) = key::partition_by(reader, &mut table).unzip();
    let place = place(reader, &mut table);
    table.finish(reader);
    let key_at = key_at.unwrap_or_default();
    let framing = Framing::Lines;
    let sink = Sink {
        name,
        from: Vec::new(),
        target,
        partitions,
        partition_by: rule,
        framing,
        place,
        at,
        partitions_at,
        key_at,
    };
    Unjoined { item: sink, from, framing: None }
}

fn must_be_true<'d>(reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> bool {
    match reader.boolean(entry) {
        Some(true) | None => true,
        Some(false) => {
            let problem =
                Problem::at(&entry.at(), format!("`{}` can only be true", entry.key), "remove it instead");
            reader.problems.push(problem);
            false
        }
    }
}

/// A glob as written; whether it matches anything is known only on the node that reads it.
fn glob<'d>(reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<String> {
    let text = reader.text(entry)?;
    reader.refuse_shell_variables(&text, &entry.at())?;
    match glob::Pattern::new(&text) {
        Ok(_) => Some(text),
        Err(error) => reader.fail(
            Problem::at(&entry.at(), format!("this pattern cannot be used: {}", error.msg), "").help(
                "patterns know *, ?, [abc] and **; to mean such a character itself, put it in brackets: [*]",
            ),
        ),
    }
}

fn file_target<'d>(reader: &mut Reader<'d>, entry: &KeyValue<'d>, exists: Exists) -> SinkTarget {
    let at = entry.at();
    let text = reader.text(entry).unwrap_or_default();
    let text = reader.refuse_shell_variables(&text, &at).map_or_else(String::new, |()| text);
    let path = normalized(reader.dir, Path::new(&text));
    if text.ends_with('/') {
        SinkTarget::Directory { path, exists, at }
    } else {
        SinkTarget::File { path, exists, at }
    }
}

fn refuse_exists<'d>(reader: &mut Reader<'d>, entry: Option<&KeyValue<'d>>) {
    if let Some(entry) = entry {
        let problem = Problem::at(&entry.key_at, "`exists` belongs to `file`", "this sink writes no file");
        reader.problems.push(problem.help("remove it"));
    }
}

fn one_task_only(reader: &mut Reader<'_>, target: &SinkTarget, partitions: Option<u32>, at: &At) {
    let Some(count) = partitions.filter(|&count| count > 1) else { return };
    let what = match target {
        SinkTarget::File { .. } => "one file has one sink task",
        SinkTarget::Stdout => "standard output has one sink task",
        SinkTarget::Directory { .. } | SinkTarget::Program(_) => return,
    };
    reader.problems.push(
        Problem::at(at, format!("`partitions` cannot be {count} here"), what)
            .help("a `file` that ends in / is a directory and gets one file per partition"),
    );
}
