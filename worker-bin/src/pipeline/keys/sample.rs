//! `sample`, `sample_by` and `sample_seed`: a part of a source's records.

use super::partition_by::{KeyRule, Rule};
use super::value::{Value, any_of, variable};
use crate::pipeline::diagnostics::{At, Problem};
use crate::pipeline::reader::{KeyValue, Reader};
use crate::pipeline::text::quoted;
use serde_json::json;
use std::path::Path;

pub(crate) const EXPECTED: &str = "a percentage above 0, such as \"1%\", \"0.05%\" or \"50%\"";

/// How many digits a percentage may have behind its point.
const DECIMALS: usize = 7;
/// In so many parts a share is counted.
const WHOLE: u64 = 1_000_000_000;

/// A part of the whole, of which there are 10⁹: above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share(u64);

/// What a source says of the part of its records that goes on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// `None`: all of them.
    pub share: Option<Share>,
    /// What records have in common that go on together; `None`: each for itself.
    pub by: Option<KeyRule>,
    pub seed: Option<u64>,
    pub(crate) by_at: At,
    seed_at: At,
}

impl Share {
    /// `None` if the text is no percentage, none of it, or more than the whole.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let number = text.trim().strip_suffix('%')?.trim();
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(part) || part.len() > DECIMALS {
            return None;
        }
        let part: u64 = format!("{part:0<DECIMALS$}").parse().ok()?;
        let whole: u64 = whole.parse().ok().filter(|&whole| whole <= 100)?;
        let parts = whole * (WHOLE / 100) + part;
        (1..=WHOLE).contains(&parts).then_some(Self(parts))
    }

    /// Whether a hash, all of which are equally likely, is of this part.
    #[must_use]
    pub fn has(self, hash: u64) -> bool {
        u128::from(hash) * u128::from(WHOLE) < u128::from(self.0) << 64
    }
}

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, part) = (self.0 / (WHOLE / 100), self.0 % (WHOLE / 100));
        let part = format!(".{part:0DECIMALS$}");
        write!(f, "{whole}{}%", part.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl Sample {
    pub(crate) fn set_by(&mut self, by: Option<KeyRule>, at: At) {
        (self.by, self.by_at) = (by, at);
    }

    pub(crate) fn set_seed(&mut self, seed: Option<u64>, at: At) {
        (self.seed, self.seed_at) = (seed, at);
    }

    /// What is wrong with them together.
    pub(crate) fn problem(&self) -> Option<Problem> {
        let (key, at) = match (self.share, &self.by, self.seed) {
            (Some(_), ..) | (None, None, None) => return None,
            (None, Some(_), _) => ("sample_by", &self.by_at),
            (None, None, Some(_)) => ("sample_seed", &self.seed_at),
        };
        let problem = Problem::at(at, format!("`{key}` belongs to `sample`"), "all records go on");
        Some(problem.help("say how many, such as sample = \"1%\", or remove it"))
    }
}

/// A share as a file writes it.
pub(crate) struct ShareText;

impl Value for ShareText {
    type T = Share;

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<Share> {
        if !entry.is_string() {
            return reader.wrong_type(entry.key, entry.value, EXPECTED);
        }
        let share = Share::parse(&reader.string(entry)?);
        share.or_else(|| reader.not_a(entry, "a part of the records", EXPECTED))
    }

    fn text(&self, share: &Share, _: &Path) -> Option<String> {
        Some(quoted(&share.to_string()))
    }

    fn schema(&self) -> serde_json::Value {
        let some = r"^\s*0*(100(\.0{1,7})?|[1-9][0-9]?(\.[0-9]{1,7})?|0\.[0-9]{0,6}[1-9][0-9]{0,6})\s*%\s*$";
        let (title, examples) = ("a percentage such as \"1%\"", ["1%"]);
        any_of([json!({"type": "string", "pattern": some, "title": title, "examples": examples}), variable()])
    }
}

/// What decides, as a file writes it: a rule for what records have themselves.
pub(crate) struct OfRecords;

impl Value for OfRecords {
    type T = KeyRule;

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<KeyRule> {
        match Rule.read(reader, entry)? {
            KeyRule::Answer => {
                let title = format!("`{}` cannot be \"key\"", entry.key);
                let problem = Problem::at(&entry.at(), title, "only answers of a program name a key");
                reader.fail(problem.help("say where it is in a record, such as { field = 1 }"))
            }
            rule @ (KeyRule::Field { .. } | KeyRule::Csv(_) | KeyRule::Json(_) | KeyRule::Record) => {
                Some(rule)
            }
        }
    }

    fn text(&self, rule: &KeyRule, dir: &Path) -> Option<String> {
        Rule.text(rule, dir)
    }

    fn schema(&self) -> serde_json::Value {
        Rule::of_records()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_percentage_of_something_and_no_more_than_all() {
        for (text, printed) in [
            ("1%", "1%"),
            (" 0.05 % ", "0.05%"),
            ("100%", "100%"),
            ("99.9999999%", "99.9999999%"),
            ("0.0000001%", "0.0000001%"),
            ("12.50%", "12.5%"),
        ] {
            assert_eq!(Share::parse(text).map(|share| share.to_string()).as_deref(), Some(printed), "{text}");
        }
        for text in [
            "10",
            "0%",
            "0.0%",
            "-1%",
            "101%",
            "100.1%",
            "%",
            "1.%",
            ".5%",
            "1,5%",
            "1e1%",
            "x%",
            "0.00000001%",
            "99999999999999999999%",
        ] {
            assert_eq!(Share::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_share_has_as_many_hashes_as_it_says() {
        let has = |text: &str, hash| Share::parse(text).unwrap().has(hash);
        assert!(has("100%", u64::MAX) && has("50%", u64::MAX / 2) && !has("50%", u64::MAX / 2 + 2));
        assert!(has("0.0000001%", 0) && !has("0.0000001%", 1 << 40));
    }
}
