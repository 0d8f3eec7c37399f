//! Every row of the table of keys is what it says.

use super::model::EVERYTHING;
use super::read;
use crate::io;
use crate::pipeline::keys::catalog;
use crate::pipeline::keys::{Class, KeyInfo, pipeline, row, sink, source, stage, test};
use crate::pipeline::{Cluster, ConfigError, Pipeline, plan, schema_of_pipelines};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use worker_core::config::NodeIx;

/// A key in a file that may have it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) table: &'static str,
    pub(super) key: KeyInfo,
    /// What names the kind of its table, or its mode.
    kind: (&'static str, String),
}

pub(super) fn places() -> Vec<Place> {
    let mut places = Vec::new();
    let mut add = |table, keys: Vec<KeyInfo>, kind: (&'static str, &str)| {
        places.extend(keys.into_iter().map(|key| Place { table, key, kind: (kind.0, kind.1.to_owned()) }));
    };
    add("pipeline", row::infos(pipeline::KEYS), ("name", "\"x\""));
    for kind in io::source::KINDS {
        let keys = kind.infos();
        let naming = (keys[0].name, naming(&keys[0]));
        add("source", [keys, row::infos(source::KEYS)].concat(), naming);
    }
    for kind in io::sink::KINDS {
        let keys = kind.infos();
        if keys[0].name == "run" {
            continue;
        }
        let naming = (keys[0].name, naming(&keys[0]));
        add("sink", [row::infos(sink::HEAD), keys, row::infos(sink::KEYS)].concat(), naming);
    }
    for &(word, mode) in stage::MODES.0 {
        let keys = stage::infos().into_iter().filter(|(_, modes)| modes.contains(&mode)).map(|(key, _)| key);
        add("stage", keys.collect(), ("mode", &format!("\"{word}\"")));
        let keys = stage::sink_infos().into_iter().filter(|(_, modes)| modes.contains(&mode));
        let keys = [row::infos(sink::HEAD), keys.map(|(key, _)| key).collect(), row::infos(sink::KEYS)];
        add("sink", keys.concat(), ("mode", &format!("\"{word}\"")));
    }
    add("test", row::infos(test::KEYS), ("name", "\"t\""));
    places
}

fn naming(key: &KeyInfo) -> &'static str {
    match key.name {
        _ if !key.inner.is_empty() => "{}",
        "run" => "[\"p\"]",
        "stdin" | "stdout" => "true",
        _ => "\"x/y/\"",
    }
}

impl Place {
    /// What a person calls the kind of its table: `file`, `run`, or the mode of a stage.
    pub(super) fn kind(&self) -> String {
        match self.kind.0 {
            "mode" if self.table == "sink" => format!("run in {}", self.kind.1.trim_matches('"')),
            "mode" => self.kind.1.trim_matches('"').to_owned(),
            name => name.to_owned(),
        }
    }

    /// A file in which the key has this value; `None`: it is left out.
    pub(super) fn file(&self, value: Option<&str>) -> String {
        let mut tables = [
            ("pipeline", vec![("name", "\"x\"")]),
            ("source", vec![("file", "\"in\"")]),
            ("stage", vec![("from", "\"t\""), ("run", "\"p {out}\""), ("partition_by", "\"record\"")]),
            ("sink", vec![("file", "\"out/\""), ("from", "\"t\"")]),
            ("test", vec![("stage", "\"of_stage\""), ("input", "\"a\""), ("output", "\"b\"")]),
        ];
        let (_, mine) = tables.iter_mut().find(|(table, _)| *table == self.table).unwrap();
        if matches!(self.table, "source" | "sink") {
            mine.remove(0);
        }
        if self.table == "sink" && self.kind.0 == "mode" {
            mine.extend([("run", "\"p\""), ("partition_by", "\"record\"")]);
        }
        mine.retain(|(key, _)| *key != self.kind.0);
        mine.push((self.kind.0, &self.kind.1));
        if self.key.name == "burst" {
            mine.push(("rate", "\"9/s\""));
        }
        if let Some(value) = value {
            mine.retain(|(key, _)| *key != self.key.name);
            // Either says it.
            mine.retain(|(key, _)| self.key.name.strip_suffix("_file") != Some(key));
            mine.push((self.key.name, value));
        }
        let ends = "[source.other]\nfile = \"t\"\n[stage.u]\nfrom = \"t\"\nrun = \"u\"\n[sink.rest]\nfrom = [\"t\", \"u\"]\nfile = \"rest\"\n[sink.more]\nfrom = \"other\"\nfile = \"more\"\n";
        let mut file = ends.to_owned();
        for (table, keys) in tables {
            let title = match table {
                "pipeline" => "pipeline".to_owned(),
                "test" => "[test]".to_owned(),
                "source" => "source.t".to_owned(),
                other => format!("{other}.of_{other}"),
            };
            file += &format!("[{title}]\n");
            file.extend(keys.iter().map(|(key, value)| format!("{key} = {value}\n")));
        }
        file += "[sink.end]\nfrom = \"of_stage\"\nfile = \"end\"\n";
        file
    }

