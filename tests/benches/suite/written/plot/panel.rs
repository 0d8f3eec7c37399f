//! All bars of one unit, on one axis.

use super::scale::{At, Scale};
use super::style::Kind;
use super::{Bar, LETTER, LINE, MARGIN, Picture, Place, plain};
use crate::figure::{Aim, Better, compact};

/// What a panel's bars have in common.
#[derive(Clone, PartialEq)]
struct Key<'a> {
    unit: &'a str,
    is_ratio: bool,
}

pub(super) struct Panel<'a> {
    key: Key<'a>,
    /// By work, in the order of the row.
    groups: Vec<(&'a str, Vec<Bar<'a>>)>,
}

impl<'a> Panel<'a> {
    pub(super) fn all(bars: &[Bar<'a>]) -> Vec<Self> {
        let mut panels: Vec<Panel> = Vec::new();
        for bar in bars {
            let (key, work) =
                (Key { unit: &bar.figure.unit, is_ratio: bar.is_ratio }, bar.figure.work.as_str());
            let at = panels.iter().position(|panel| panel.key == key).unwrap_or_else(|| {
                panels.push(Panel { key, groups: Vec::new() });
                panels.len() - 1
            });
            let groups = &mut panels[at].groups;
            match groups.iter_mut().find(|(name, _)| *name == work) {
                Some((_, bars)) => bars.push(*bar),
                None => groups.push((work, vec![*bar])),
            }
        }
        panels
    }

    /// Where each work has one bar its label says who did it, and no line above.
    fn is_flat(&self) -> bool {
        self.groups.iter().all(|(_, bars)| bars.len() == 1)
    }

    fn label(&self, bar: &Bar) -> String {
        match (self.is_flat(), self.one_who()) {
            (true, Some(_)) => plain(&bar.figure.work),
            (true, None) => format!("{}: {}", plain(&bar.figure.work), bar.figure.who),
            (false, _) => bar.figure.who.clone(),
        }
    }

    pub(super) fn longest_label(&self) -> usize {
        self.bars().map(|bar| self.label(bar).chars().count()).max().unwrap_or_default()
    }

    fn bars(&self) -> impl Iterator<Item = &Bar<'a>> {
        self.groups.iter().flat_map(|(_, bars)| bars)
    }

    fn one_who(&self) -> Option<&str> {
        same(self.bars().map(|bar| bar.figure.who.as_str()))
    }

    fn one_limit(&self) -> Option<&str> {
        same(self.bars().map(|bar| bar.figure.limit.as_str()))
    }

    /// What is drawn, and which way is the good one.
    fn title(&self) -> String {
        let unit = match self.key.unit {
            "" => "number",
            unit => unit,
        };
        let what = match (self.key.is_ratio, self.one_limit()) {
            (true, Some(limit)) => format!("{unit}, as a multiple of the limit: {limit}"),
            (true, None) => format!("{unit}, as a multiple of the limit that stands with it"),
            (false, _) => unit.to_owned(),
        };
        let who =
            self.one_who().filter(|_| self.is_flat()).map(|who| format!(" ({who})")).unwrap_or_default();
        let better = match Better::of(self.key.unit) {
            Better::Less => "← shorter is better",
            Better::More => "longer is better →",
        };
        format!("{what}{who} — {better}")
    }

