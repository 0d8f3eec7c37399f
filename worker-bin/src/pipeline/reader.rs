//! Reads a TOML document key by key and collects everything that is wrong with it.

mod brackets;

use super::diagnostics::{At, Problem, listed};
use super::vars::Vars;
use crate::text::names::suggestion;
use crate::text::pathname;
use crate::text::units;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Keys that people may have read of and that do not exist yet; no other key is meant by them.
const LATER_KEYS: [&str; 1] = ["shared"];

/// A value and where it stands.
pub(crate) type Value<'d> = Spanned<DeValue<'d>>;

/// Problems so far, and what is needed to understand values.
#[derive(Debug)]
pub(crate) struct Reader<'d> {
    pub(super) text: &'d str,
    /// Where relative paths start; absolute.
    pub(crate) dir: &'d Path,
    pub(super) vars: Vars,
    pub(crate) problems: Vec<Problem>,
}

/// A table whose keys are asked for one by one; what is left at the end is unknown.
#[derive(Debug)]
pub(crate) struct Table<'d> {
    /// How messages call it, such as `[stage.errors]`.
    pub(crate) title: String,
    entries: Vec<KeyValue<'d>>,
    asked: Vec<&'static str>,
}

/// One key and its value.
#[derive(Clone, Debug)]
pub(crate) struct KeyValue<'d> {
    pub(crate) key: &'d str,
    pub(crate) key_at: At,
    pub(crate) value: &'d Value<'d>,
}

impl<'d> Table<'d> {
    /// Entries in the order of the file.
    pub(crate) fn new(title: impl Into<String>, table: &'d DeTable<'d>) -> Self {
        let mut entries: Vec<KeyValue<'d>> = table
            .iter()
            .map(|(key, value)| KeyValue { key: key.get_ref(), key_at: At(key.span()), value })
            .collect();
        entries.sort_by_key(|entry| entry.key_at.0.start);
        Self { title: title.into(), entries, asked: Vec::new() }
    }

    /// One of keys that were taken from another.
    pub(crate) fn of(title: impl Into<String>, entries: Vec<KeyValue<'d>>) -> Self {
        Self { title: title.into(), entries, asked: Vec::new() }
    }

    /// The value of a key, which becomes known by this.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<KeyValue<'d>> {
        self.asked.push(key);
        let index = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.remove(index))
    }

    /// The value of a key that was not taken yet.
    pub(crate) fn peek(&self, key: &str) -> Option<&KeyValue<'d>> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Whether a key is there and was not taken yet.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }

    /// Whether there are keys that were not taken.
    pub(crate) fn has_more(&self) -> bool {
        !self.entries.is_empty()
    }

    /// All entries: the keys are names that the user chose.
    pub(crate) fn into_entries(self) -> Vec<KeyValue<'d>> {
        self.entries
    }

    /// Reports the keys that nobody asked for.
    pub(crate) fn finish(self, reader: &mut Reader<'_>) {
        for entry in self.entries {
            let is_later = LATER_KEYS.contains(&entry.key);
            let close = suggestion(entry.key, self.asked.iter().copied()).filter(|_| !is_later);
            let known = match close {
                Some(_) => None,
                None => Some(format!("known here: {}", self.asked.join(", "))),
            };
            reader.problems.push(
                Problem::at(
                    &entry.key_at,
                    format!("unknown key `{}` in {}", entry.key, self.title),
                    if is_later { "not in this version" } else { "not a key of this table" },
                )
                .help_if(close)
                .help_if(known),
            );
        }
    }
}

impl KeyValue<'_> {
    pub(crate) fn is_string(&self) -> bool {
        self.value.get_ref().is_str()
    }

    pub(crate) fn at(&self) -> At {
        At(self.value.span())
    }
}