    /// Where a schema has the key.
    pub(super) fn schema(&self) -> String {
        let table = match self.table {
            "pipeline" => "",
            "test" => "/items",
            _ => "/additionalProperties",
        };
        format!("/properties/{}{table}/properties/{}", self.table, self.key.name)
    }

    /// Texts that keys of some kind take as values; those of an inline table for each of its keys.
    fn candidates(&self) -> Vec<(Class, Vec<String>)> {
        let texts = [
            "\"memory\"",
            "\"exactly-once\"",
            "\"skip\"",
            "\"nul\"",
            "\"replace\"",
            "\"halt\"",
            "\"cut\"",
            "\"file\"",
            "\"done\"",
            "\"inline\"",
            "\"always\"",
            "\"stream\"",
            "7",
            "\"7MiB\"",
            "\"7s\"",
            "\"7%\"",
            "\"7/s\"",
            "\"drop-newest\"",
            "777",
            "true",
            "[7]",
            "\"x7\"",
            "[\"x7\", \"y\"]",
            "\"other\"",
            "{ field = 7 }",
            "{ records = 7 }",
            "{ A = \"7\" }",
            "\"u\"",
        ];
        let of = |key: &KeyInfo, text: &str| match self.key.inner.len() {
            0 => text.to_owned(),
            _ => format!("{{ {} = {text} }}", key.name),
        };
        let keys = if self.key.inner.is_empty() { std::slice::from_ref(&self.key) } else { &self.key.inner };
        keys.iter().map(|key| (key.class, texts.iter().map(|text| of(key, text)).collect())).collect()
    }

    pub(super) fn read(&self, value: Option<&str>) -> Result<Pipeline, ConfigError> {
        read(&self.file(value))
    }
}

fn fingerprint(pipeline: &Pipeline) -> u64 {
    plan(pipeline, &Cluster::single(), NodeIx(0)).unwrap().semantic_fingerprint.0
}

#[test]
fn every_row_reads_the_default_that_it_prints() {
    let mut read_back = 0;
    for place in places().into_iter().filter(|place| place.key.name != place.kind.0) {
        let without = place.read(None).unwrap();
        let Some(default) = &place.key.default else { continue };
        let with = place.read(Some(default)).unwrap();
        assert_eq!(with, without, "{place:?}");
        read_back += 1;
    }
    assert!(read_back > 30, "{read_back}");
}

#[test]
fn every_row_is_in_the_schema() {
    let schema = schema_of_pipelines();
    for place in places() {
        let told = &schema.pointer(&place.schema()).unwrap_or_else(|| panic!("{place:?}"))["description"];
        assert!(told.as_str().unwrap().starts_with(place.key.doc), "{place:?}: {told}");
    }
    for table in ["/properties/source", "/properties/stage", "/properties/sink"] {
        let table = schema.pointer(&format!("{table}/additionalProperties")).unwrap();
        assert_eq!(table["additionalProperties"], false);
    }
}

