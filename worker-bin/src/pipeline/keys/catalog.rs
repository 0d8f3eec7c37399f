//! All keys in a row, for who asks about one: what each is for, where it may stand, what it takes.

use super::stage::{self, ModeName};
use super::{Class, KeyInfo, pipeline, row, sink, source, test};
use crate::io;
use crate::pipeline::cluster;
use serde_json::Value as Schema;

/// A key, as it is told of.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// `pipeline`, `source`, `stage`, `sink`, `test`, `cluster` or `node`.
    pub(crate) table: &'static str,
    /// Below the table's name: `timeout`, `batch.max_bytes`.
    pub(crate) path: String,
    /// What the table must be for it: `file`, `mode = "batch"`; none: it may be any.
    pub(crate) only: Vec<String>,
    pub(crate) info: KeyInfo,
}

/// Kinds of a table, each with its keys.
type Kinds = Vec<(String, Vec<KeyInfo>)>;

/// Every key of pipeline and cluster files, in the order of their tables.
pub(crate) fn all() -> Vec<Entry> {
    let tables: [(&'static str, Kinds); 7] = [
        ("pipeline", vec![(String::new(), row::infos(pipeline::KEYS))]),
        ("source", sources()),
        ("stage", modes(stage::infos)),
        ("sink", sinks()),
        ("test", vec![(String::new(), row::infos(test::KEYS))]),
        ("cluster", vec![(String::new(), cluster::shared_infos())]),
        ("node", vec![(String::new(), cluster::infos())]),
    ];
    let mut entries: Vec<Entry> = Vec::new();
    for (table, kinds) in tables {
        let begin = entries.len();
        for (kind, keys) in &kinds {
            for (path, info) in keys.iter().flat_map(with_inner) {
                let is_same = |entry: &&mut Entry| entry.path == path && is_told_alike(&entry.info, &info);
                match entries[begin..].iter_mut().find(is_same) {
                    Some(entry) => entry.only.push(kind.clone()),
                    None => entries.push(Entry { table, path, only: vec![kind.clone()], info }),
                }
            }
        }
        for entry in &mut entries[begin..] {
            if entry.only.len() == kinds.len() {
                entry.only.clear();
            }
        }
    }
    entries
}

fn sources() -> Kinds {
    let kinds = io::source::KINDS.iter().map(|kind| kind.infos());
    kinds.map(|keys| (keys[0].name.to_owned(), [keys, row::infos(source::KEYS)].concat())).collect()
}

fn sinks() -> Kinds {
    let all = |keys: Vec<KeyInfo>| [row::infos(sink::HEAD), keys, row::infos(sink::KEYS)].concat();
    let kinds = io::sink::KINDS.iter().map(|kind| kind.infos()).filter(|keys| keys[0].name != "run");
    let kinds = kinds.map(|keys| (keys[0].name.to_owned(), all(keys)));
    let programs = modes(stage::sink_infos).into_iter();
    kinds.chain(programs.map(|(mode, keys)| (format!("run, {mode}"), all(keys)))).collect()
}

fn modes(keys: fn() -> stage::KeysOfModes) -> Kinds {
    let of = |mode: ModeName| {
        keys().into_iter().filter(move |(_, modes)| modes.contains(&mode)).map(|(key, _)| key).collect()
    };
    stage::MODES.0.iter().map(|&(word, mode)| (format!("mode = \"{word}\""), of(mode))).collect()
}

/// A key, and those of its inline table.
fn with_inner(key: &KeyInfo) -> Vec<(String, KeyInfo)> {
    let inner = key.inner.iter().map(|inner| (format!("{}.{}", key.name, inner.name), inner.clone()));
    std::iter::once((key.name.to_owned(), key.clone())).chain(inner).collect()
}

fn is_told_alike(one: &KeyInfo, other: &KeyInfo) -> bool {
    let inner = |info: &KeyInfo| info.inner.iter().map(|key| key.name).collect::<Vec<_>>();
    one.doc == other.doc
        && one.default == other.default
        && one.otherwise == other.otherwise
        && one.schema == other.schema
        && inner(one) == inner(other)
}

impl Entry {
    /// The last part of its name.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or(&self.path)
    }

    /// With its table in front: `stage.batch.max_bytes`.
    pub(crate) fn whole(&self) -> String {
        format!("{}.{}", self.table, self.path)
    }

    /// Keys of tables that its value may be, such as `field` of `partition_by`: they are told of with it.
    pub(crate) fn parts(&self) -> Vec<String> {
        let mut parts = Vec::new();
        of_objects(&self.info.schema, &mut parts);
        parts
    }

    /// Where it may stand.
    pub(crate) fn place(&self) -> String {
        let table = match self.table {
            "pipeline" => "[pipeline]".to_owned(),
            "test" => "[[test]]".to_owned(),
            "cluster" => "[cluster]".to_owned(),
            named => format!("[{named}.NAME]"),
        };
        let table = if self.is_of_clusters() { format!("{table} of a cluster file") } else { table };
        match self.only.is_empty() {
            true => table,
            false => format!("{table} with {}", self.only.join(" or ")),
        }
    }

    /// It stands in a cluster file, and not in a pipeline's.
    fn is_of_clusters(&self) -> bool {
        matches!(self.table, "cluster" | "node")
    }

    /// What it takes, in words.
    pub(crate) fn takes(&self) -> String {
        if !self.info.inner.is_empty() {
            let names: Vec<&str> = self.info.inner.iter().map(|key| key.name).collect();
            return format!("a table of {}", names.join(", "));
        }
        words(&self.info.schema).unwrap_or_else(|| "a value".to_owned())
    }

    /// What it is where it is left out.
    pub(crate) fn default(&self) -> String {
        match (&self.info.default, self.info.otherwise) {
            _ if self.info.is_required => "none: it must be there".to_owned(),
            (Some(default), _) => default.clone(),
            (None, Some(words)) => words.to_owned(),
            (None, None) => "none".to_owned(),
        }
    }

    /// Whether a state goes on with another value.
    pub(crate) fn state(&self) -> &'static str {
        match self.info.class {
            _ if self.is_of_clusters() => "may change while a state is kept",
            Class::Results => {
                "results depend on it: a state directory is not gone on with under another value"
            }
            Class::Tuning => "may change while a state is kept",
            Class::Identity => {
                "says whose state it is, or where its tasks run: a state directory holds to it"
            }
        }
    }

    /// A line that a file may have.
    pub(crate) fn example(&self) -> String {
        let own = |path: &str, info: &KeyInfo| {
            let known =
                EXAMPLES.iter().find(|(name, _)| *name == path || *name == format!("{}.{path}", self.table));
            let other = || example(&info.schema).filter(|text| info.default.as_ref() != Some(text));
            // Of numbers, sizes and times the default shows what they are like; of words and flags it says nothing.
            let as_default = || info.default.clone().filter(|_| is_measured(&info.schema));
            let known = known.map(|(_, text)| (*text).to_owned());
            known.or_else(as_default).or_else(other).or_else(|| info.default.clone())
        };
        if let Some((outer, name)) = self.path.split_once('.') {
            return format!("{outer} = {{ {name} = {} }}", own(name, &self.info).unwrap_or_default());
        }
        if self.info.inner.is_empty() {
            return format!("{} = {}", self.path, own(&self.path, &self.info).unwrap_or_default());
        }
        let inner = self.info.inner.iter().take(2);
        let inner = inner.filter_map(|key| Some(format!("{} = {}", key.name, own(key.name, key)?)));
        format!("{} = {{ {} }}", self.path, inner.collect::<Vec<_>>().join(", "))
    }
}