    pub(super) fn draw(&self, picture: &mut Picture, place: Place) {
        let bars: Vec<Bar> = self.bars().copied().collect();
        let scale = Scale::of(&bars, place);
        picture.y += 30.0;
        let title = self.title() + if scale.is_log() { "; the axis goes by powers of ten" } else { "" };
        picture.text(MARGIN, "ink", " font-size=\"13\" font-weight=\"bold\"", &title);
        picture.y += 10.0;
        let top = picture.y;
        let lines = bars.len() + if self.is_flat() { 0 } else { self.groups.len() };
        self.axis(picture, &scale, place, LINE * lines as f64);
        for (work, bars) in &self.groups {
            if !self.is_flat() {
                picture.y += LINE;
                let limit = bars.first().filter(|_| self.key.is_ratio && self.one_limit().is_none());
                let limit = limit.map_or_else(String::new, |bar| format!(" (× {})", bar.figure.limit));
                picture.y -= 5.0;
                picture.text(MARGIN, "ink", " font-weight=\"bold\"", &format!("{}{limit}", plain(work)));
                picture.y += 5.0;
            }
            for bar in bars {
                self.bar(picture, bar, &scale, place);
            }
        }
        self.limit(picture, &scale, top);
        picture.y += 18.0;
    }

    /// Above the bars, which would hide it.
    fn limit(&self, picture: &mut Picture, scale: &Scale, top: f64) {
        if self.key.is_ratio {
            let (x, bottom) = (scale.at(1.0).x(), picture.y + 2.0);
            picture.put(format_args!(
                "<path d=\"M{x:.1},{:.1}V{bottom:.1}\" class=\"limit\" stroke-width=\"1.5\"/>",
                top - 3.0
            ));
        }
    }

    /// Ticks with their numbers below.
    fn axis(&self, picture: &mut Picture, scale: &Scale, place: Place, height: f64) {
        let (top, bottom) = (picture.y, picture.y + height + 2.0);
        for (value, has_label) in scale.ticks() {
            let x = scale.at(value).x();
            picture.put(format_args!("<path d=\"M{x:.1},{top:.1}V{:.1}\" class=\"grid\"/>", bottom + 4.0));
            if has_label {
                let unit = if self.key.is_ratio { " ×" } else { "" };
                picture.put(format_args!(
                    "<text x=\"{x:.1}\" y=\"{:.1}\" class=\"muted\" text-anchor=\"middle\" font-size=\"11\">{}{unit}</text>",
                    bottom + 16.0,
                    tick(value)
                ));
            }
        }
        picture.put(format_args!(
            "<path d=\"M{:.1},{bottom:.1}h{:.1}\" class=\"axis\"/>",
            place.left, place.width
        ));
    }

    fn bar(&self, picture: &mut Picture, bar: &Bar, scale: &Scale, place: Place) {
        let (top, middle) = (picture.y, picture.y + LINE / 2.0);
        picture.y = middle + 4.0;
        picture.text(place.left - 8.0, "ink", " text-anchor=\"end\"", &self.label(bar));
        let class = Kind::of(bar.figure).class();
        let pale = if bar.figure.is_sure() { "" } else { " pale" };
        let x = scale.at(bar.spread.median).x();
        if scale.is_log() {
            picture.put(format_args!(
                "<circle cx=\"{x:.1}\" cy=\"{middle:.1}\" r=\"5\" class=\"{class}{pale}\"/>"
            ));
        } else {
            picture.put(format_args!(
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" class=\"{class}{pale}\"/>",
                place.left,
                top + 3.0,
                (x - place.left).max(1.0),
                LINE - 6.0
            ));
        }
        whisker(picture, bar, scale, middle);
        if let (Some(aim), Some(_)) = (bar.figure.aim, bar.figure.verdict()) {
            let mark =
                aim_mark(scale.at(aim.value()).x(), top + 1.0, LINE - 2.0, matches!(aim, Aim::AtMost(_)));
            picture.put(format_args!("{mark}"));
        }
        picture.y = middle + 4.0;
        picture.text(place.left + place.width + 14.0, "ink", "", &numbers(bar));
        picture.y = top + LINE;
    }
}

