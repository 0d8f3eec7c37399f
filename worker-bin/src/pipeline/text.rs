//! Values as a pipeline file writes them.

use crate::text::pathname;

pub(crate) fn quoted(text: &str) -> String {
    if text.contains(|c| pathname::byte(c).is_some()) {
        return with_bytes(text);
    }
    toml::Value::String(text.to_owned()).to_string()
}

/// A list of TOML strings.
pub(crate) fn list<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.map(quoted).collect();
    format!("[{}]", words.join(", "))
}

/// A name as a part of a table's or value's name.
pub(crate) fn quoted_key(name: &str) -> String {
    if name.contains('.') { quoted(name) } else { name.to_owned() }
}

/// As a string in which one sees which characters stand for bytes.
fn with_bytes(text: &str) -> String {
    let shown = text.chars().map(|c| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_control() || pathname::byte(c).is_some() => format!("\\U{:08X}", u32::from(c)),
        c => c.to_string(),
    });
    format!("\"{}\"", shown.collect::<String>())
}
