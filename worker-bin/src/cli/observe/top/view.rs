//! Draws what is known: a header, nodes, [tables](super::grid), stalls, and what [lies over them](super::popup).

use super::app::{App, Pane};
use super::detail::Tone;
use super::figures::clean;
use super::grid::draw_tables;
use super::paint::{mark, of_mark, style};
use super::popup::draw_popup;
use super::rows::{Mark, nodes};
use super::state::{State, state_word};
use crate::explain::{RunState, words};
use crate::text::units::per_cent;
use crate::text::width::{fit, left, width, wrapped};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nodes that have a line each, in a terminal of 24 lines.
const NODES_MAX: usize = 4;

pub(super) fn draw(frame: &mut Frame<'_>, app: &App, now_s: f64) {
    let area = frame.area();
    let now_s = app.shown_s(now_s);
    let node_lines = node_lines(app, usize::from(area.width), usize::from(area.height), now_s);
    let stall_lines = stall_lines(app, usize::from(area.width), usize::from(area.height));
    let (node_height, stall_height) = (rows(node_lines.len()), rows(stall_lines.len()));
    let mut down = Down { area, at: area.y };
    let header = down.next(1);
    frame.render_widget(Paragraph::new(header_line(app, usize::from(area.width), now_s)), header);
    frame.render_widget(Paragraph::new(node_lines), down.next(node_height));
    let tables = down.next(area.height.saturating_sub(2 + node_height + stall_height));
    draw_tables(frame, app, tables);
    frame.render_widget(Paragraph::new(stall_lines), down.next(stall_height));
    frame.render_widget(Paragraph::new(footer_line(app, usize::from(area.width))), down.next(1));
    if let Some(popup) = &app.popup {
        draw_popup(frame, app, popup);
    }
}

/// Areas from the top of the terminal to its bottom.
pub(super) struct Down {
    pub(super) area: Rect,
    pub(super) at: u16,
}

impl Down {
    pub(super) fn next(&mut self, height: u16) -> Rect {
        let height = height.min(self.area.bottom().saturating_sub(self.at));
        let next = Rect { y: self.at, height, ..self.area };
        self.at += height;
        next
    }
}

pub(super) fn rows(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

/// Pipeline, delivery, time; and at the right what is special about the view.
fn header_line(app: &App, columns: usize, now_s: f64) -> Line<'static> {
    let state = app.state();
    let special = match () {
        () if state.is_over() => " ENDED ".to_owned(),
        () if app.is_paused() => " VIEW PAUSED ".to_owned(),
        () => match state.silent_since() {
            Some(since) => format!(" NO ANSWER for {} ", words::duration(now_s - since)),
            None => String::new(),
        },
    };
    let text = match state.snapshots().next() {
        None => "worker top".to_owned(),
        Some((first, _)) => {
            let nodes = match first.nodes.len() {
                1 => String::new(),
                several => format!(" · {several} nodes"),
            };
            let how = match &first.end {
                Some(end) => format!(
                    "{} {} ago, after {}",
                    state_word(first.state),
                    words::duration(age_s(end.at_ms)),
                    words::duration(first.uptime_s)
                ),
                None => format!("{} {}", state_word(first.state), words::duration(first.uptime_s)),
            };
            format!("{} · {}{nodes} · {how}", clean(&first.pipeline), first.delivery)
        }
    };
    let room = columns.saturating_sub(width(&special));
    let whole = read_texts(state).into_iter().map(|read| format!("{text}{read}"));
    let text = whole.into_iter().find(|text| width(text) <= room).unwrap_or(text);
    let failed = state.snapshots().any(|(s, _)| s.state == RunState::Failed);
    let alarm = if failed { Tone::Bad } else { Tone::Title };
    Line::from(vec![
        Span::styled(left(&text, room), style(app, Tone::Title)),
        Span::styled(special, style(app, alarm).add_modifier(Modifier::REVERSED)),
    ])
}

/// How much of the input is done, the text that says most first; without per cent, how much was read.
fn read_texts(state: &State) -> Vec<String> {
    let readers: Vec<_> =
        state.snapshots().map(|(s, _)| s).filter(|s| s.read_bytes > 0 || s.total_bytes.is_some()).collect();
    let read: u64 = readers.iter().map(|s| s.read_bytes).sum();
    let through = readers.iter().map(|s| s.through_bytes).sum();
    let total = readers.iter().try_fold(0, |total, s| Some(total + s.total_bytes?));
    let whose = match readers.first() {
        Some(reader) if reader.nodes.len() > 1 => "where it is read",
        Some(_) => "by all stages",
        None => return Vec::new(),
    };
    match total {
        Some(total) if total >= read && total > 0 => {
            let (share, all) = (per_cent(through, total), words::bytes(total));
            let least = format!(" · {share}% done");
            vec![format!(" · {share}% of {all} done {whose}"), format!(" · {share}% of {all} done"), least]
        }
        Some(_) | None => vec![format!(" · read {}", words::bytes(read))],
    }
}

