//! A pseudo-terminal, and the program that believes to be on a screen.

use super::scratch::eventually;
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Action, Termios, Winsize, tcflow, tcgetattr, tcsetwinsize};
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The side of a pseudo-terminal that a person would sit at.
pub struct Pty {
    keys: std::fs::File,
    terminal: OwnedFd,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Pty {
    /// A terminal of this size.
    ///
    /// # Panics
    /// The system has none.
    #[must_use]
    pub fn new(rows: u16, columns: u16) -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
        grantpt(&controller).expect("a pseudo-terminal of one's own");
        unlockpt(&controller).expect("a pseudo-terminal to be opened");
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&controller, size).expect("a terminal has a size");
        let name = ptsname(&controller, Vec::new()).expect("a pseudo-terminal has a name");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let terminal = rustix::fs::open(&name, flags, Mode::empty()).expect("the other side");
        let keys = std::fs::File::from(controller);
        let seen: Arc<Mutex<Vec<u8>>> = Arc::default();
        let mut output = keys.try_clone().expect("a second handle");
        let (sink, mut buffer) = (Arc::clone(&seen), vec![0; 65536]);
        // Ends when the last handle on the other side is closed.
        std::thread::spawn(move || {
            while let Ok(read @ 1..) = std::io::Read::read(&mut output, &mut buffer) {
                locked(&sink).extend_from_slice(&buffer[..read]);
            }
        });
        Self { keys, terminal, seen }
    }

    /// The other side, for a program's standard input or output.
    ///
    /// # Panics
    /// There are too many handles.
    #[must_use]
    pub fn end(&self) -> Stdio {
        self.terminal.try_clone().expect("one more handle").into()
    }

    /// How the terminal treats what is typed.
    ///
    /// # Panics
    /// It is none.
    #[must_use]
    pub fn settings(&self) -> Termios {
        tcgetattr(&self.terminal).expect("a terminal")
    }

    /// Takes nothing more of what is written, as after Ctrl-S.
    ///
    /// # Panics
    /// It is no terminal.
    pub fn stop(&self) {
        tcflow(&self.terminal, Action::OOff).expect("a terminal can be stopped");
    }

    /// Takes what is written again.
    ///
    /// # Panics
    /// It is no terminal.
    pub fn go_on(&self) {
        tcflow(&self.terminal, Action::OOn).expect("a terminal can go on");
    }

    /// Types.
    ///
    /// # Panics
    /// Nobody takes it.
    pub fn type_keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("a terminal takes keys");
    }

    /// Everything that was written to the terminal.
    #[must_use]
    pub fn written(&self) -> Vec<u8> {
        locked(&self.seen).clone()
    }

    /// Waits until what is written makes a screen that is as wanted.
    ///
    /// # Panics
    /// It does not in time; the message shows what `screen` made of it.
    pub fn wait_for<S: std::fmt::Display>(
        &self,
        what: &str,
        deadline: Duration,
        screen: impl Fn(&[u8]) -> S,
        wanted: impl Fn(&S) -> bool,
    ) -> S {
        eventually(what, deadline, || {
            let seen = screen(&self.written());
            if wanted(&seen) { Ok(seen) } else { Err(format!("the screen is\n{seen}")) }
        })
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Pty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pty").finish_non_exhaustive()
    }
}
