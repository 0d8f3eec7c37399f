//! What the reader takes, the schema takes: an editor that underlines a good file is not believed again.

use super::keys::{Place, places};
use crate::pipeline::schema_of_pipelines;
use regex_lite::Regex;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

/// Numbers, sizes, times, shares, rates and words, good and bad, as strings and not, alone and in lists and tables.
fn values() -> Vec<String> {
    let plain = [
        "true",
        "false",
        "0",
        "7",
        "+7",
        "1_000",
        "0x10",
        "-1",
        "4294967296",
        "7.5",
        "1979-05-27",
        "[]",
        "{}",
    ];
    let numbers = ["", "7", "07", "7.5", ".5", "1e1", "+7", "{{n}}"];
    let units = ["", "B", "kib", " MB ", "us", "ms ", "m", "d", "w", "%", " % ", "/s", " / m "];
    let words = [
        "off",
        "memory",
        "exactly-once",
        "halt",
        "skip",
        "cut",
        "replace",
        "lines",
        "nul",
        "key",
        "record",
        "x",
        "/x",
        "x/",
        "any",
        "inline",
        "always",
        "never",
        "on-failure",
        "repeat",
        "stream",
        "other",
        "${x}",
        "{{n}}x",
        "[",
        "dead-letter",
        "done",
    ];
    let strings =
        numbers.iter().flat_map(|number| units.iter().map(move |unit| format!("\"{number}{unit}\"")));
    let mut values: Vec<String> = plain.into_iter().map(str::to_owned).chain(strings).collect();
    values.extend(words.map(|word| format!("\"{word}\"")));
    for inner in ["7", "\"7\"", "\"\"", "\"x\"", "\"/x\"", "300", "\"t\", \"other\"", "7, 7"] {
        values.push(format!("[{inner}]"));
        for key in ["field", "csv", "json", "every", "records", "A", "delimiter", "env"] {
            values.push(format!("{{ {key} = {inner} }}"));
        }
    }
    values.extend(
        ["{ every = \"7 s \" }", "{ A = { env = \"B\" } }", "{ A = { file = \"b\" } }"].map(str::to_owned),
    );
    values.push("{ field = 7, delimiter = \",\" }".to_owned());
    values
}

/// Each row once, though several kinds or modes have it, with the texts that it may have as a value.
fn rows() -> Vec<(Place, Vec<String>)> {
    let mut seen = BTreeSet::new();
    let once = |place: &Place| seen.insert((place.table, place.key.name, place.key.inner.len()));
    let texts = |place: Place| {
        let of = |key: &str, value: &String| format!("{{ {key} = {value} }}");
        let inner = place.key.inner.iter();
        let inner: Vec<String> = inner
            .flat_map(|key| values().iter().map(|value| of(key.name, value)).collect::<Vec<_>>())
            .collect();
        (place, [values(), inner].concat())
    };
    places().into_iter().filter(once).map(texts).collect()
}