fn age_s(at_ms: u64) -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_millis(at_ms)).as_secs_f64()
}

/// Nodes in trouble first, as many as there is room for.
fn node_lines(app: &App, columns: usize, height: usize, now_s: f64) -> Vec<Line<'static>> {
    let mut all = nodes(app.state(), now_s);
    let room = NODES_MAX.max(height / 6);
    if all.len() > room {
        all.sort_by_key(|row| !matches!(row.mark, Mark::Stalled | Mark::Unknown));
    }
    let more = all.len().saturating_sub(room);
    let shown = if more > 0 { room - 1 } else { all.len() };
    let names = all.iter().map(|row| width(&row.name)).max().unwrap_or(0).min(16);
    let mut lines: Vec<Line<'static>> = all
        .iter()
        .take(shown)
        .map(|row| {
            Line::from(vec![
                mark(app, row.mark),
                Span::raw(format!(" {} ", left(&row.name, names))),
                Span::styled(fit(&row.text, columns.saturating_sub(names + 3)), of_mark(app, row.mark)),
            ])
        })
        .collect();
    if more > 0 {
        let text = format!("  … and {} nodes more", more + 1);
        lines.push(Line::styled(fit(&text, columns), style(app, Tone::Dim)));
    }
    lines
}

/// Why work waits, root by root, as far as there is room; else what limits the throughput.
fn stall_lines(app: &App, columns: usize, height: usize) -> Vec<Line<'static>> {
    let state = app.state();
    let room = (height / 4).max(4);
    let groups = state.explanation.groups();
    let stalled = groups.iter().filter(|group| group[0].stalled).count();
    let young = match groups.len() - stalled {
        0 => String::new(),
        1 => ", and 1 wait that is none yet".to_owned(),
        several => format!(", and {several} waits that are none yet"),
    };
    let title = match stalled {
        _ if state.snapshots().next().is_none() => "NOTHING WAS HEARD YET".to_owned(),
        0 => "NOTHING IS STALLED".to_owned(),
        1 => format!("STALLED: 1 cause{young}"),
        several => format!("STALLED: {several} causes{young}"),
    };
    let limit = state.explanation.limit.as_ref().filter(|_| !state.is_over());
    let limit = limit.map(|limit| {
        let elsewhere = if limit.elsewhere && !groups.is_empty() { "elsewhere " } else { "" };
        format!("{elsewhere}{}", clean(&words::limit(limit)))
    });
    let (title, limit) = match limit {
        Some(limit) if width(&title) + width(&limit) + 2 <= columns => {
            (format!("{title}; {limit}"), Vec::new())
        }
        Some(limit) => (title, wrapped(&limit, columns, "  ")),
        None => (title, Vec::new()),
    };
    let mut texts: Vec<(Tone, String)> = Vec::new();
    for (number, group) in groups.iter().enumerate() {
        let first = group[0];
        let tone = if first.stalled { Tone::Bad } else { Tone::Dim };
        let others = group.len() - 1;
        let also = match others {
            0 => String::new(),
            1 => " (and 1 task more for the same reason)".to_owned(),
            several => format!(" (and {several} tasks more for the same reason)"),
        };
        let lines = wrapped(&clean(&(words::chain(first) + &also)), columns, "  ");
        if texts.len() + lines.len() + limit.len() > room && number > 0 {
            let more = groups.len() - number;
            texts.push((Tone::Dim, format!("… and {more} more: worker why")));
            break;
        }
        texts.extend(lines.into_iter().map(|line| (tone, line)));
    }
    // What is in the way goes before what merely limits.
    let at = if stalled > 0 { texts.len().min(room.saturating_sub(limit.len())) } else { 0 };
    texts.splice(at..at, limit.into_iter().map(|line| (Tone::Plain, line)));
    for note in state.explanation.notes.iter().chain(&state.notes).take(2) {
        texts.extend(wrapped(&clean(note), columns, "  ").into_iter().take(2).map(|line| (Tone::Dim, line)));
    }
    texts.truncate(room + 1);
    let title_tone = if stalled > 0 { Tone::Bad } else { Tone::Title };
    let title = Line::styled(fit(&title, columns), style(app, title_tone).add_modifier(Modifier::BOLD));
    let texts = texts.into_iter().map(|(tone, text)| Line::styled(text, style(app, tone)));
    std::iter::once(title).chain(texts).collect()
}

fn footer_line(app: &App, columns: usize) -> Line<'static> {
    let other = match app.focus {
        Pane::Stages => "links",
        Pane::Links => "stages",
    };
    let pause = if app.is_paused() { "go on" } else { "pause" };
    let text = format!("q quit  ? help  space {pause}  ←→ sort  r reverse  ↑↓ choose  ⏎ more  Tab {other}");
    Line::styled(fit(&text, columns), style(app, Tone::Dim))
}
