//! Values as a pipeline file writes them.

use super::model::{Column, EnvValue, Exists, Header, KeyRule, Pipeline, Program};
use super::units::format_duration;
use std::collections::BTreeMap;
use worker_core::config::Window;

pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A list of TOML strings.
pub(super) fn list<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.map(quoted).collect();
    format!("[{}]", words.join(", "))
}

/// A name as a part of a table's or value's name.
pub(super) fn quoted_key(name: &str) -> String {
    if name.contains('.') { quoted(name) } else { name.to_owned() }
}

pub(super) fn header(header: Header) -> String {
    quoted(match header {
        Header::Keep => "keep",
        Header::Skip => "skip",
        Header::Repeat => "repeat",
    })
}

pub(super) fn exists(exists: Exists) -> String {
    quoted(match exists {
        Exists::Error => "error",
        Exists::Replace => "replace",
        Exists::Append => "append",
    })
}

pub(super) fn window(window: Window) -> String {
    match window {
        Window::Every(every) => format!("{{ every = {} }}", quoted(&format_duration(every))),
        Window::Records(records) => format!("{{ records = {records} }}"),
    }
}

pub(super) fn rule(rule: &KeyRule) -> String {
    match rule {
        KeyRule::Field { index, delimiter: None } => format!("{{ field = {index} }}"),
        KeyRule::Field { index, delimiter: Some(text) } => {
            format!("{{ field = {index}, delimiter = {} }}", quoted(text))
        }
        KeyRule::Csv(Column::Number(number)) => format!("{{ csv = {number} }}"),
        KeyRule::Csv(Column::Name(name)) => format!("{{ csv = {} }}", quoted(name)),
        KeyRule::Json(pointer) => format!("{{ json = {} }}", quoted(pointer)),
        KeyRule::Record => quoted("record"),
        KeyRule::Answer => quoted("key"),
    }
}

pub(super) fn argv(program: &Program) -> String {
    list(program.argv.iter().map(String::as_str))
}

/// A program's directory, relative to the pipeline's where it lies below.
pub(super) fn cwd(pipeline: &Pipeline, program: &Program) -> String {
    quoted(&pipeline.shown_path(&program.cwd).to_string_lossy())
}

pub(super) fn environment(pipeline: &Pipeline, env: &BTreeMap<String, EnvValue>) -> String {
    let variables: Vec<String> = env
        .iter()
        .map(|(name, value)| {
            let value = match value {
                EnvValue::Text(text) => quoted(text),
                EnvValue::Env(name) => format!("{{ env = {} }}", quoted(name)),
                EnvValue::File(path) => {
                    format!("{{ file = {} }}", quoted(&pipeline.shown_path(path).to_string_lossy()))
                }
            };
            format!("{} = {value}", quoted(name))
        })
        .collect();
    format!("{{ {} }}", variables.join(", "))
}
