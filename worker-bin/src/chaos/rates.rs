//! How much is made to fail.

use super::Fault;
use crate::text::units::{format_share, parse_share};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// The share of passages that fail, from 0 to 1, by what fails.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    programs: f64,
    links: f64,
    disks: f64,
    process: f64,
}

impl Default for Rates {
    /// A write to disk that finds no room waits a second, and there are many of them.
    fn default() -> Self {
        Self { programs: 0.05, links: 0.05, disks: 0.005, process: 0.0 }
    }
}

/// Why a text says no rates.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RatesError {
    #[error("`{0}` is no share: expected a percentage from 0% to 100%, such as 5%")]
    Share(String),
    #[error(
        "nothing is called `{0}`: expected programs, links or disks, as in programs=20%,links=1%,disks=0%"
    )]
    Kind(String),
    #[error("`{0}` is given twice")]
    Twice(String),
    #[error(
        "`process` is for `worker test` alone, which starts a worker again that was killed, on inputs of its own; here: programs, links or \
         disks"
    )]
    Process,
}

impl Rates {
    pub(super) fn of(&self, fault: Fault) -> f64 {
        match fault {
            Fault::Program => self.programs,
            Fault::Link => self.links,
            Fault::Disk => self.disks,
            Fault::Process => self.process,
        }
    }

    /// The same, and the process itself is killed: by `worker test`, which starts it again.
    #[must_use]
    pub fn with_process(self, process: f64) -> Self {
        Self { process, ..self }
    }

    /// Whether any of that fails at all.
    #[must_use]
    pub fn has(&self, fault: Fault) -> bool {
        self.of(fault) > 0.0
    }
}

impl FromStr for Rates {
    type Err = RatesError;

    /// One share for all, or shares by name; what is not named does not fail.
    fn from_str(text: &str) -> Result<Self, RatesError> {
        let share =
            |text: &str| parse_share(text.trim()).ok_or_else(|| RatesError::Share(text.trim().to_owned()));
        if !text.contains('=') {
            let all = share(text)?;
            return Ok(Self { programs: all, links: all, disks: all, process: 0.0 });
        }
        let mut rates = Self { programs: 0.0, links: 0.0, disks: 0.0, process: 0.0 };
        let mut named = Vec::new();
        for part in text.split(',') {
            let (name, value) =
                part.split_once('=').ok_or_else(|| RatesError::Share(part.trim().to_owned()))?;
            let name = name.trim();
            let rate = match name {
                "programs" => &mut rates.programs,
                "links" => &mut rates.links,
                "disks" => &mut rates.disks,
                "process" => return Err(RatesError::Process),
                _ => return Err(RatesError::Kind(name.to_owned())),
            };
            *rate = share(value)?;
            if named.contains(&name) {
                return Err(RatesError::Twice(name.to_owned()));
            }
            named.push(name);
        }
        Ok(rates)
    }
}

impl fmt::Display for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [programs, links, disks] = [self.programs, self.links, self.disks].map(format_share);
        write!(f, "programs={programs},links={links},disks={disks}")?;
        match self.has(Fault::Process) {
            true => write!(f, ",process={}", format_share(self.process)),
            false => Ok(()),
        }
    }
}
