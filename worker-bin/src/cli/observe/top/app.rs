//! What is shown, and what keys do to it.

use super::rows::{LinkRow, StageRow, links, stages};
use super::state::{Answer, State};
use super::table::{LINKS, STAGES, SortOrder};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use std::cell::Cell;

/// How many rows a page is, as long as none was drawn.
const PAGE: usize = 10;

#[derive(Debug)]
pub(super) struct App {
    latest: State,
    /// What is shown while the view is paused, and since when.
    frozen: Option<(State, f64)>,
    pub(super) focus: Pane,
    pub(super) stages: Table,
    pub(super) links: Table,
    pub(super) popup: Option<Popup>,
    pub(super) color: bool,
    pub(super) drawn: Cell<Drawn>,
}

/// What was drawn last, which decides what some keys do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drawn {
    /// Columns of the terminal.
    pub(super) width: usize,
    /// Rows of a page.
    pub(super) page: usize,
    /// How far what lies over the tables can be scrolled.
    pub(super) scroll_max: usize,
}

/// A table that can have the focus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pane {
    Stages,
    Links,
}

/// How a table is looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) order: SortOrder,
    /// The row that is chosen, by its id: it stays chosen when rows change their places.
    chosen: Option<String>,
}

/// What lies over the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Popup {
    Help { scroll: usize },
    Detail { pane: Pane, id: String, scroll: usize },
}

/// Whether it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Go,
    Quit,
}

impl App {
    pub(super) fn new(color: bool) -> Self {
        Self {
            latest: State::default(),
            frozen: None,
            focus: Pane::Stages,
            stages: Table::default(),
            links: Table::default(),
            popup: None,
            color,
            drawn: Cell::new(Drawn { width: 80, page: PAGE, scroll_max: 0 }),
        }
    }

    /// Takes an answer in; a paused view does not show it yet.
    pub(super) fn hear(&mut self, answer: Answer, now_s: f64) {
        self.latest.hear(answer, now_s);
    }

    pub(super) fn state(&self) -> &State {
        self.frozen.as_ref().map_or(&self.latest, |(state, _)| state)
    }

    /// The moment that is shown.
    pub(super) fn shown_s(&self, now_s: f64) -> f64 {
        self.frozen.as_ref().map_or(now_s, |(_, at)| *at)
    }

    pub(super) fn is_paused(&self) -> bool {
        self.frozen.is_some()
    }

    /// Stages as they are sorted, and which is chosen.
    pub(super) fn stage_rows(&self) -> (Vec<StageRow>, usize) {
        let mut rows = stages(self.state());
        self.stages.order.sort(&mut rows, STAGES);
        let chosen = self.stages.position(rows.iter().map(|row| row.id.as_str()));
        (rows, chosen)
    }

    /// Links as they are sorted, and which is chosen.
    pub(super) fn link_rows(&self) -> (Vec<LinkRow>, usize) {
        let mut rows = links(self.state());
        self.links.order.sort(&mut rows, LINKS);
        let chosen = self.links.position(rows.iter().map(|row| row.id.as_str()));
        (rows, chosen)
    }

