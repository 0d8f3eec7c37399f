//! A row as a picture: a bar for each figure, with its spread, and a mark where the aim is.

use crate::figure::{Aim, Figure, Spread, number};
use std::fmt::Write as _;

const LABELS: f64 = 520.0;
const BARS: f64 = 420.0;
const VALUES: f64 = 150.0;
const LINE: f64 = 22.0;
const HEAD: f64 = 58.0;

/// Bars of one unit have one scale.
struct Scale<'a> {
    unit: &'a str,
    most: f64,
}

pub(super) fn svg(row: &str, figures: &[&Figure]) -> String {
    let figures: Vec<&Figure> = figures.iter().copied().filter(|figure| figure.value().is_some()).collect();
    let (width, height) = (LABELS + BARS + VALUES, HEAD + LINE * figures.len() as f64 + 10.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"10\" y=\"20\" font-size=\"15\" font-weight=\"bold\">{}</text>\n\
         <text x=\"10\" y=\"40\" fill=\"#555\">bar: median; line: lowest to highest; dashed: what is aimed at, at least (›) or at most (‹)</text>\n",
        escaped(row)
    );
    let scales = scales(&figures);
    for (at, figure) in figures.iter().enumerate() {
        bar(&mut svg, HEAD + LINE * at as f64, figure, &scales);
    }
    svg + "</svg>\n"
}

/// Ratios are judged where there is a limit.
fn shown(figure: &Figure) -> Option<(Spread, &str)> {
    figure.ratio().map(|ratio| (ratio, "×")).or_else(|| figure.value().map(|value| (value, figure.unit)))
}

fn scales<'a>(figures: &[&'a Figure]) -> Vec<Scale<'a>> {
    let mut scales: Vec<Scale> = Vec::new();
    for figure in figures {
        let Some((spread, unit)) = shown(figure) else { continue };
        let most = spread.high.max(figure.aim.map_or(0.0, Aim::value)).max(f64::MIN_POSITIVE);
        match scales.iter_mut().find(|scale| scale.unit == unit) {
            Some(scale) => scale.most = scale.most.max(most),
            None => scales.push(Scale { unit, most }),
        }
    }
    scales
}

fn bar(svg: &mut String, top: f64, figure: &Figure, scales: &[Scale]) {
    let Some((spread, unit)) = shown(figure) else { return };
    let most = scales.iter().find(|scale| scale.unit == unit).map_or(1.0, |scale| scale.most);
    let x = |value: f64| LABELS + BARS * value / most;
    let color = match figure.is_reached() {
        Some(true) => "#3a8f5c",
        Some(false) => "#c4683a",
        None => "#5b7fa6",
    };
    let middle = top + LINE / 2.0;
    let mut put = |text: std::fmt::Arguments| writeln!(svg, "{text}").expect("a string takes it");
    put(format_args!(
        "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{} · {}</text>",
        LABELS - 8.0,
        middle + 4.0,
        escaped(&figure.work),
        escaped(&figure.who)
    ));
    put(format_args!(
        "<rect x=\"{LABELS}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{color}\"/>",
        top + 4.0,
        (x(spread.median) - LABELS).max(0.5),
        LINE - 8.0
    ));
    put(format_args!(
        "<line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\" stroke=\"#222\" stroke-width=\"1.5\"/>",
        x(spread.low),
        x(spread.high)
    ));
    if let Some(aim) = figure.aim {
        let (at, sign) = (x(aim.value()), if matches!(aim, Aim::AtLeast(_)) { "›" } else { "‹" });
        put(format_args!(
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"#111\" stroke-dasharray=\"3 2\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" font-size=\"10\">{sign}</text>",
            top + 1.0,
            top + LINE - 1.0,
            at + 1.0,
            middle + 4.0
        ));
    }
    put(format_args!(
        "<text x=\"{}\" y=\"{}\">{} {}</text>",
        LABELS + BARS + 8.0,
        middle + 4.0,
        number(spread.median),
        escaped(unit)
    ));
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
