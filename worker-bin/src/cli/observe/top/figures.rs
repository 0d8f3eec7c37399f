//! Numbers and texts in little room.

use crate::explain::StageKind;
use crate::text::escape::visible;

/// Heights of a curve, from nothing to the most.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A number in at most six characters: `812`, `12.3k`, `4.56M`.
pub(super) fn short(number: f64) -> String {
    if !number.is_finite() || number < 0.0005 {
        return "0".to_owned();
    }
    if number < 9.95 {
        let text = format!("{number:.1}");
        return text.strip_suffix(".0").map_or(text.clone(), str::to_owned);
    }
    let mut value = number;
    for unit in ["", "k", "M", "G", "T"] {
        if value < 999.5 {
            let digits = match value {
                _ if unit.is_empty() => 0,
                v if v < 9.995 => 2,
                v if v < 99.95 => 1,
                _ => 0,
            };
            return format!("{value:.digits$}{unit}");
        }
        value /= 1000.0;
    }
    format!("{value:.0}P")
}

/// The same for a count.
#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(super) fn count(number: u64) -> String {
    short(number as f64)
}

/// A share in at most four characters.
pub(super) fn at_work(kind: StageKind, share: f64) -> String {
    match () {
        () if kind.is_seen_at_work() => percent(share),
        () if share < 0.01 => "–".to_owned(),
        () => format!("≥{}", percent(share)),
    }
}

pub(super) fn percent(share: f64) -> String {
    // An empty sum is a negative zero.
    format!("{:.0}%", share.clamp(0.0, 1.0) * 100.0 + 0.0)
}

/// The last of these values as a curve of this width; the highest bar is the highest value.
pub(super) fn curve(values: impl ExactSizeIterator<Item = f64>, width: usize) -> String {
    let skipped = values.len().saturating_sub(width);
    let last: Vec<f64> = values.skip(skipped).collect();
    let most = last.iter().copied().fold(0.0, f64::max);
    let bar = |value: &f64| match value {
        _ if most <= 0.0 || *value <= 0.0 => BARS[0],
        _ => {
            let height = (value / most * 7.0).ceil().clamp(1.0, 7.0);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to 7")]
            let index = height as usize;
            BARS[index]
        }
    };
    last.iter().map(bar).collect()
}

/// Text of others, on one line.
pub(super) fn clean(text: &str) -> String {
    visible(text.as_bytes()).replace('\t', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_six_characters_at_most() {
        for (number, text) in [
            (0.0, "0"),
            (0.25, "0.2"),
            (3.0, "3"),
            (9.96, "10"),
            (812.4, "812"),
            (999.6, "1.00k"),
            (12_345.0, "12.3k"),
            (123_456.0, "123k"),
            (4_560_000.0, "4.56M"),
            (9_999_999.0, "10.0M"),
            (f64::NAN, "0"),
        ] {
            assert_eq!(short(number), text);
        }
    }

    #[test]
    fn a_curve_shows_the_last_values_and_its_highest_bar_is_the_most() {
        let values = [9.0, 0.0, 1.0, 4.0];
        assert_eq!(curve(values.into_iter(), 3), "▁▃█");
        assert_eq!(curve([0.0; 2].into_iter(), 5), "▁▁");
    }
}
