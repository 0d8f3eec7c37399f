//! `run`, and the surroundings of a program.

use super::confine::{self, Confine};
use super::value::{FilePath, Flag, Time, Value, Words, any_of, shown_path};
use super::{Class, Key, Keys, Section, WhenAbsent};
use crate::child::STOP_GRACE;
use crate::pipeline::command;
use crate::pipeline::diagnostics::{At, Problem, normalized};
use crate::pipeline::reader::{KeyValue, Reader, Table};
use crate::pipeline::text::{list, quoted};
use serde_json::{Value as Schema, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// An executable and its surroundings.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// Program and arguments; never empty.
    pub argv: Vec<String>,
    /// Where it runs; absolute.
    pub cwd: PathBuf,
    /// Variables set for it.
    pub env: BTreeMap<String, EnvValue>,
    /// Whether it gets only those variables, and none of the worker's.
    pub clear_env: bool,
    /// How long it may take to end when it is stopped, before it is killed.
    pub stop_grace: Duration,
    /// What it may use and see.
    pub confine: Confine,
    pub(crate) at: At,
}

/// Where the value of a variable comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvValue {
    Text(String),
    /// The worker's variable of this name.
    Env(String),
    /// The content of this file, without a last newline; absolute.
    File(PathBuf),
}

impl Section for Program {
    fn defaults(dir: &Path) -> Self {
        let (argv, env, at) = (Vec::new(), BTreeMap::new(), At::default());
        let (cwd, confine) = (dir.to_owned(), Confine::default());
        Self { argv, cwd, env, clear_env: false, stop_grace: STOP_GRACE, confine, at }
    }
}

pub(crate) const KEYS: Keys<Program> = &[
    &Key::<Program, _> {
        name: "run",
        class: Class::Results,
        doc: "the program and its arguments: words, never a shell; a string is split into words",
        value: Argv,
        when_absent: WhenAbsent::Required,
        get: |program| program.argv.clone(),
        set: |program, argv, at| (program.argv, program.at) = (argv, at),
    },
    &Key::<Program, _> {
        name: "cwd",
        class: Class::Results,
        doc: "the directory that the program runs in; sources and sinks that are programs have this key and the six behind it, too",
        value: FilePath,
        when_absent: WhenAbsent::Default,
        get: |program| program.cwd.clone(),
        set: |program, cwd, _| program.cwd = cwd,
    },
    &Key::<Program, _> {
        name: "env",
        class: Class::Results,
        doc: "environment variables for the program; { file = \"path\" } reads a file",
        value: Environment,
        when_absent: WhenAbsent::Nothing("none"),
        get: |program| program.env.clone(),
        set: |program, env, _| program.env = env,
    },
    &Key::<Program, _> {
        name: "clear_env",
        class: Class::Results,
        doc: "whether the program gets the variables of env alone, and none of the worker's",
        value: Flag,
        when_absent: WhenAbsent::Default,
        get: |program| program.clear_env,
        set: |program, clear, _| program.clear_env = clear,
    },
    &Key::<Program, _> {
        name: "stop_grace",
        class: Class::Tuning,
        doc: "how long a stopped program may take to end before it is killed",
        value: Time::Any,
        when_absent: WhenAbsent::Default,
        get: |program| program.stop_grace,
        set: |program, grace, _| program.stop_grace = grace,
    },
    &confine::LIMITS,
    &confine::USER,
    &confine::SANDBOX,
];

/// When a program that is an end of the pipeline is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// A good end is its last; a failure fails the pipeline.
    #[default]
    Never,
    OnFailure,
    /// However it ends, until it is stopped.
    Always,
}

pub(crate) const RESTARTS: Words<Restart> =
    Words(&[("never", Restart::Never), ("on-failure", Restart::OnFailure), ("always", Restart::Always)]);

/// Of a program that is a sink, which has no reason to run again when it has ended well.
pub(crate) const RESTARTS_OF_SINK: Words<Restart> =
    Words(&[("never", Restart::Never), ("on-failure", Restart::OnFailure)]);

/// That a key of a program is given to what runs none.
pub(crate) fn misplaced(entry: &KeyValue<'_>, title: &str) -> Problem {
    Problem::at(&entry.key_at, format!("`{}` belongs to a program", entry.key), format!("{title} runs none"))
        .help("remove it, or name a program with `run`")
}

struct Argv;

impl Value for Argv {
    type T = Vec<String>;

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<Vec<String>> {
        command::argv(reader, entry)
    }

    fn text(&self, argv: &Vec<String>, _: &Path) -> Option<String> {
        Some(list(argv.iter().map(String::as_str)))
    }

    fn schema(&self) -> Schema {
        let words = json!({"type": "array", "items": {"type": "string"}, "minItems": 1});
        any_of([words, json!({"type": "string", "minLength": 1})])
    }
}

struct Environment;

impl Value for Environment {
    type T = BTreeMap<String, EnvValue>;

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<Self::T> {
        let mut variables = BTreeMap::new();
        for entry in reader.table(entry, "env")?.into_entries() {
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
        Some(variables)
    }

    fn text(&self, env: &Self::T, dir: &Path) -> Option<String> {
        let variable = |(name, value): (&String, &EnvValue)| {
            let value = match value {
                EnvValue::Text(text) => quoted(text),
                EnvValue::Env(name) => format!("{{ env = {} }}", quoted(name)),
                EnvValue::File(path) => format!("{{ file = {} }}", quoted(&shown_path(dir, path))),
            };
            format!("{} = {value}", quoted(name))
        };
        let variables: Vec<String> = env.iter().map(variable).collect();
        Some(format!("{{ {} }}", variables.join(", ")))
    }

    fn schema(&self) -> Schema {
        let of = |key: &str| {
            let name = json!({"type": "string", "minLength": 1});
            json!({"type": "object", "properties": {key: name}, "required": [key], "additionalProperties": false})
        };
        let value = any_of([json!({"type": "string"}), of("env"), of("file")]);
        json!({"type": "object", "propertyNames": {"pattern": "^[^=]+$"}, "additionalProperties": value})
    }
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