impl<'d> Reader<'d> {
    pub(crate) fn table(&mut self, entry: &KeyValue<'d>, title: impl Into<String>) -> Option<Table<'d>> {
        match entry.value.get_ref().as_table() {
            Some(table) => Some(Table::new(title, table)),
            None => self.wrong_type(entry.key, entry.value, "a table"),
        }
    }

    /// A string with its variables replaced.
    pub(crate) fn string(&mut self, entry: &KeyValue<'d>) -> Option<String> {
        self.string_value(entry.key, entry.value)
    }

    pub(crate) fn string_value(&mut self, key: &str, value: &Value<'d>) -> Option<String> {
        match value.get_ref().as_str() {
            Some(text) => self.expanded(text, &At(value.span())),
            None => self.wrong_type(key, value, "a string"),
        }
    }

    pub(crate) fn expanded(&mut self, text: &str, at: &At) -> Option<String> {
        match self.vars.expand(text, at) {
            Ok(text) => Some(text),
            Err(problem) => self.fail(problem),
        }
    }

    /// A string that is not empty.
    pub(crate) fn text(&mut self, entry: &KeyValue<'d>) -> Option<String> {
        let text = self.string(entry)?;
        if text.is_empty() {
            return self.fail(Problem::at(
                &entry.at(),
                format!("`{}` is empty", entry.key),
                "expected some text",
            ));
        }
        Some(text)
    }

    /// One string or a list of them, each with its place.
    pub(crate) fn strings(&mut self, entry: &KeyValue<'d>) -> Option<Vec<(String, At)>> {
        let values: Vec<&Value<'d>> = match entry.value.get_ref().as_array() {
            Some(values) => values.iter().collect(),
            None if entry.is_string() => vec![entry.value],
            None => return self.wrong_type(entry.key, entry.value, "a string or a list of strings"),
        };
        let mut strings = Vec::with_capacity(values.len());
        for value in values {
            strings.push((self.string_value(entry.key, value)?, At(value.span())));
        }
        Some(strings)
    }

    /// A path relative to the file, made absolute.
    pub(crate) fn path(&mut self, entry: &KeyValue<'d>) -> Option<PathBuf> {
        let text = self.text(entry)?;
        self.refuse_shell_variables(&text, &entry.at())?;
        Some(super::diagnostics::normalized(self.dir, &pathname::to_path(&text)))
    }

    /// `${…}` is never replaced, so where it cannot be meant literally it is an error.
    pub(crate) fn refuse_shell_variables(&mut self, text: &str, at: &At) -> Option<()> {
        if !text.contains("${") {
            return Some(());
        }
        self.fail(
            Problem::at(at, "`${…}` is not replaced here", "this would be taken as it is")
                .help("variables of the file are written {{name}} and declared in [vars]; for the environment use env = { NAME = { env = \"NAME\" } }"),
        )
    }

    pub(crate) fn boolean(&mut self, entry: &KeyValue<'d>) -> Option<bool> {
        match entry.value.get_ref().as_bool() {
            Some(value) => Some(value),
            None => self.wrong_type(entry.key, entry.value, "true or false"),
        }
    }

    /// A whole number within bounds; `unit` is what it counts.
    pub(crate) fn integer(&mut self, key: &str, value: &Value<'d>, least: u64, most: u64) -> Option<u64> {
        let at = At(value.span());
        let text = match (value.get_ref().as_integer(), value.get_ref().as_str()) {
            (Some(number), _) => {
                let digits = number.as_str().replace('_', "");
                i128::from_str_radix(&digits, number.radix()).map_or(digits, |n| n.to_string())
            }
            (None, Some(text)) if text.contains("{{") => self.expanded(text, &at)?,
            (None, _) => return self.wrong_type(key, value, "a whole number"),
        };
        match text.parse::<u64>() {
            Ok(number) if (least..=most).contains(&number) => Some(number),
            _ => {
                let most = if most == u64::MAX { String::new() } else { format!(" and at most {most}") };
                self.fail(Problem::at(
                    &at,
                    format!("`{key}` cannot be {text}"),
                    format!("expected a whole number of at least {least}{most}"),
                ))
            }
        }
    }

    /// An integer that fits 32 bits.
    pub(crate) fn count(&mut self, entry: &KeyValue<'d>, most: u32) -> Option<u32> {
        self.integer(entry.key, entry.value, 1, u64::from(most)).and_then(|n| u32::try_from(n).ok())
    }

    /// A size in bytes, at least 1.
    pub(crate) fn size(&mut self, entry: &KeyValue<'d>) -> Option<u64> {
        if entry.value.get_ref().is_integer() {
            return self.integer(entry.key, entry.value, 1, i64::MAX as u64);
        }
        if !entry.is_string() {
            return self.wrong_type(entry.key, entry.value, units::SIZE_EXPECTED);
        }
        let size = units::parse_size(&self.string(entry)?);
        match size.filter(|&size| size > 0 && size <= i64::MAX as u64) {
            Some(size) => Some(size),
            None => self.not_a(entry, "a size", units::SIZE_EXPECTED),
        }
    }

