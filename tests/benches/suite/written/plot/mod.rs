//! A row as a picture that says by itself what is compared with what: a panel for each unit, with an axis, a bar for each figure with
//! its spread, a line where the limit is, and a mark where the aim is.

mod panel;
mod scale;
mod style;

use crate::figure::{Figure, Spread};
use crate::machine::Machine;
use crate::rows::Row;
use panel::Panel;
use std::fmt::Write as _;
pub(super) use style::is_ours;
use style::{Kind, STYLE};

const MARGIN: f64 = 14.0;
const PLOT: f64 = 430.0;
const LINE: f64 = 18.0;
/// About as wide is a letter of 12 pixels.
const LETTER: f64 = 6.7;

/// Where the axis is, from left to right.
#[derive(Clone, Copy, Debug)]
struct Place {
    left: f64,
    width: f64,
}

/// A figure as it is shown: as a ratio where it has one, else as a value.
#[derive(Clone, Copy)]
struct Bar<'a> {
    figure: &'a Figure,
    spread: Spread,
    is_ratio: bool,
}

impl<'a> Bar<'a> {
    fn of(figure: &'a Figure) -> Option<Self> {
        let ratio = figure.ratio().map(|spread| Self { figure, spread, is_ratio: true });
        ratio.or_else(|| Some(Self { figure, spread: figure.value()?, is_ratio: false }))
    }
}

/// Everything drawn so far, and how far down.
struct Picture {
    svg: String,
    y: f64,
}

impl Picture {
    fn put(&mut self, element: std::fmt::Arguments) {
        writeln!(self.svg, "{element}").expect("a string takes it");
    }

    fn text(&mut self, x: f64, class: &str, more: &str, text: &str) {
        let y = self.y;
        self.put(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\"{more}>{}</text>",
            escaped(text)
        ));
    }
}

pub(super) fn svg(row: &Row, machine: &Machine, figures: &[&Figure]) -> String {
    let bars: Vec<Bar> = figures.iter().filter_map(|figure| Bar::of(figure)).collect();
    let panels = Panel::all(&bars);
    let longest = panels.iter().map(Panel::longest_label).max().unwrap_or_default();
    let values = bars.iter().map(|bar| panel::numbers(bar).chars().count()).max().unwrap_or_default();
    let place = Place { left: MARGIN + LETTER * longest as f64 + 10.0, width: PLOT };
    let width = place.left + PLOT + 14.0 + LETTER * values as f64 + MARGIN;
    let mut picture = Picture { svg: String::new(), y: 28.0 };
    head(&mut picture, row, machine, figures, width);
    legend(&mut picture, &bars, width);
    for panel in &panels {
        panel.draw(&mut picture, place);
    }
    let height = picture.y + MARGIN;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         font-family=\"system-ui,sans-serif\" font-size=\"12\">\n<title>{}: {}</title>\n{STYLE}\
         <rect width=\"100%\" height=\"100%\" class=\"ground\"/>\n{}</svg>\n",
        row.name,
        escaped(&plain(row.what)),
        picture.svg
    )
}

/// What is compared with what, on which input and which machine.
fn head(picture: &mut Picture, row: &Row, machine: &Machine, figures: &[&Figure], width: f64) {
    let about = (row.about)();
    let title = format!("{}: {}", row.name, plain(row.what));
    for (at, line) in wrapped(&title, (width - 2.0 * MARGIN) / (1.5 * LETTER)).iter().enumerate() {
        picture.y += if at > 0 { 21.0 } else { 0.0 };
        picture.text(MARGIN, "ink", " font-size=\"16\" font-weight=\"bold\"", line);
    }
    picture.y += 6.0;
    let counts = figures.iter().map(|figure| figure.measured.len()).filter(|count| *count > 0);
    let (least, most) =
        counts.fold((usize::MAX, 0), |(least, most), count| (least.min(count), most.max(count)));
    let rounds = if least < most { format!("{least} to {most} rounds") } else { format!("rounds: {most}") };
    for line in [
        format!("Input: {}", plain(&about.input)),
        format!("Limit: {}", plain(&about.limit)),
        format!("Measured {}, {}; {rounds}", machine.day(), machine.short()),
    ] {
        for line in wrapped(&line, (width - 2.0 * MARGIN) / LETTER) {
            picture.y += 16.0;
            picture.text(MARGIN, "muted", "", &line);
        }
    }
}

/// Only of what is in the picture.
fn legend(picture: &mut Picture, bars: &[Bar], width: f64) {
    picture.y += 26.0;
    let mut x = MARGIN;
    let mut entry = |picture: &mut Picture, text: &str, mark: &dyn Fn(f64, f64) -> String| {
        let needed = 26.0 + LETTER * text.chars().count() as f64 + 14.0;
        if x + needed > width {
            (x, picture.y) = (MARGIN, picture.y + LINE);
        }
        let mark = mark(x, picture.y - 4.0);
        picture.put(format_args!("{mark}"));
        picture.text(x + 26.0, "ink", "", text);
        x += needed;
    };
    for kind in Kind::ALL.into_iter().filter(|kind| bars.iter().any(|bar| Kind::of(bar.figure) == *kind)) {
        entry(picture, kind.words(), &|x, y| {
            format!(
                "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"20\" height=\"10\" class=\"{}\"/>",
                y - 5.0,
                kind.class()
            )
        });
    }
    entry(picture, "bar or dot: median; line: lowest to highest round", &|x, y| {
        format!("<path d=\"M{x:.1},{y:.1}h20m-20,-3v6m20,-6v6\" class=\"whisker\"/>")
    });
    if bars.iter().any(|bar| bar.is_ratio) {
        entry(picture, "the limit, 1 ×", &|x, y| {
            format!("<path d=\"M{:.1},{:.1}v14\" class=\"limit\" stroke-width=\"2\"/>", x + 10.0, y - 7.0)
        });
    }
    if bars.iter().any(|bar| bar.figure.aim.is_some()) {
        entry(picture, "the aim, and where it is reached", &|x, y| {
            panel::aim_mark(x + 6.0, y - 7.0, 14.0, true)
        });
    }
    if bars.iter().any(|bar| !bar.figure.is_sure()) {
        entry(picture, "pale: rounds differ by more than 1.5 ×, unsure", &|x, y| {
            format!(
                "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"20\" height=\"10\" class=\"memory pale\"/>",
                y - 5.0
            )
        });
    }
    picture.y += 8.0;
}

/// Markdown without its marks.
fn plain(text: &str) -> String {
    text.replace(['`', '*'], "")
}

fn wrapped(text: &str, letters: f64) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        if let Some(line) = lines.last_mut() {
            if line.is_empty() || ((line.chars().count() + word.chars().count()) as f64) < letters {
                if !line.is_empty() {
                    line.push(' ');
                }
                line.push_str(word);
            } else {
                lines.push(word.to_owned());
            }
        }
    }
    lines
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
