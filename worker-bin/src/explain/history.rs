//! What a run did over time: the last minutes second by second, and all of it in at most [`POINTS_MAX`] steps.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// How many points are kept of each.
const POINTS_MAX: usize = 300;

/// One stage over one step of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Its end, in seconds since the run began.
    pub at_s: f64,
    /// Records done a second.
    pub in_per_s: f64,
    /// Records given on a second.
    pub out_per_s: f64,
    /// Records that waited at its end.
    pub queued_records: u64,
    /// Records sent on and not acknowledged at its end.
    pub held_records: u64,
    /// The share of the step in which its tasks were at work, from 0 to 1.
    pub busy: f64,
    /// Something of it was stalled.
    pub stalled: bool,
}

/// Points of all stages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// The last minutes, a second a point.
    pub recent: BTreeMap<String, VecDeque<Point>>,
    /// The whole run; its steps grow with it.
    pub whole: BTreeMap<String, Vec<Point>>,
    /// Seconds each step of `whole` covers.
    pub step_s: u32,
    #[serde(skip)]
    gathered: BTreeMap<String, (Point, u32)>,
}

impl History {
    pub fn push(&mut self, second: BTreeMap<String, Point>) {
        self.step_s = self.step_s.max(1);
        for (stage, point) in second {
            let recent = self.recent.entry(stage.clone()).or_default();
            if recent.len() == POINTS_MAX {
                recent.pop_front();
            }
            recent.push_back(point);
            let (sum, count) = self.gathered.entry(stage.clone()).or_default();
            *sum = if *count == 0 { point } else { joined(*sum, *count, point, 1) };
            *count += 1;
            if *count >= self.step_s {
                self.whole.entry(stage).or_default().push(*sum);
                *count = 0;
            }
        }
        if self.whole.values().any(|points| points.len() >= POINTS_MAX) {
            self.halve();
        }
    }

    /// Points of the whole run, the step that is not full yet included.
    #[must_use]
    pub fn so_far(&self) -> BTreeMap<String, Vec<Point>> {
        let mut points = self.whole.clone();
        for (stage, (sum, count)) in &self.gathered {
            if *count > 0 {
                points.entry(stage.clone()).or_default().push(*sum);
            }
        }
        points
    }

    /// Every two points become one.
    fn halve(&mut self) {
        for points in self.whole.values_mut() {
            *points = points
                .chunks(2)
                .map(|two| two.iter().copied().reduce(|a, b| joined(a, 1, b, 1)).unwrap_or_default())
                .collect();
        }
        self.step_s *= 2;
    }
}

/// One point for the time of both, weighted by how long each covers.
fn joined(a: Point, a_steps: u32, b: Point, b_steps: u32) -> Point {
    let (wa, wb) = (f64::from(a_steps), f64::from(b_steps));
    let mean = |x: f64, y: f64| (x * wa + y * wb) / (wa + wb);
    Point {
        at_s: b.at_s,
        in_per_s: mean(a.in_per_s, b.in_per_s),
        out_per_s: mean(a.out_per_s, b.out_per_s),
        queued_records: b.queued_records,
        held_records: b.held_records,
        busy: mean(a.busy, b.busy),
        stalled: a.stalled || b.stalled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(at: u32, rate: f64) -> BTreeMap<String, Point> {
        let point = Point { at_s: f64::from(at), in_per_s: rate, stalled: at == 7, ..Point::default() };
        BTreeMap::from([("a".to_owned(), point)])
    }

    #[test]
    fn a_long_run_keeps_its_shape_in_few_points() {
        let mut history = History::default();
        for at in 1..=3000 {
            history.push(second(at, if at <= 1500 { 10.0 } else { 20.0 }));
        }
        let (recent, whole) = (&history.recent["a"], &history.whole["a"]);
        assert_eq!((recent.len(), recent.back().map(|p| p.at_s)), (POINTS_MAX, Some(3000.0)));
        assert_eq!(history.step_s, 16);
        assert!(whole.len() <= POINTS_MAX && whole.len() > POINTS_MAX / 2, "{}", whole.len());
        assert_eq!((whole[0].in_per_s, whole[0].stalled, whole[1].stalled), (10.0, true, false));
        assert_eq!(whole[whole.len() - 1].in_per_s, 20.0);
        let so_far = &history.so_far()["a"];
        assert_eq!(so_far.last().map(|p| p.at_s), Some(3000.0), "the step that is not full is there, too");
        let covered = whole.iter().map(|p| p.in_per_s).sum::<f64>() * f64::from(history.step_s);
        assert!((covered - 45_000.0).abs() < 400.0, "{covered}");
    }
}