    pub(crate) fn duration(&mut self, entry: &KeyValue<'d>) -> Option<Duration> {
        if !entry.is_string() {
            return self.wrong_type(entry.key, entry.value, units::DURATION_EXPECTED);
        }
        match units::parse_duration(&self.string(entry)?) {
            Some(duration) => Some(duration),
            None => self.not_a(entry, "a duration", units::DURATION_EXPECTED),
        }
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        entry: &KeyValue<'d>,
        choices: &[(&'static str, T)],
    ) -> Option<T> {
        let words = || choices.iter().map(|&(word, _)| word);
        if !entry.is_string() {
            return self.wrong_type(entry.key, entry.value, &listed(words(), '"', "or"));
        }
        let text = self.string(entry)?;
        if let Some(&(_, value)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(value);
        }
        let several = if choices.len() > 1 { "not one of" } else { "not" };
        self.fail(
            Problem::at(
                &entry.at(),
                format!("`{}` cannot be \"{text}\"", entry.key),
                format!("{several} {}", listed(words(), '"', "or")),
            )
            .help_if(suggestion(&text, words())),
        )
    }

    pub(crate) fn not_a<T>(&mut self, entry: &KeyValue<'d>, what: &str, expected: &str) -> Option<T> {
        self.fail(Problem::at(
            &entry.at(),
            format!("`{}` is not {what}", entry.key),
            format!("expected {expected}"),
        ))
    }

    pub(crate) fn wrong_type<T>(&mut self, key: &str, value: &Value<'d>, expected: &str) -> Option<T> {
        self.fail(Problem::at(
            &At(value.span()),
            format!("`{key}` has the wrong type"),
            format!("expected {expected}, found {}", kind(value.get_ref())),
        ))
    }

    /// Notes a problem; there is no value.
    pub(crate) fn fail<T>(&mut self, problem: Problem) -> Option<T> {
        self.problems.push(problem);
        None
    }
}

/// The whole document, or what is wrong with its syntax.
pub(super) fn parse(text: &str) -> Result<Spanned<DeTable<'_>>, Vec<Problem>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(document);
    }
    // What stands behind it is read as what it is not.
    if let Some(at) = unclosed_quote(text) {
        return Err(vec![
            Problem::at(
                &At(at),
                "this is not TOML: a quote is not closed",
                "begins here, and its line ends without it",
            )
            .help("text of several lines stands in three quotes: \"\"\" or \'\'\'"),
        ]);
    }
    if let Some((at, bracket)) = brackets::unclosed(text) {
        let title = format!("this is not TOML: a `{bracket}` is not closed");
        return Err(vec![Problem::at(&At(at), title, "begins here, and what follows is read as part of it")]);
    }
    let mut problems: Vec<Problem> = errors
        .iter()
        .map(|error| {
            let at = At(error.span().unwrap_or(text.len()..text.len()));
            let label = if error.message() == "duplicate key" { "given a second time" } else { "" };
            Problem::at(&at, format!("this is not TOML: {}", error.message()), label)
        })
        .collect();
    super::diagnostics::in_file_order(&mut problems);
    problems.dedup();
    Err(problems)
}

/// The first string that its line, or the file, ends within.
fn unclosed_quote(text: &str) -> Option<std::ops::Range<usize>> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'#' => at += memchr::memchr(b'\n', &bytes[at..]).unwrap_or(bytes.len() - at),
            b'"' | b'\'' => {
                let long = bytes[at..].starts_with(&[byte; 3]);
                let quotes = if long { 3 } else { 1 };
                let Some(length) = string_length(&bytes[at + quotes..], byte, long) else {
                    let end = memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |line| at + line);
                    return Some(at..end);
                };
                at += quotes + length;
            }
            _ => at += 1,
        }
    }
    None
}

/// How long the rest of a string is, the quotes at its end included.
fn string_length(rest: &[u8], quote: u8, long: bool) -> Option<usize> {
    let mut at = 0;
    while let Some(&byte) = rest.get(at) {
        match byte {
            b'\\' if quote == b'"' => at += 1,
            b'\n' if !long => return None,
            _ if byte == quote && !long => return Some(at + 1),
            _ if byte == quote && rest[at..].starts_with(&[quote; 3]) => {
                // Up to two quotes may stand before those that end it.
                let more = rest[at + 3..].iter().take(2).take_while(|&&b| b == quote).count();
                return Some(at + 3 + more);
            }
            _ => {}
        }
        at += 1;
    }
    None
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