/// Values of keys whose kind alone does not show what is meant.
const EXAMPLES: &[(&str, &str)] = &[
    ("source.file", "\"logs/*.log\""),
    ("list", "\"*.png\""),
    ("sink.file", "\"out/errors.txt\""),
    ("pipeline.name", "\"access-log\""),
    ("spill_dir", "\"/var/tmp\""),
    ("from", "\"log\""),
    ("run", "[\"grep\", \"-i\", \"error\"]"),
    ("cwd", "\"scripts\""),
    ("env", "{ LANG = \"C\", TOKEN = { env = \"TOKEN\" } }"),
    ("cpu", "\"90s\""),
    ("open_files", "64"),
    ("user", "\"nobody\""),
    ("read", "[\"models\", \"/srv/words\"]"),
    ("write", "[\"out\"]"),
    ("net", "false"),
    ("ok_exit", "[0, 1]"),
    ("place", "[\"a\", \"b\"]"),
    ("partition_by", "{ field = 7 }"),
    ("framing", "{ start = '^\\d{4}-' }"),
    ("window", "{ every = \"1m\" }"),
    ("address", "\"10.0.0.1:7400\""),
    ("cert", "\"certs/a.pem\""),
    ("node.key", "\"certs/a.key\""),
    ("ca", "\"certs/ca.pem\""),
    ("crl", "\"certs/crl.pem\""),
    ("admin", "\"10.0.0.1:7480\""),
    ("seed", "7"),
    ("credit", "\"4MiB\""),
    ("burst", "1000"),
    ("header", "\"skip\""),
    ("partitions", "4"),
    ("max_attempts", "3"),
    ("initial", "\"200ms\""),
    ("max_records", "500"),
    ("test.name", "\"upper case\""),
    ("test.stage", "\"upper\""),
    ("input_file", "\"tests/in.txt\""),
    ("test.input", "\"a\\nb\\n\""),
    ("output_file", "\"tests/out.txt\""),
    ("test.output", "\"A\\nB\\n\""),
    ("dead_letters", "1"),
];

