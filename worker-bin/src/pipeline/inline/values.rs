//! From the value of an option to the lines of the file.

use crate::io::framing::{Framing, FramingError};
use crate::pipeline::diagnostics::listed;
use crate::pipeline::keys::framing::in_file;
use crate::pipeline::keys::rate::{EXPECTED as RATE_EXPECTED, Rate};
use crate::pipeline::keys::sample::{self, Share};
use crate::pipeline::text::quoted;
use crate::text::units::{parse_duration, parse_size};

/// Keys of a table and their values, as the file writes both.
pub(super) type Lines = Vec<(&'static str, String)>;

pub(super) fn word(key: &'static str, text: &str, words: &[&str]) -> Result<Lines, String> {
    match words.contains(&text) {
        true => Ok(vec![(key, quoted(text))]),
        false => Err(format!("expected {}", listed(words.iter().copied(), '"', "or"))),
    }
}

pub(super) fn text(key: &'static str, text: &str) -> Result<Lines, String> {
    if text.is_empty() { Err("expected some text".to_owned()) } else { Ok(vec![(key, quoted(text))]) }
}

pub(super) fn number(key: &'static str, text: &str) -> Result<Lines, String> {
    let number: Option<u32> = text.parse().ok().filter(|number| *number > 0);
    let number = number.ok_or_else(|| "expected a whole number from 1 on".to_owned())?;
    Ok(vec![(key, number.to_string())])
}

/// `5000/s` or `2MiB/s`.
pub(super) fn rate(text: &str) -> Result<Lines, String> {
    let rate = Rate::parse(text).ok_or_else(|| format!("expected {RATE_EXPECTED}"))?;
    Ok(vec![("rate", quoted(&rate.to_string()))])
}

/// `1000` or `64KiB`.
pub(super) fn burst(text: &str) -> Result<Lines, String> {
    let expected = || "expected a whole number from 1 on, or a size such as 64KiB".to_owned();
    parse_size(text).filter(|&size| size > 0).ok_or_else(expected)?;
    let is_plain = text.trim().bytes().all(|byte| byte.is_ascii_digit());
    Ok(vec![("burst", if is_plain { text.trim().to_owned() } else { quoted(text.trim()) })])
}

pub(super) fn ok_exit(text: &str) -> Result<Lines, String> {
    let statuses: Result<Vec<u8>, _> = text.split(',').map(|status| status.trim().parse()).collect();
    let statuses = statuses.map_err(|_| "expected exit statuses from 0 to 255, such as 0,1".to_owned())?;
    Ok(vec![("ok_exit", format!("{statuses:?}"))])
}

/// `csv`, `start=^>`, `lines=4` and the like.
pub(super) fn framing(text: &str) -> Result<Lines, String> {
    let framing: Framing = text.parse().map_err(|error: FramingError| error.to_string())?;
    Ok(vec![("framing", in_file(&framing))])
}

/// `7`, `1:,`, `csv:state`, `csv:4`, `json:/user/id` or `record`.
pub(super) fn key(name: &'static str, text: &str) -> Result<Lines, String> {
    let expected = || {
        "expected FIELD or FIELD:DELIMITER, csv:NAME, csv:N, json:/POINTER or record, such as 7, 1:, or csv:state".to_owned()
    };
    let field = |text: &str| text.parse().ok().filter(|index: &u32| *index > 0);
    let rule = match text.split_once(':') {
        None if text == "record" || text == "key" => quoted(text),
        None => format!("{{ field = {} }}", field(text).ok_or_else(expected)?),
        Some(("csv" | "json", "")) => return Err(expected()),
        Some(("csv", column)) => match column.parse::<u32>() {
            Ok(0) => return Err("expected columns to count from 1".to_owned()),
            Ok(number) => format!("{{ csv = {number} }}"),
            Err(_) => format!("{{ csv = {} }}", quoted(column)),
        },
        Some(("json", pointer)) if !pointer.starts_with('/') => {
            return Err(format!(
                "expected a JSON pointer, which starts with /, such as json:/{}",
                pointer.replace('.', "/")
            ));
        }
        Some(("json", pointer)) => format!("{{ json = {} }}", quoted(pointer)),
        Some((_, "")) => {
            return Err("expected a delimiter behind the colon; without one, blanks part fields".to_owned());
        }
        Some((index, delimiter)) => {
            let index = field(index).ok_or_else(expected)?;
            let delimiter = if delimiter == "\\t" { "\t" } else { delimiter };
            format!("{{ field = {index}, delimiter = {} }}", quoted(delimiter))
        }
    };
    Ok(vec![(name, rule)])
}

pub(super) fn share(text: &str) -> Result<Lines, String> {
    Share::parse(text).ok_or_else(|| format!("expected {}", sample::EXPECTED.replace('"', "")))?;
    Ok(vec![("sample", quoted(text))])
}

pub(super) fn seed(text: &str) -> Result<Lines, String> {
    let seed = text.parse::<u64>().ok().filter(|&seed| seed <= i64::MAX as u64);
    let seed = seed.ok_or_else(|| "expected a whole number from 0 on".to_owned())?;
    Ok(vec![("sample_seed", seed.to_string())])
}

/// `1MiB` or `1000records`.
pub(super) fn batch(text: &str) -> Result<Lines, String> {
    let expected = || "expected bytes such as 1MiB, or records such as 1000records".to_owned();
    if let Some(records) = records(text) {
        return Ok(vec![("batch.max_records", records.ok_or_else(expected)?)]);
    }
    let bytes = size(text).ok_or_else(expected)?;
    if text.trim().bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("expected a unit: {text}B for bytes, or {text}records"));
    }
    Ok(vec![("batch.max_bytes", bytes)])
}