/// Keys of a file that its schema does not know.
fn unknown(schema: &serde_json::Value, table: &toml::Table) -> Vec<String> {
    let mut unknown = Vec::new();
    for (key, value) in table {
        let known = schema["properties"]
            .get(key)
            .or_else(|| schema["additionalProperties"].as_object().map(|_| &schema["additionalProperties"]));
        match (known, value) {
            (None, _) => unknown.push(key.clone()),
            (Some(known), toml::Value::Table(inner)) if known["type"] == "object" => {
                unknown.extend(self::unknown(known, inner).into_iter().map(|inner| format!("{key}.{inner}")));
            }
            (Some(_), _) => {}
        }
    }
    unknown
}

#[test]
fn the_schema_knows_the_keys_of_the_examples_and_no_others() {
    let schema = schema_of_pipelines();
    let read = |text: &str| toml::from_str::<toml::Table>(text).unwrap();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let files = io::source::expand(&examples, &["*/*.toml"]).unwrap().into_iter();
    let is_pipeline = |file: &PathBuf| !file.ends_with("cluster.toml");
    let texts: Vec<String> =
        files.filter(is_pipeline).map(|file| std::fs::read_to_string(file).unwrap()).collect();
    assert!(texts.len() >= 5);
    for text in texts.iter().map(String::as_str).chain([EVERYTHING, include_str!("stored.toml")]) {
        assert_eq!(unknown(&schema, &read(text)), [""; 0], "{text}");
    }
    let wrong = "[sources.x]\nfile='x'\n[stage.a]\nrun='a'\npartitons=1\nbatch={max=1}\n";
    assert_eq!(unknown(&schema, &read(wrong)), ["sources", "stage.a.batch.max", "stage.a.partitons"]);
}

#[test]
fn every_row_that_changes_results_and_no_other_changes_the_fingerprint() {
    let (mut unchangeable, mut changeable) = (BTreeSet::new(), BTreeSet::new());
    for place in places() {
        let base = place.read(None).unwrap();
        for (class, candidates) in place.candidates() {
            let mut read = candidates.iter().filter_map(|text| place.read(Some(text)).ok());
            match read.find(|pipeline| *pipeline != base) {
                Some(changed) => {
                    let differs = fingerprint(&changed) != fingerprint(&base);
                    assert_eq!(differs, class == Class::Results, "{place:?} {candidates:?}");
                    changeable.insert(place.key.name);
                }
                None => _ = unchangeable.insert(place.key.name),
            }
        }
    }
    let with_one_value: Vec<_> = unchangeable.difference(&changeable).copied().collect();
    // `idle` and `since` are of files that are followed, `sample_…` of a `sample`.
    assert_eq!(with_one_value, ["idle", "order", "sample_by", "sample_seed", "since", "stdin", "stdout"]);
}

/// Keys whose examples a file takes only beside other keys.
const NOT_ALONE: &[&str] = &["since", "idle", "sample_by", "sample_seed", "stage"];

#[test]
fn every_example_of_a_key_can_stand_in_a_file() {
    let mut wrong = Vec::new();
    let places = places();
    for entry in catalog::all() {
        let example = entry.example();
        let (name, value) = example.split_once(" = ").unwrap();
        let value = if name == "from" { "\"t\"" } else { value };
        let is_of = |place: &&Place| {
            place.table == entry.table && place.key.name == name && place.key.name != place.kind.0
        };
        // Not every kind of a table takes all that another takes: one that does is enough.
        let read: Vec<_> = places.iter().filter(is_of).map(|place| place.read(Some(value))).collect();
        if !read.is_empty() && !read.iter().any(Result::is_ok) && !NOT_ALONE.contains(&name) {
            let errors = read.into_iter().filter_map(Result::err).map(|error| error.to_string());
            wrong.push(format!("{}: {example}\n{}", entry.whole(), errors.collect::<Vec<_>>().join("\n")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
