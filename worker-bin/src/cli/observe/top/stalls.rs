//! Why work waits, below the tables: each cause whole or not at all, and how many are left out.

use super::app::App;
use super::detail::Tone;
use super::figures::clean;
use super::paint::style;
use crate::explain::{Chain, also_held, words};
use crate::text::width::{fit, width, wrapped};
use ratatui::style::Modifier;
use ratatui::text::Line;

/// Most lines of notes on nodes that cannot be asked.
const NOTES_MAX: usize = 2;

/// A title, then in at most `room` lines with it the causes as far as they fit, and what limits the throughput.
pub(super) fn lines(app: &App, columns: usize, room: usize) -> Vec<Line<'static>> {
    let state = app.state();
    let groups = state.explanation.groups();
    let stalled = groups.iter().filter(|group| group[0].stalled).count();
    let paused = groups.iter().filter(|group| group[0].is_paused()).count();
    let mut title = title(app, groups.len(), stalled, paused);
    let mut limit = limit(app, !groups.is_empty());
    if let Some(beside) = limit.take_if(|limit| width(&title) + width(limit) + 2 <= columns) {
        title = format!("{title}; {beside}");
    }
    let wrap = |text: &str| wrapped(&clean(text), columns, "  ");
    let causes: Vec<_> = groups.iter().map(|group| (tone(group), wrap(&cause(group)))).collect();
    let limit = limit.map_or_else(Vec::new, |limit| wrap(&limit));
    let mut left = room.saturating_sub(1);
    // A run without stalls is told what limits it; with some, what is worst goes before that.
    let first = if stalled > 0 { fitting(&causes[..1], left, causes.len() - 1) } else { 0 };
    let first_lines = causes[..first].iter().map(|(_, lines)| lines.len()).sum::<usize>();
    let limit = if limit.len() + first_lines + usize::from(first < causes.len()) <= left {
        limit
    } else {
        Vec::new()
    };
    left -= limit.len();
    let shown = fitting(&causes, left, 0);
    let mut texts: Vec<(Tone, String)> = Vec::new();
    for (tone, lines) in causes.iter().take(shown) {
        texts.extend(lines.iter().map(|line| (*tone, line.clone())));
    }
    if shown < causes.len() && left > 0 {
        texts.push((Tone::Dim, more(causes.len() - shown, columns)));
    }
    left = left.saturating_sub(texts.len());
    let at = if stalled > 0 { texts.len() } else { 0 };
    texts.splice(at..at, limit.into_iter().map(|line| (Tone::Plain, line)));
    for note in state.explanation.notes.iter().chain(&state.notes).take(NOTES_MAX) {
        let lines = wrap(note);
        if lines.len() <= left {
            left -= lines.len();
            texts.extend(lines.into_iter().map(|line| (Tone::Dim, line)));
        }
    }
    let title_tone = if stalled > 0 { Tone::Bad } else { Tone::Title };
    let title = Line::styled(fit(&title, columns), style(app, title_tone).add_modifier(Modifier::BOLD));
    let texts = texts.into_iter().map(|(tone, text)| Line::styled(text, style(app, tone)));
    std::iter::once(title).chain(texts).collect()
}

fn title(app: &App, groups: usize, stalled: usize, paused: usize) -> String {
    let young = match groups - stalled - paused {
        0 => String::new(),
        1 => ", and 1 wait that is none yet".to_owned(),
        several => format!(", and {several} waits that are none yet"),
    };
    let paused = match paused {
        0 => String::new(),
        1 => ", 1 task paused".to_owned(),
        several => format!(", {several} tasks paused"),
    };
    match stalled {
        _ if app.state().snapshots().next().is_none() => "NOTHING WAS HEARD YET".to_owned(),
        0 => format!("NOTHING IS STALLED{paused}"),
        1 => format!("STALLED: 1 cause{young}{paused}"),
        several => format!("STALLED: {several} causes{young}{paused}"),
    }
}

/// What limits the throughput, if something does.
fn limit(app: &App, beside_causes: bool) -> Option<String> {
    let limit = app.state().explanation.limit.as_ref().filter(|_| !app.state().is_over())?;
    let elsewhere = if limit.elsewhere && beside_causes { "elsewhere " } else { "" };
    Some(format!("{elsewhere}{}", clean(&words::limit(limit))))
}

fn tone(group: &[&Chain]) -> Tone {
    if group[0].stalled { Tone::Bad } else { Tone::Dim }
}

/// What holds a group of tasks up.
fn cause(group: &[&Chain]) -> String {
    let also = match also_held(group).len() {
        0 => "",
        1 => " (and 1 task more for the same reason)",
        several => &format!(" (and {several} tasks more for the same reason)"),
    };
    words::chain(group[0]) + also
}

/// How many of these fit into so many lines; where some do not, or `others` follow, a line is kept to say so.
fn fitting(causes: &[(Tone, Vec<String>)], room: usize, others: usize) -> usize {
    let mut lines = 0;
    let fits = causes.iter().enumerate().take_while(|(at, (_, cause))| {
        lines += cause.len();
        lines + usize::from(at + 1 < causes.len() + others) <= room
    });
    fits.count()
}

fn more(count: usize, columns: usize) -> String {
    let text = format!("… {count} more: worker why");
    if width(&text) <= columns { text } else { fit(&format!("… {count} more"), columns) }
}