#[test]
fn the_schema_takes_what_the_reader_takes() {
    let schema = schema_of_pipelines();
    let json = |file: &str| Some(serde_json::to_value(toml::from_str::<toml::Table>(file).ok()?).unwrap());
    let (mut taken, mut refused_by_both, mut wrong) = (0, 0, Vec::new());
    for (place, texts) in rows() {
        assert_eq!(refused(&schema, &json(&place.file(None)).unwrap(), ""), None, "{place:?}");
        for text in texts {
            let Some(value) = json(&format!("value = {text}")) else { continue };
            let told = refused(schema.pointer(&place.schema()).unwrap(), &value["value"], place.key.name);
            let vars = if text.contains("{{n}}") { "[vars]\nn = 7\n" } else { "" };
            match (super::read(&(place.file(Some(&text)) + vars)), told) {
                (Ok(_), None) => taken += 1,
                (Ok(_), Some(why)) => wrong.push(format!("{}: {text}: {why}", place.table)),
                (Err(_), told) => refused_by_both += usize::from(told.is_some()),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(taken > 1_000 && refused_by_both > 1_000, "{taken} {refused_by_both}");
}

#[test]
fn the_schema_refuses_what_can_be_written_of_the_readers_refusals() {
    let schema = schema_of_pipelines();
    let all = places();
    for (key, bad) in [
        ("timeout", "\"0s\""),
        ("window", "{ every = \"00ms\" }"),
        ("tick", "\"0s\""),
        ("max_dead", "\"101%\""),
        ("max_dead", "\"100.5%\""),
        ("env", "{ \"A=B\" = \"x\" }"),
        ("env", "{ \"\" = \"x\" }"),
        ("partitions", "0"),
        ("rate", "\"0/s\""),
    ] {
        let place = all.iter().find(|place| place.key.name == key || inner(place, key)).unwrap();
        let text = if place.key.name == key { bad.to_owned() } else { format!("{{ {key} = {bad} }}") };
        assert!(place.read(Some(&text)).is_err(), "{key} = {bad}");
        let value = toml::from_str::<toml::Table>(&format!("value = {text}")).unwrap();
        let value = serde_json::to_value(&value["value"]).unwrap();
        assert!(refused(schema.pointer(&place.schema()).unwrap(), &value, key).is_some(), "{key} = {bad}");
    }
}

fn inner(place: &Place, key: &str) -> bool {
    place.key.inner.iter().any(|inner| inner.name == key)
}

/// Why a schema refuses a value, with those words of JSON Schema that ours use; one that is new here is no silent yes.
fn refused(schema: &Value, value: &Value, at: &str) -> Option<String> {
    if schema == &json!(false) {
        return Some(format!("{at} is not known"));
    }
    let is_fine = |schema: &Value| refused(schema, value, at).is_none();
    let all = |schemas: &Value| schemas.as_array().unwrap().iter().find_map(|one| refused(one, value, at));
    let has = |key: &Value| value.get(key.as_str().unwrap()).is_some();
    let words = schema.as_object().unwrap();
    for (word, rule) in words {
        let why = match word.as_str() {
            "description" | "default" | "title" | "$schema" | "then" => None,
            "properties" => {
                object(value).find_map(|(key, value)| refused(rule.get(key)?, value, &format!("{at}/{key}")))
            }
            "additionalProperties" => object(value)
                .filter(|(key, _)| words.get("properties").is_none_or(|known| known.get(key).is_none()))
                .find_map(|(key, value)| refused(rule, value, &format!("{at}/{key}"))),
            "propertyNames" => object(value).find_map(|(key, _)| refused(rule, &json!(key), at)),
            "items" => value.as_array().into_iter().flatten().find_map(|value| refused(rule, value, at)),
            "allOf" => all(rule),
            "if" if is_fine(rule) => refused(&schema["then"], value, at),
            "if" => None,
            "anyOf" => {
                (!rule.as_array().unwrap().iter().any(is_fine)).then(|| format!("{at}: none of {rule}"))
            }
            "oneOf" => (rule.as_array().unwrap().iter().filter(|one| is_fine(one)).count() != 1)
                .then(|| format!("{at}: not one of {rule}")),
            "not" => is_fine(rule).then(|| format!("{at}: {rule}")),
            _ => (!keeps(word, rule, value, &has)).then(|| format!("{at}: {word} {rule}, not {value}")),
        };
        if why.is_some() {
            return why;
        }
    }
    None
}

/// Words of a schema that have none in them.
fn keeps(word: &str, rule: &Value, value: &Value, has: &dyn Fn(&Value) -> bool) -> bool {
    let number = |value: &Value| value.as_f64();
    match word {
        "type" if rule.is_array() => {
            rule.as_array().unwrap().iter().any(|rule| keeps(word, rule, value, has))
        }
        "type" => match rule.as_str().unwrap() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            other => panic!("a type {other}"),
        },
        "enum" => rule.as_array().unwrap().contains(value),
        "const" => rule == value,
        "pattern" => value.as_str().is_none_or(|text| pattern(rule.as_str().unwrap()).is_match(text)),
        "minLength" => {
            value.as_str().is_none_or(|text| text.chars().count() as u64 >= rule.as_u64().unwrap())
        }
        "minProperties" => value.as_object().is_none_or(|table| table.len() as u64 >= rule.as_u64().unwrap()),
        "minItems" => value.as_array().is_none_or(|list| list.len() as u64 >= rule.as_u64().unwrap()),
        "minimum" => number(value).is_none_or(|n| n >= number(rule).unwrap()),
        "maximum" => number(value).is_none_or(|n| n <= number(rule).unwrap()),
        "required" => !value.is_object() || rule.as_array().unwrap().iter().all(has),
        // What people and editors are told.
        "examples" | "title" => true,
        "dependencies" => rule
            .as_object()
            .unwrap()
            .iter()
            .all(|(key, others)| value.get(key).is_none() || others.as_array().unwrap().iter().all(has)),
        other => panic!("{other} is a word of schemas that this test does not know"),
    }
}

/// A pattern, compiled once.
fn pattern(text: &str) -> Regex {
    static KNOWN: Mutex<BTreeMap<String, Regex>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap();
    known.entry(text.to_owned()).or_insert_with(|| Regex::new(text).unwrap()).clone()
}

fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}