    /// Does what a key says.
    pub(super) fn key(&mut self, key: KeyEvent, now_s: f64) -> Flow {
        if key.kind == KeyEventKind::Release {
            return Flow::Go;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return if key.code == KeyCode::Char('c') { Flow::Quit } else { Flow::Go };
        }
        if self.popup.is_some() {
            self.key_over_popup(key.code)
        } else {
            self.key_over_tables(key.code, now_s)
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "other keys mean nothing here")]
    fn key_over_popup(&mut self, code: KeyCode) -> Flow {
        let Drawn { page, scroll_max, .. } = self.drawn.get();
        let Some(popup) = &mut self.popup else { return Flow::Go };
        let scroll = match popup {
            Popup::Help { scroll } | Popup::Detail { scroll, .. } => scroll,
        };
        match code {
            KeyCode::Char('q') => return Flow::Quit,
            KeyCode::Esc | KeyCode::Enter | KeyCode::Char('?') => self.popup = None,
            KeyCode::Down | KeyCode::Char('j') => *scroll = (*scroll + 1).min(scroll_max),
            KeyCode::Up | KeyCode::Char('k') => *scroll = scroll.saturating_sub(1),
            KeyCode::PageDown => *scroll = (*scroll + page).min(scroll_max),
            KeyCode::PageUp => *scroll = scroll.saturating_sub(page),
            KeyCode::Home => *scroll = 0,
            _ => {}
        }
        Flow::Go
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "other keys mean nothing here")]
    fn key_over_tables(&mut self, code: KeyCode, now_s: f64) -> Flow {
        let page = isize::try_from(self.drawn.get().page.max(1)).unwrap_or(1);
        match code {
            KeyCode::Char('q') | KeyCode::Esc => return Flow::Quit,
            KeyCode::Char('?') => self.popup = Some(Popup::Help { scroll: 0 }),
            KeyCode::Char(' ') => match self.frozen.take() {
                Some(_) => {}
                None => self.frozen = Some((self.latest.clone(), now_s)),
            },
            KeyCode::Tab | KeyCode::BackTab => {
                self.focus = match self.focus {
                    Pane::Stages => Pane::Links,
                    Pane::Links => Pane::Stages,
                };
            }
            KeyCode::Enter => {
                if let Some(id) = self.chosen_id() {
                    self.popup = Some(Popup::Detail { pane: self.focus, id, scroll: 0 });
                }
            }
            KeyCode::Down | KeyCode::Char('j') => self.choose(1),
            KeyCode::Up | KeyCode::Char('k') => self.choose(-1),
            KeyCode::PageDown => self.choose(page),
            KeyCode::PageUp => self.choose(-page),
            KeyCode::Home => self.choose(isize::MIN),
            KeyCode::End => self.choose(isize::MAX),
            KeyCode::Right => self.sort_beside(true),
            KeyCode::Left => self.sort_beside(false),
            KeyCode::Char('r') => {
                let order = self.table().order;
                self.sort(SortOrder { reversed: !order.reversed, ..order });
            }
            KeyCode::Char(key) => {
                let order = match self.focus {
                    Pane::Stages => self.stages.order.by_key(key, STAGES),
                    Pane::Links => self.links.order.by_key(key, LINKS),
                };
                if let Some(order) = order {
                    self.sort(order);
                }
            }
            _ => {}
        }
        Flow::Go
    }

    fn table(&mut self) -> &mut Table {
        match self.focus {
            Pane::Stages => &mut self.stages,
            Pane::Links => &mut self.links,
        }
    }

    fn sort_beside(&mut self, to_the_right: bool) {
        let width = self.drawn.get().width;
        self.sort(match self.focus {
            Pane::Stages => self.stages.order.beside(to_the_right, STAGES, width),
            Pane::Links => self.links.order.beside(to_the_right, LINKS, width),
        });
    }

    /// Another order, seen from its beginning.
    fn sort(&mut self, order: SortOrder) {
        *self.table() = Table { order, chosen: None };
    }

    /// Moves the choice by so many rows.
    fn choose(&mut self, by: isize) {
        let (ids, at) = self.ids();
        let Some(last) = ids.len().checked_sub(1) else { return };
        let to = at.saturating_add_signed(by).min(last);
        self.table().chosen = ids.get(to).cloned();
    }

    fn chosen_id(&self) -> Option<String> {
        let (ids, at) = self.ids();
        ids.get(at).cloned()
    }

    fn ids(&self) -> (Vec<String>, usize) {
        match self.focus {
            Pane::Stages => {
                let (rows, at) = self.stage_rows();
                (rows.into_iter().map(|row| row.id).collect(), at)
            }
            Pane::Links => {
                let (rows, at) = self.link_rows();
                (rows.into_iter().map(|row| row.id).collect(), at)
            }
        }
    }
}

impl Table {
    fn position<'a>(&self, mut ids: impl Iterator<Item = &'a str>) -> usize {
        self.chosen.as_deref().and_then(|chosen| ids.position(|id| id == chosen)).unwrap_or(0)
    }
}
