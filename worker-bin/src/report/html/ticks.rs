//! Where an axis has its marks, and what they say.

/// Steps of time that people count in, in seconds.
const TIME_STEPS: [f64; 26] = [
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0,
    1800.0, 3600.0, 7200.0, 10_800.0, 21_600.0, 43_200.0, 86_400.0, 172_800.0,
];

/// Marks from 0 to `max` or just beyond, in steps of 1, 2 or 5 and their tenfolds, about `count` of them.
pub(super) fn of_values(max: f64, count: u32, whole: bool) -> Vec<f64> {
    let max = if max.is_finite() && max > 0.0 { max } else { 1.0 };
    let rough = max / f64::from(count.max(1));
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|step| *step >= rough * 0.999);
    let step = step.unwrap_or(power * 10.0);
    let step = if whole { step.max(1.0) } else { step };
    steps(step, (max / step - 1e-9).ceil().max(1.0))
}

/// Marks from 0 up to `lasted_s`, at most `count` and the one at 0.
pub(super) fn of_time(lasted_s: f64, count: u32) -> Vec<(f64, String)> {
    let enough = |step: &f64| lasted_s / step <= f64::from(count);
    let days = || {
        let days = of_values(lasted_s / 86_400.0, count, true);
        days.get(1).map_or(86_400.0, |step| step * 86_400.0)
    };
    let step = TIME_STEPS.into_iter().find(enough).unwrap_or_else(days);
    steps(step, (lasted_s / step + 1e-9).floor()).into_iter().map(|at| (at, time(at, step))).collect()
}

fn steps(step: f64, last: f64) -> Vec<f64> {
    let numbers = (0_u32..).map(f64::from).take_while(|at| *at <= last);
    numbers.map(|at| at * step).collect()
}

/// A moment, in the unit of the steps.
fn time(at: f64, step: f64) -> String {
    let (unit, of_s) = match step {
        _ if step < 60.0 => ("s", 1.0),
        _ if step < 3600.0 => ("min", 60.0),
        _ if step < 86_400.0 => ("h", 3600.0),
        _ => ("d", 86_400.0),
    };
    format!("{} {unit}", plain(at / of_s))
}

/// A value with as few signs as it needs: `0`, `2.5`, `20 k`, `1.5 M`.
pub(super) fn value(value: f64) -> String {
    for (from, unit) in [(1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")] {
        if value >= from {
            return plain(value / from) + unit;
        }
    }
    plain(value)
}

/// Up to three decimals, without zeros at the end.
fn plain(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(max: f64, whole: bool) -> String {
        of_values(max, 4, whole).into_iter().map(value).collect::<Vec<_>>().join(" ")
    }

    fn times(lasted_s: f64) -> String {
        of_time(lasted_s, 6).into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn values_are_round_and_reach_the_largest() {
        assert_eq!(values(0.0, true), "0 1");
        assert_eq!(values(3.0, true), "0 1 2 3");
        assert_eq!(values(7.3, false), "0 2 4 6 8");
        assert_eq!(values(0.37, false), "0 0.1 0.2 0.3 0.4");
        assert_eq!(values(100.0, true), "0 50 100");
        assert_eq!(values(325_203.0, true), "0 100 k 200 k 300 k 400 k");
        assert_eq!(values(1.4e6, true), "0 500 k 1 M 1.5 M");
        assert_eq!(values(f64::NAN, true), "0 1");
    }

    #[test]
    fn times_count_as_people_do() {
        assert_eq!(times(0.37), "0 s, 0.1 s, 0.2 s, 0.3 s");
        assert_eq!(times(1.2), "0 s, 0.2 s, 0.4 s, 0.6 s, 0.8 s, 1 s, 1.2 s");
        assert_eq!(times(45.0), "0 s, 10 s, 20 s, 30 s, 40 s");
        assert_eq!(times(170.0), "0 s, 30 s, 60 s, 90 s, 120 s, 150 s");
        assert_eq!(times(4_000.0), "0 min, 15 min, 30 min, 45 min, 60 min");
        assert_eq!(times(5.5 * 3600.0), "0 h, 1 h, 2 h, 3 h, 4 h, 5 h");
        assert_eq!(times(90.0 * 86_400.0), "0 d, 20 d, 40 d, 60 d, 80 d");
        assert_eq!(times(0.0), "0 s");
    }
}