fn is_variable(schema: &Schema) -> bool {
    *schema == super::value::variable()
}

/// What a schema allows.
fn words(schema: &Schema) -> Option<String> {
    if is_variable(schema) {
        return None;
    }
    if let Some(title) = schema["title"].as_str() {
        return Some(title.to_owned());
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let parts: Vec<String> = any.iter().filter_map(words).collect();
        return (!parts.is_empty()).then(|| parts.join(", or "));
    }
    if let Some(values) = schema["enum"].as_array() {
        return Some(values.iter().map(Schema::to_string).collect::<Vec<_>>().join(" or "));
    }
    if let Some(only) = schema.get("const") {
        return Some(only.to_string());
    }
    Some(match schema["type"].as_str()? {
        "boolean" => "true or false".to_owned(),
        "integer" => match (schema["minimum"].as_u64(), schema["maximum"].as_u64()) {
            (Some(least), Some(most)) => format!("a whole number from {least} to {most}"),
            (Some(least), None) => format!("a whole number from {least} on"),
            (None, _) => "a whole number".to_owned(),
        },
        "string" => "text".to_owned(),
        "array" => format!("a list of: {}", words(&schema["items"])?),
        "object" => {
            let mut names = Vec::new();
            of_objects(schema, &mut names);
            if names.is_empty() { "a table".to_owned() } else { format!("{{ {} = … }}", names.join(", ")) }
        }
        _ => return None,
    })
}

/// Whether its values have a unit, or are numbers.
fn is_measured(schema: &Schema) -> bool {
    schema.get("examples").is_some()
        || schema["type"] == "integer"
        || schema["anyOf"].as_array().is_some_and(|any| any.iter().any(is_measured))
}

/// A value that a schema allows, as a file writes it.
fn example(schema: &Schema) -> Option<String> {
    if is_variable(schema) {
        return None;
    }
    if let Some(examples) = schema["examples"].as_array() {
        return examples.first().map(Schema::to_string);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        // A size or a time is told more by one with a unit.
        let with_unit = any.iter().filter(|one| is_measured(one)).find_map(example);
        return with_unit.or_else(|| any.iter().find_map(example));
    }
    if let Some(values) = schema["enum"].as_array() {
        return values.last().map(Schema::to_string);
    }
    if let Some(only) = schema.get("const") {
        return Some(only.to_string());
    }
    match schema["type"].as_str()? {
        "boolean" => Some("true".to_owned()),
        "integer" => {
            let least = schema["minimum"].as_u64().unwrap_or(0);
            Some(schema["maximum"].as_u64().map_or(1000, |most| most.min(1000)).max(least).to_string())
        }
        _ => None,
    }
}

fn of_objects(schema: &Schema, names: &mut Vec<String>) {
    for one in schema["anyOf"].as_array().into_iter().flatten() {
        of_objects(one, names);
    }
    for name in schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
}
