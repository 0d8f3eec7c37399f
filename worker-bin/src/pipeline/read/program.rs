//! `run` and the surroundings of a program.

use crate::pipeline::command;
use crate::pipeline::diagnostics::{At, Problem, normalized};
use crate::pipeline::model::{EnvValue, Program};
use crate::pipeline::reader::{KeyValue, Reader, Table};
use std::collections::BTreeMap;
use std::path::Path;

/// The program of a `run` key, with `cwd`, `env` and `clear_env` beside it.
pub(super) fn program<'d>(reader: &mut Reader<'d>, table: &mut Table<'d>, run: &KeyValue<'d>) -> Program {
    let argv = command::argv(reader, run).unwrap_or_default();
    let cwd = table.take("cwd").and_then(|entry| reader.path(&entry));
    let env = table.take("env").map(|entry| environment(reader, &entry)).unwrap_or_default();
    let clear_env = table.take("clear_env").and_then(|entry| reader.boolean(&entry)).unwrap_or(false);
    Program { argv, cwd: cwd.unwrap_or_else(|| reader.dir.to_owned()), env, clear_env, at: run.at() }
}

/// Stands in for a program that is missing, so that reading can go on.
pub(super) fn missing(reader: &Reader<'_>, at: &At) -> Program {
    let cwd = reader.dir.to_owned();
    Program { argv: Vec::new(), cwd, env: BTreeMap::new(), clear_env: false, at: at.clone() }
}

/// Refuses keys that only a program has.
pub(super) fn no_program<'d>(reader: &mut Reader<'d>, table: &mut Table<'d>) {
    for key in ["cwd", "env", "clear_env"] {
        if let Some(entry) = table.take(key) {
            reader.problems.push(
                Problem::at(
                    &entry.key_at,
                    format!("`{key}` belongs to a program"),
                    format!("{} runs none", table.title),
                )
                .help("remove it, or name a program with `run`"),
            );
        }
    }
}

fn environment<'d>(reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> BTreeMap<String, EnvValue> {
    let mut variables = BTreeMap::new();
    let Some(table) = reader.table(entry, "env") else { return variables };
    for entry in table.into_entries() {
        if entry.key.is_empty() || entry.key.contains(['=', '\0']) {
            reader.problems.push(Problem::at(
                &entry.key_at,
                format!("`{}` cannot be the name of an environment variable", entry.key),
                "expected a name without `=`",
            ));
        } else if let Some(value) = env_value(reader, &entry) {
            variables.insert(entry.key.to_owned(), value);
        }
    }
    variables
}

fn env_value<'d>(reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<EnvValue> {
    match entry.value.get_ref().as_table() {
        None if entry.is_string() => {
            let text = reader.string(entry)?;
            reader.refuse_shell_variables(&text, &entry.at())?;
            Some(EnvValue::Text(text))
        }
        Some(table) => {
            let mut table = Table::new(format!("env.{}", entry.key), table);
            let (env, file) = (table.take("env"), table.take("file"));
            table.finish(reader);
            match (env, file) {
                (Some(name), None) => reader.text(&name).map(EnvValue::Env),
                (None, Some(path)) => {
                    let text = reader.text(&path)?;
                    Some(EnvValue::File(normalized(reader.dir, Path::new(&text))))
                }
                (Some(_), Some(_)) | (None, None) => {
                    reader.not_a(entry, "a value", "\"text\", { env = \"NAME\" } or { file = \"path\" }")
                }
            }
        }
        None => {
            reader.wrong_type(entry.key, entry.value, "a string, { env = \"NAME\" } or { file = \"path\" }")
        }
    }
}
