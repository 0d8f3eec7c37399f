//! `worker top`: the live view in a terminal.
//!
//! ```text
//!   one task a node ──Answer──▶ App::hear ─┐
//!   keyboard thread ──key─────▶ App::key  ─┼─▶ view::draw ─▶ Screen
//!   signals, clock ────────────────────────┘
//! ```
//!
//! All but [`poll`] and [`term`] is pure: it knows no clock and no terminal.

mod app;
mod detail;
mod figures;
mod grid;
mod paint;
mod poll;
mod popup;
mod rows;
mod stalls;
mod state;
mod table;
mod term;
#[cfg(test)]
mod tests;
mod view;

use super::args::TopArgs;
use super::find::find;
use super::{FAILED, Failure};
use crate::cli::exit::signalled;
use crate::runtime::Signals;
use app::{App, Flow};
use poll::Polls;
use ratatui::crossterm::event::{self, Event};
use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use term::Screen;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

/// How often ages are brought up to date.
const TICK: Duration = Duration::from_millis(500);

/// Keys that wait to be looked at.
const KEYS_MAX: usize = 64;

/// Shows the workers that are meant until the user has seen enough.
pub(super) async fn top(args: &TopArgs) -> Result<ExitCode, Failure> {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    if dumb || !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        let why = "worker top needs a terminal; worker status prints the same once, and worker status --json for programs";
        return Err(Failure::new(FAILED, why));
    }
    let mut polls = Polls::start(args.target.clone(), find(&args.target)?);
    let failed = |error: std::io::Error| Failure::new(FAILED, format!("cannot use the terminal: {error}"));
    let mut signals = Signals::new().map_err(failed)?;
    let mut app = App::new(crate::stderr::colors(&std::io::stdout()));
    let mut screen = Screen::enter().map_err(failed)?;
    let mut keys = keyboard().map_err(failed)?;
    let begun = Instant::now();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        screen.draw(|frame| view::draw(frame, &app, begun.elapsed().as_secs_f64())).map_err(failed)?;
        tokio::select! {
            event = keys.recv() => match event {
                Some(Event::Key(key)) => {
                    if app.key(key, begun.elapsed().as_secs_f64()) == Flow::Quit {
                        return Ok(ExitCode::SUCCESS);
                    }
                }
                Some(_) => {}
                // The terminal is gone.
                None => return Ok(ExitCode::SUCCESS),
            },
            answer = polls.next() => app.hear(answer, begun.elapsed().as_secs_f64()),
            signal = signals.next() => return Ok(ExitCode::from(signalled(signal))),
            _ = tick.tick() => {}
        }
    }
}

/// What the user types, read by a thread of its own: reading blocks.
fn keyboard() -> std::io::Result<mpsc::Receiver<Event>> {
    let (sender, keys) = mpsc::channel(KEYS_MAX);
    let read = move || {
        while let Ok(event) = event::read() {
            if sender.blocking_send(event).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("keyboard".to_owned()).spawn(read)?;
    Ok(keys)
}