/// From the lowest to the highest; an end that is off the axis is an arrow with its number.
fn whisker(picture: &mut Picture, bar: &Bar, scale: &Scale, middle: f64) {
    let ends = [scale.at(bar.spread.low), scale.at(bar.spread.high)];
    if ends[1].x() - ends[0].x() < 1.0 {
        return;
    }
    picture.put(format_args!(
        "<path d=\"M{:.1},{middle:.1}H{:.1}\" class=\"whisker\" stroke-width=\"1.3\"/>",
        ends[0].x(),
        ends[1].x()
    ));
    for (end, value) in ends.into_iter().zip([bar.spread.low, bar.spread.high]) {
        match end {
            At::Inside(x) => {
                picture.put(format_args!("<path d=\"M{x:.1},{:.1}v6\" class=\"whisker\"/>", middle - 3.0));
            }
            At::Before(x) => cut(picture, x, middle, -1.0, value),
            At::Beyond(x) => cut(picture, x, middle, 1.0, value),
        }
    }
}

fn cut(picture: &mut Picture, x: f64, middle: f64, way: f64, value: f64) {
    let number = compact(value);
    let width = LETTER * number.chars().count() as f64;
    picture.put(format_args!(
        "<path d=\"M{:.1},{:.1}l{:.1},4l{:.1},4z\" class=\"ink\"/>",
        x - 2.0 * way,
        middle - 4.0,
        8.0 * way,
        -8.0 * way
    ));
    // Inside, on ground of its own: outside there are labels.
    let left = if way > 0.0 { x - width - 8.0 } else { x + 8.0 };
    picture.put(format_args!(
        "<rect x=\"{left:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"12\" class=\"ground\"/>\
         <text x=\"{:.1}\" y=\"{:.1}\" class=\"ink\" text-anchor=\"middle\" font-size=\"11\">{number}</text>",
        middle - 6.0,
        left + width / 2.0,
        middle + 4.0
    ));
}

/// A dashed line, and a flag on the side on which it is reached.
pub(super) fn aim_mark(x: f64, top: f64, height: f64, at_most: bool) -> String {
    let way = if at_most { -6.0 } else { 6.0 };
    format!(
        "<path d=\"M{x:.1},{top:.1}v{height:.1}\" class=\"aim\" stroke-dasharray=\"3 2\" stroke-width=\"1.5\"/>\
         <path d=\"M{x:.1},{top:.1}l{way:.1},3l{:.1},3z\" class=\"ink\"/>",
        -way
    )
}

/// Beside the bar: the ratio, what it is made of, and what of the aim.
pub(super) fn numbers(bar: &Bar) -> String {
    let figure = bar.figure;
    let value = figure.value().map(|value| compact(value.median)).unwrap_or_default();
    let limit = figure.limit_value().map(|value| compact(value.median));
    let unit = &figure.unit;
    let mut text = match (bar.is_ratio, limit) {
        (true, Some(limit)) => format!("{} × = {value} / {limit} {unit}", compact(bar.spread.median)),
        (false, Some(limit)) => format!("{value} {unit} ({}: {limit})", figure.limit),
        (_, None) => format!("{value} {unit}"),
    };
    if let (Some(aim), Some(verdict)) = (figure.aim, figure.verdict()) {
        text += &format!("; aim {}{}: {}", aim.sign(), compact(aim.value()), verdict.words());
    } else if let Some(why) = &figure.incomparable {
        text += &format!("; {why}");
    } else if !figure.is_sure() {
        text += "; unsure";
    }
    text
}

/// Without digits that say nothing.
fn tick(value: f64) -> String {
    let text = compact(value);
    match text.split_once('.') {
        Some((whole, rest)) => {
            let (digits, unit) = rest.split_at(rest.find(' ').unwrap_or(rest.len()));
            let digits = digits.trim_end_matches('0');
            if digits.is_empty() { format!("{whole}{unit}") } else { format!("{whole}.{digits}{unit}") }
        }
        None => text,
    }
}

/// What all of them are, if they are one.
fn same<'t>(mut texts: impl Iterator<Item = &'t str>) -> Option<&'t str> {
    let first = texts.next()?;
    texts.all(|text| text == first).then_some(first)
}
