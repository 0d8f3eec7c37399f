//! The orderly end of a child: its input ends, then it is asked to end, then it is killed.
//!
//! ```text
//!   running ──Close──▶ closed ──grace──▶ asked (SIGTERM) ──grace──▶ killed (SIGKILL)
//!      └──────────────Terminate──────────▲
//! ```
//! What it prints until its end is read as ever. Killed at once are only programs that have failed or timed out, and all
//! that are left when the user cannot wait.

use crate::awake::Countdown;
use crate::mutex::lock;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::Notify;

/// How a child is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manner {
    /// Its standard input ends behind what it was given, and it has its grace to end by itself.
    Close,
    /// It gets SIGTERM at once.
    Terminate,
}

/// Says that a child is to stop; asked for again, the more pressing manner counts.
#[derive(Debug)]
pub struct StopOrder {
    asked: Mutex<Option<Manner>>,
    news: Notify,
}

impl StopOrder {
    #[must_use]
    pub const fn new() -> Self {
        Self { asked: Mutex::new(None), news: Notify::const_new() }
    }

    pub fn stop(&self, manner: Manner) {
        let mut asked = lock(&self.asked);
        *asked = (*asked).max(Some(manner));
        // All who wait, and who comes next.
        self.news.notify_waiters();
        self.news.notify_one();
    }

    /// Returns when something was asked for.
    pub(crate) async fn is_asked(&self) {
        while self.asked().is_none() {
            self.news.notified().await;
        }
    }

    /// What was asked for, if anything was.
    #[must_use]
    pub fn asked(&self) -> Option<Manner> {
        *lock(&self.asked)
    }
}

impl Default for StopOrder {
    fn default() -> Self {
        Self::new()
    }
}

/// What is to be done with a child now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Terminate,
    Kill,
}

/// One child on its way to its end.
#[derive(Debug)]
pub(crate) struct Leaving<'a> {
    order: &'a StopOrder,
    grace: Duration,
    stage: Stage,
    due: Option<Countdown>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Running,
    Closed,
    Asked,
    Killed,
}

impl<'a> Leaving<'a> {
    pub(crate) fn new(order: &'a StopOrder, grace: Duration) -> Self {
        Self { order, grace, stage: Stage::Running, due: None }
    }

    /// The next step, when it is due. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> Step {
        loop {
            match (self.stage, self.order.asked()) {
                (Stage::Running, Some(Manner::Close)) => self.enter(Stage::Closed),
                (Stage::Running | Stage::Closed, Some(Manner::Terminate)) => {
                    self.enter(Stage::Asked);
                    return Step::Terminate;
                }
                (Stage::Running | Stage::Closed | Stage::Asked | Stage::Killed, _) => {}
            }
            let due = async {
                match &mut self.due {
                    Some(grace) => grace.over().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.order.news.notified() => {}
                () = due => match self.stage {
                    Stage::Running | Stage::Closed => {
                        self.enter(Stage::Asked);
                        return Step::Terminate;
                    }
                    Stage::Asked | Stage::Killed => {
                        (self.stage, self.due) = (Stage::Killed, None);
                        return Step::Kill;
                    }
                },
            }
        }
    }

    fn enter(&mut self, stage: Stage) {
        (self.stage, self.due) = (stage, Some(Countdown::new(self.grace)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    const GRACE: Duration = Duration::from_millis(100);
    /// Longer than a test may take.
    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn all_who_wait_for_it_are_told() {
        let order = StopOrder::new();
        let mut leaving = Leaving::new(&order, LONG);
        let stops = async { order.stop(Manner::Terminate) };
        let (step, (), (), ()) = tokio::join!(leaving.next(), order.is_asked(), order.is_asked(), stops);
        assert_eq!(step, Step::Terminate);
    }

    #[tokio::test]
    async fn input_ends_first_then_it_is_asked_then_killed() {
        let (order, began) = (StopOrder::new(), Instant::now());
        let mut leaving = Leaving::new(&order, GRACE);
        order.stop(Manner::Close);
        assert_eq!(leaving.next().await, Step::Terminate);
        assert!(began.elapsed() >= GRACE);
        assert_eq!(leaving.next().await, Step::Kill);
        assert!(began.elapsed() >= 2 * GRACE);
    }

    #[tokio::test]
    async fn when_pressed_it_is_asked_at_once() {
        for manners in [&[Manner::Terminate][..], &[Manner::Close, Manner::Terminate]] {
            let order = StopOrder::new();
            let mut leaving = Leaving::new(&order, LONG);
            manners.iter().for_each(|&manner| order.stop(manner));
            assert_eq!(leaving.next().await, Step::Terminate);
            // Asked again, it keeps its grace.
            order.stop(Manner::Terminate);
            let again = tokio::time::timeout(GRACE, leaving.next()).await;
            assert!(again.is_err(), "{again:?}");
        }
    }
}
