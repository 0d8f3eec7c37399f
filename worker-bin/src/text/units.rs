//! Sizes, durations, shares and numbers: as people write them, and as they are said to people.

use std::time::Duration;
pub use worker_core::words::number;

const SIZES: [(&str, u64); 8] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

const DURATIONS: [(&str, u64); 6] = [
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];

/// What a size looks like, for messages.
pub(crate) const SIZE_EXPECTED: &str = "a size such as \"8MiB\", \"64KB\" or a number of bytes";

/// What a duration looks like, for messages.
pub(crate) const DURATION_EXPECTED: &str = "a duration such as \"100ms\", \"30s\", \"1m\" or \"2h\"";

/// Bytes from `8MiB`, `64KB`, `100B` or a plain number.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "" | "B" => 1,
        _ => SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1,
    };
    number.checked_mul(factor)
}

/// A duration from `100ms`, `30s`, `1m`, `2h`; the unit is never left out.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let (_, micros) = DURATIONS.iter().find(|(name, _)| *name == unit)?;
    Some(Duration::from_micros(number.checked_mul(*micros)?))
}

/// A share from `1%` or `0.5%`, between 0 and 1.
#[must_use]
pub fn parse_share(text: &str) -> Option<f64> {
    let number = text.trim().strip_suffix('%')?.trim();
    let is_plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let percent: f64 = number.parse().ok().filter(|_| is_plain)?;
    (0.0..=100.0).contains(&percent).then_some(percent / 100.0)
}

/// The shortest text that [`parse_size`] reads back: `8MiB`, `1000B`.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    SIZES[..4]
        .iter()
        .rev()
        .find(|&&(_, factor)| bytes > 0 && bytes.is_multiple_of(factor))
        .map_or_else(|| format!("{bytes}B"), |(name, factor)| format!("{}{name}", bytes / factor))
}

/// The shortest text that [`parse_duration`] reads back: `90s`, `2h`.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    if micros == 0 {
        return "0s".to_owned();
    }
    let (name, factor) =
        DURATIONS.iter().rev().find(|&&(_, factor)| micros.is_multiple_of(factor)).unwrap_or(&DURATIONS[0]);
    format!("{}{name}", micros / factor)
}

/// The text that [`parse_share`] reads back: `1%`.
#[must_use]
pub fn format_share(share: f64) -> String {
    let percent = share * 100.0;
    let rounded = format!("{:.6}", percent);
    format!("{}%", rounded.trim_end_matches('0').trim_end_matches('.'))
}

/// A duration as people say it: `0.4 s`, `12 s`, `3 min 5 s`, `2 h 4 min`.
#[must_use]
pub fn duration(seconds: f64) -> String {
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    let whole = std::time::Duration::try_from_secs_f64(seconds).map_or(0, |d| d.as_secs());
    match whole {
        0..=99 => format!("{} s", seconds.round()),
        100..=5999 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// How many hundredths of `all` the `part` is: never 100 before it is all of it.
#[must_use]
pub fn per_cent(part: u64, all: u64) -> u64 {
    let share = u128::from(part.min(all)) * 100 / u128::from(all.max(1));
    u64::try_from(share).unwrap_or(100)
}

/// Bytes as people say them: `812 B`, `12 MiB`, `1.2 GiB`.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1023.5 {
            let digits = usize::from(value < 9.95 && unit != "B");
            return format!("{value:.digits$} {unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number = text[..digits].parse().ok()?;
    Some((number, text[digits..].trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_take_binary_and_decimal_units_and_plain_bytes() {
        assert_eq!(parse_size("8MiB"), Some(8 << 20));
        assert_eq!(parse_size("64KB"), Some(64_000));
        assert_eq!(parse_size("64 kb"), Some(64_000));
        assert_eq!(parse_size("123"), Some(123));
        for bad in ["", "MiB", "8 parsecs", "-1", "1.5MiB", "99999999999TiB"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations_need_their_unit() {
        assert_eq!(parse_duration("100ms"), Some(Duration::from_millis(100)));
        assert_eq!(parse_duration("2h"), Some(Duration::from_secs(7200)));
        for bad in ["30", "s", "1 year", "-1s"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn shares_are_percentages_up_to_a_hundred() {
        assert_eq!(parse_share("1%"), Some(0.01));
        assert_eq!(parse_share("0.5 %"), Some(0.005));
        for bad in ["1", "101%", "-1%", "%", "NaN%", "1e1%", "+1%", ".%"] {
            assert_eq!(parse_share(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_formatted_reads_back(bytes in any::<u64>(), micros in any::<u64>(), tenths in 0u32..1000) {
            prop_assert_eq!(parse_size(&format_size(bytes)), Some(bytes));
            let duration = Duration::from_micros(micros);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Some(duration));
            let share = f64::from(tenths) / 1000.0;
            let back = parse_share(&format_share(share)).unwrap();
            prop_assert!((back - share).abs() < 1e-9);
        }
    }
}
