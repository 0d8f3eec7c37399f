//! Rates of work that ends in lumps: a batch that takes longer than a step is counted in the step it ends in, and was at work before.

use crate::explain::Point;

/// Steps without an end of work between two with one are no rest for so many seconds, as in all rates that are shown.
const REST_FROM_S: f64 = 5.0;

/// From this share on of a step at work, nothing was at rest in it.
const AT_WORK: f64 = 0.5;

/// So many steps before and behind make the mean: lumps fall into steps unevenly.
const AROUND: usize = 4;

/// The same points with the rates of lumps over the time they took; nothing if there are none.
pub(super) fn spread(points: &[Point], step_s: f64) -> Option<Vec<Point>> {
    let taken = even(points, step_s, |point| point.in_per_s);
    let given = even(points, step_s, |point| point.out_per_s);
    if taken.is_none() && given.is_none() {
        return None;
    }
    let mut points = points.to_vec();
    for (at, point) in points.iter_mut().enumerate() {
        point.in_per_s = taken.as_ref().map_or(point.in_per_s, |rates| rates[at]);
        point.out_per_s = given.as_ref().map_or(point.out_per_s, |rates| rates[at]);
    }
    Some(points)
}

fn even(points: &[Point], step_s: f64, rate: fn(&Point) -> f64) -> Option<Vec<f64>> {
    let mut rates: Vec<f64> = points.iter().map(rate).collect();
    let mut since = 0;
    let mut lumps = false;
    for at in 0..rates.len() {
        if rates[at] == 0.0 {
            continue;
        }
        if at > since && is_work(&points[since..at], since > 0, step_s) {
            #[expect(clippy::cast_precision_loss, reason = "a few steps")]
            let each = rates[at] / (at - since + 1) as f64;
            rates[since..=at].fill(each);
            lumps = true;
        }
        since = at + 1;
    }
    lumps.then(|| mean_of_work(&rates))
}

/// Whether the work that ended behind these steps was under way in them.
fn is_work(quiet: &[Point], behind_work: bool, step_s: f64) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "a few steps")]
    let short = quiet.len() as f64 * step_s < REST_FROM_S;
    let at_work = quiet.iter().all(|point| point.busy >= AT_WORK);
    !quiet.iter().any(|point| point.stalled) && (at_work || (behind_work && short))
}

/// The mean around each step, as far as work reaches without a rest.
fn mean_of_work(rates: &[f64]) -> Vec<f64> {
    let of = |at: usize| {
        let before = rates[..at].iter().rev().take(AROUND).take_while(|rate| **rate > 0.0).count();
        let behind = rates[at..].iter().take(AROUND + 1).take_while(|rate| **rate > 0.0).count();
        let around = &rates[at - before..at + behind];
        #[expect(clippy::cast_precision_loss, reason = "a few steps")]
        let mean = around.iter().sum::<f64>() / around.len().max(1) as f64;
        if rates[at] > 0.0 { mean } else { 0.0 }
    };
    (0..rates.len()).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A batch of 100 records ends every so many milliseconds, of which the stage is at work for `busy`.
    fn lumps(every_ms: u64, steps: u64, busy: f64) -> Vec<Point> {
        let ended = |second: u64| second * 1000 / every_ms;
        let point = |second: u64| Point {
            at_s: second as f64,
            in_per_s: (ended(second) - ended(second - 1)) as f64 * 100.0,
            busy,
            ..Point::default()
        };
        (1..=steps).map(point).collect()
    }

    #[test]
    fn batches_that_take_longer_than_a_step_are_no_interruptions() {
        for every_ms in [1150, 1900, 3000, 10_000] {
            let points = lumps(every_ms, 60, 0.98);
            assert!(points.iter().any(|point| point.in_per_s == 0.0), "the kind there is");
            let rate = 100_000.0 / every_ms as f64;
            let even = spread(&points, 1.0).expect("lumps");
            let last = points.iter().rposition(|point| point.in_per_s > 0.0).expect("work");
            for point in &even[..=last] {
                let off = (point.in_per_s / rate - 1.0).abs();
                assert!(off < 0.3, "every {every_ms} ms, at {}: {}", point.at_s, point.in_per_s);
            }
        }
    }

    #[test]
    fn a_rest_and_a_stall_stay_what_they_are() {
        let mut points = lumps(500, 40, 1.0);
        assert!(spread(&points, 1.0).is_none(), "no step without an end of work");
        for point in &mut points[10..20] {
            (point.in_per_s, point.busy) = (0.0, 0.0);
        }
        assert!(spread(&points, 1.0).is_none(), "ten seconds without work");
        for point in &mut points[10..20] {
            (point.stalled, point.busy) = (true, 1.0);
        }
        assert!(spread(&points, 1.0).is_none(), "ten seconds of a stall");
        // What ends in lumps behind it does not fill it either.
        points.extend(lumps(2500, 20, 1.0));
        let even = spread(&points, 1.0).expect("lumps");
        assert!(even[10..20].iter().all(|point| point.in_per_s == 0.0), "{even:?}");
        assert!(even[9].in_per_s == 200.0 && even[20].in_per_s > 100.0, "{even:?}");
    }
}
