//! A plot over the time of the run, as SVG: steps, axes with units, stalls as hatched bands with numbers.

use super::markup::escaped;
use super::ticks;
use std::fmt::Write as _;

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 188.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 42.0;

/// The space that a character of a band's numbers takes.
const NUMBER_WIDTH: f64 = 9.0;

/// Differences below this share of the run are not seen.
const SEEN_MIN: f64 = 0.02;

/// The narrowest band that can be seen.
const BAND_MIN: f64 = 2.0;

#[derive(Clone, Debug)]
pub(super) struct Plot {
    /// Tells it from the others of the page.
    pub(super) id: String,
    /// What it shows, in a line.
    pub(super) title: String,
    /// The same in numbers, for who cannot see it.
    pub(super) description: String,
    /// The unit of the values.
    pub(super) unit: &'static str,
    /// What is said where all of them are 0.
    pub(super) nothing: &'static str,
    /// How long the run lasted.
    pub(super) lasted_s: f64,
    /// What is drawn: the first filled, the second dashed.
    pub(super) series: Vec<Vec<Step>>,
    pub(super) bands: Vec<Band>,
}

/// A value over a part of the run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) from_s: f64,
    pub(super) to_s: f64,
    pub(super) value: f64,
}

/// A part of the run that is marked.
#[derive(Clone, Debug)]
pub(super) struct Band {
    /// The numbers of the stalls that it stands for.
    pub(super) numbers: String,
    pub(super) from_s: f64,
    pub(super) to_s: f64,
    pub(super) text: String,
}

impl Band {
    /// Takes another one in, if it covers the same time as far as can be seen; else gives it back.
    pub(super) fn join(&mut self, other: Self, lasted_s: f64) -> Option<Self> {
        let near = |a: f64, b: f64| (a - b).abs() < lasted_s * SEEN_MIN;
        if !near(self.from_s, other.from_s) || !near(self.to_s, other.to_s) {
            return Some(other);
        }
        self.numbers.push_str(", ");
        self.numbers.push_str(&other.numbers);
        self.text.push_str("; ");
        self.text.push_str(&other.text);
        None
    }
}

impl Plot {
    pub(super) fn svg(&self) -> String {
        let values = self.series.iter().flatten().map(|step| step.value);
        let most = values.fold(0.0, f64::max);
        // Where there was nothing the axis says so, and no line does as if there were something.
        let marks = if most > 0.0 { ticks::of_values(most, 4, true) } else { vec![0.0] };
        let top = marks.last().copied().filter(|top| *top > 0.0).unwrap_or(1.0);
        let mut out = format!(
            "<svg class=\"plot\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"{id}t {id}d\">\n\
             <title id=\"{id}t\">{}</title><desc id=\"{id}d\">{}</desc>\n",
            escaped(&self.title),
            escaped(&self.description),
            id = self.id
        );
        self.draw_bands(&mut out);
        self.draw_axes(&mut out, &marks, top);
        let is_something = |steps: &[Step]| steps.iter().any(|step| step.value > 0.0);
        for (at, steps) in self.series.iter().enumerate().filter(|(_, steps)| is_something(steps)) {
            self.draw_steps(&mut out, at, steps, top);
        }
        if most <= 0.0 {
            let (x, y) = (f64::midpoint(LEFT, WIDTH - RIGHT), f64::midpoint(TOP, HEIGHT - BOTTOM));
            writeln!(out, "<text class=\"none middle\" x=\"{x}\" y=\"{y}\">{}</text>", escaped(self.nothing))
                .ok();
        }
        self.draw_numbers(&mut out);
        out + "</svg>\n"
    }

    fn x(&self, at_s: f64) -> f64 {
        LEFT + (at_s / self.lasted_s.max(1e-6)).clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }

    fn draw_bands(&self, out: &mut String) {
        for band in &self.bands {
            let (from, to) = (self.x(band.from_s), self.x(band.to_s));
            writeln!(
                out,
                "<rect class=\"band\" x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{}\"><title>stall {}: {}</title></rect>",
                (to - from).max(BAND_MIN),
                HEIGHT - TOP - BOTTOM,
                band.numbers,
                escaped(&band.text)
            )
            .ok();
        }
    }

    fn draw_axes(&self, out: &mut String, marks: &[f64], top: f64) {
        let (right, floor) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        writeln!(out, "<text class=\"unit\" x=\"4\" y=\"13\">{}</text>", escaped(self.unit)).ok();
        for mark in marks {
            let y = y(*mark, top);
            let class = if *mark == 0.0 { "axis" } else { "grid" };
            write!(out, "<path class=\"{class}\" d=\"M{LEFT} {y:.1}H{right}\"/>").ok();
            let text = ticks::value(*mark);
            writeln!(out, "<text class=\"end\" x=\"{}\" y=\"{:.1}\">{text}</text>", LEFT - 6.0, y + 4.0).ok();
        }
        for (at, text) in ticks::of_time(self.lasted_s, 5) {
            let x = self.x(at);
            write!(out, "<path class=\"axis\" d=\"M{x:.1} {floor}v4\"/>").ok();
            let class = if right - x < 16.0 { "end" } else { "middle" };
            let x = if right - x < 16.0 { right + 8.0 } else { x };
            writeln!(out, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{}\">{text}</text>", floor + 17.0).ok();
        }
        let middle = f64::midpoint(LEFT, right);
        writeln!(
            out,
            "<text class=\"unit middle\" x=\"{middle}\" y=\"{}\">time since the start</text>",
            floor + 35.0
        )
        .ok();
    }

    fn draw_steps(&self, out: &mut String, at: usize, steps: &[Step], top: f64) {
        let mut line = String::new();
        let mut before: Option<f64> = None;
        for step in steps {
            let (from, to, y) = (self.x(step.from_s), self.x(step.to_s), y(step.value, top));
            match before {
                Some(end) if (from - end).abs() < 0.5 => write!(line, "V{y:.1}H{to:.1}").ok(),
                Some(_) | None => write!(line, "M{from:.1} {y:.1}H{to:.1}").ok(),
            };
            before = Some(to);
        }
        let (Some(first), Some(last)) = (steps.first(), steps.last()) else { return };
        if at == 0 {
            let floor = HEIGHT - BOTTOM;
            let area = line.replacen('M', "L", 1);
            let (from, to) = (self.x(first.from_s), self.x(last.to_s));
            writeln!(out, "<path class=\"area\" d=\"M{from:.1} {floor}{area}L{to:.1} {floor}Z\"/>").ok();
        }
        writeln!(out, "<path class=\"line line{at}\" d=\"{line}\"/>").ok();
    }

    /// Above the bands, where there is room.
    fn draw_numbers(&self, out: &mut String) {
        let mut free_from = f64::MIN;
        for Band { numbers, from_s, to_s, .. } in &self.bands {
            let half = f64::from(u32::try_from(numbers.len()).unwrap_or(u32::MAX)) * NUMBER_WIDTH / 2.0;
            let x = f64::midpoint(self.x(*from_s), self.x(*to_s)).min(WIDTH - half);
            if x - half >= free_from {
                writeln!(
                    out,
                    "<text class=\"middle number\" x=\"{x:.1}\" y=\"{}\">{numbers}</text>",
                    TOP - 4.0
                )
                .ok();
                free_from = x + half;
            }
        }
    }
}

fn y(value: f64, top: f64) -> f64 {
    let height = HEIGHT - TOP - BOTTOM;
    HEIGHT - BOTTOM - (value / top).clamp(0.0, 1.0) * height
}