/// `1m` or `1000records`.
pub(super) fn window(text: &str) -> Result<Lines, String> {
    let expected = || "expected a duration such as 1m, or records such as 1000records".to_owned();
    let window = match records(text) {
        Some(records) => format!("{{ records = {} }}", records.ok_or_else(expected)?),
        None => format!("{{ every = {} }}", time(text).ok_or_else(expected)?),
    };
    Ok(vec![("window", window)])
}

pub(super) fn retries(text: &str) -> Result<Lines, String> {
    let retries: Option<u32> = text.parse().ok().filter(|retries| *retries < u32::MAX);
    let retries = retries.ok_or_else(|| "expected how often it is tried again, from 0 on".to_owned())?;
    Ok(vec![("retry.max_attempts", (retries + 1).to_string())])
}

pub(super) fn timeout(text: &str) -> Result<Lines, String> {
    let timeout = if text == "off" { Some(quoted(text)) } else { time(text) };
    let timeout = timeout.ok_or_else(|| "expected a duration such as 30s or 1m, or off".to_owned())?;
    Ok(vec![("timeout", timeout)])
}

pub(super) fn idle(text: &str) -> Result<Lines, String> {
    let idle = time(text).ok_or_else(|| "expected a duration such as 30s or 10m".to_owned())?;
    Ok(vec![("idle", idle)])
}

pub(super) fn max_record(text: &str) -> Result<Lines, String> {
    let bytes =
        size(text).ok_or_else(|| "expected a size such as 8MiB, 64KB or a number of bytes".to_owned())?;
    Ok(vec![("max_record", bytes)])
}

/// A path, or `-` for standard output.
pub(super) fn output(path: &str) -> Result<Lines, String> {
    match path {
        "-" => Ok(vec![("stdout", "true".to_owned())]),
        path => text("file", path),
    }
}

/// A number of records, if it is meant to be one; `Some(None)`: it cannot be.
fn records(text: &str) -> Option<Option<String>> {
    let number = text.strip_suffix("records").or_else(|| text.strip_suffix("record"))?;
    let number = number.trim().parse::<u64>().ok().filter(|number| (1..=i64::MAX as u64).contains(number));
    Some(number.map(|number| number.to_string()))
}

fn size(text: &str) -> Option<String> {
    parse_size(text).filter(|&bytes| bytes > 0 && bytes <= i64::MAX as u64)?;
    Some(quoted(text))
}

fn time(text: &str) -> Option<String> {
    parse_duration(text).filter(|time| !time.is_zero())?;
    Some(quoted(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_field_a_column_or_a_place() {
        for (text, rule) in [
            ("7", "{ field = 7 }"),
            ("1:,", "{ field = 1, delimiter = \",\" }"),
            ("2::", "{ field = 2, delimiter = \":\" }"),
            ("2:\\t", "{ field = 2, delimiter = \"\\t\" }"),
            ("csv:state", "{ csv = \"state\" }"),
            ("csv:a b:c", "{ csv = \"a b:c\" }"),
            ("csv:4", "{ csv = 4 }"),
            ("json:/user/id", "{ json = \"/user/id\" }"),
            ("record", "\"record\""),
        ] {
            assert_eq!(key("partition_by", text), Ok(vec![("partition_by", rule.to_owned())]), "{text}");
        }
        for (text, words) in [
            ("0", "FIELD"),
            ("state", "csv:NAME"),
            ("csv:", "csv:NAME"),
            ("csv:0", "from 1"),
            ("json:user.id", "json:/user/id"),
            ("1:", "delimiter"),
            ("x:,", "FIELD"),
        ] {
            assert!(
                key("partition_by", text).unwrap_err().contains(words),
                "{text}: {:?}",
                key("partition_by", text)
            );
        }
    }

    #[test]
    fn a_batch_is_of_bytes_or_of_records() {
        assert_eq!(batch("1MiB"), Ok(vec![("batch.max_bytes", "\"1MiB\"".to_owned())]));
        assert_eq!(batch("1000records"), Ok(vec![("batch.max_records", "1000".to_owned())]));
        assert_eq!(batch("1record"), Ok(vec![("batch.max_records", "1".to_owned())]));
        for (text, words) in [("1000", "1000B"), ("0records", "1000records"), ("x", "1MiB"), ("0B", "1MiB")] {
            assert!(batch(text).unwrap_err().contains(words), "{text}: {:?}", batch(text));
        }
    }

    #[test]
    fn retries_come_behind_the_first_attempt() {
        assert_eq!(retries("0"), Ok(vec![("retry.max_attempts", "1".to_owned())]));
        assert!(retries("-1").is_err() && retries("4294967295").is_err());
    }

    #[test]
    fn times_are_above_zero() {
        assert_eq!(timeout("off"), Ok(vec![("timeout", "\"off\"".to_owned())]));
        assert!(timeout("0s").is_err() && timeout("30").is_err() && window("0s").is_err());
        assert_eq!(window("5records"), Ok(vec![("window", "{ records = 5 }".to_owned())]));
    }
}
