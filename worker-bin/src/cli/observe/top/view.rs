//! Draws what is known: a header, nodes, [tables](super::grid), stalls, and what [lies over them](super::popup).

use super::app::{App, Pane};
use super::detail::Tone;
use super::figures::clean;
use super::grid::{BOTH_FROM, draw_tables};
use super::paint::{mark, of_mark, style};
use super::popup::draw_popup;
use super::rows::{Mark, nodes};
use super::stalls;
use super::state::{State, state_word};
use crate::explain::{RunState, words};
use crate::text::units::per_cent;
use crate::text::width::{fit, left, width};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nodes that have a line each, in a terminal of 24 lines.
const NODES_MAX: usize = 4;

/// With fewer lines than that between header and footer, the rows of stages take those of the nodes.
const NODES_FROM: usize = 10;

/// With fewer lines than that there is no footer.
const FOOTER_FROM: u16 = 6;

pub(super) fn draw(frame: &mut Frame<'_>, app: &App, now_s: f64) {
    let area = frame.area();
    let now_s = app.shown_s(now_s);
    let (columns, height) = (usize::from(area.width), usize::from(area.height));
    let footer = u16::from(area.height >= FOOTER_FROM);
    let body = area.height.saturating_sub(1 + footer);
    let nodes = node_lines(app, columns, node_room(height, usize::from(body)), now_s);
    let node_height = rows(nodes.len());
    let body = body.saturating_sub(node_height);
    // Rows of the table first: half of the rest, and what the causes leave; they have a title and a line at least.
    let table = (1 + table_rows(app, area.height)).min(1 + body / 2).min(body.saturating_sub(2));
    let room = body - table;
    let stalls = stalls::lines(app, columns, usize::from(room));
    let stall_height = rows(stalls.len());
    let mut down = Down { area, at: area.y };
    let header = down.next(1);
    frame.render_widget(Paragraph::new(header_line(app, columns, now_s)), header);
    frame.render_widget(Paragraph::new(nodes), down.next(node_height));
    let tables = down.next(body.saturating_sub(stall_height));
    draw_tables(frame, app, tables);
    frame.render_widget(Paragraph::new(stalls), down.next(stall_height));
    frame.render_widget(Paragraph::new(footer_line(app, columns)), down.next(footer));
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
        Some(_) | None => {
            let read = format!(" · read {}", words::bytes(read));
            let lags = readers.iter().flat_map(|s| &s.tasks).filter_map(|task| task.lag_bytes);
            let behind = lags.reduce(|a, b| a + b).filter(|&lag| lag > 0);
            let behind = behind.map(words::bytes);
            let both = behind.as_ref().map(|behind| format!("{read}, {behind} behind"));
            both.into_iter().chain(behind.map(|behind| format!(" · {behind} behind"))).chain([read]).collect()
        }
    }
}

fn age_s(at_ms: u64) -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_millis(at_ms)).as_secs_f64()
}

/// How many lines there are for nodes in a terminal so high, with so many lines between header and footer.
fn node_room(height: usize, body: usize) -> usize {
    if body < NODES_FROM { 0 } else { NODES_MAX.max(height / 6).min(body / 5) }
}

/// How many rows the tables that are shown have.
fn table_rows(app: &App, height: u16) -> u16 {
    let (stages, links) = (rows(app.stage_rows().0.len()), rows(app.link_rows().0.len()));
    match app.focus {
        Pane::Stages | Pane::Links if height >= BOTH_FROM => stages + 1 + links,
        Pane::Stages => stages,
        Pane::Links => links,
    }
}

/// Nodes in trouble first, as many as there is room for.
fn node_lines(app: &App, columns: usize, room: usize, now_s: f64) -> Vec<Line<'static>> {
    if room == 0 {
        return Vec::new();
    }
    let mut all = nodes(app.state(), now_s);
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

fn footer_line(app: &App, columns: usize) -> Line<'static> {
    let other = match app.focus {
        Pane::Stages => "links",
        Pane::Links => "stages",
    };
    let pause = if app.is_paused() { "go on" } else { "pause" };
    let text = format!("q quit  ? help  space {pause}  ←→ sort  r reverse  ↑↓ choose  ⏎ more  Tab {other}");
    Line::styled(fit(&text, columns), style(app, Tone::Dim))
}
