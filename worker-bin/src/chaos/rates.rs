//! How much is made to fail.

use super::Fault;
use crate::text::units::{format_share, parse_share};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// The share of passages that fail, from 0 to 1, by what fails.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates([f64; Fault::ALL.len()]);

impl Default for Rates {
    /// A write to disk that finds no room waits a second, and there are many of them.
    fn default() -> Self {
        Self::none().with(Fault::Program, 0.05).with(Fault::Link, 0.05).with(Fault::Disk, 0.005)
    }
}

/// Why a text says no rates.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RatesError {
    #[error("`{0}` is no share: expected a percentage from 0% to 100%, such as 5%")]
    Share(String),
    #[error(
        "nothing is called `{0}`: expected programs, links, disks, syncs, slow or nodes, as in programs=20%,links=1%,nodes=2%"
    )]
    Kind(String),
    #[error("`{0}` is given twice")]
    Twice(String),
}

impl Rates {
    fn none() -> Self {
        Self([0.0; Fault::ALL.len()])
    }

    pub(super) fn of(&self, fault: Fault) -> f64 {
        self.0.get(fault as usize).copied().unwrap_or(0.0)
    }

    /// The same with another share of one.
    #[must_use]
    pub fn with(mut self, fault: Fault, share: f64) -> Self {
        if let Some(rate) = self.0.get_mut(fault as usize) {
            *rate = share;
        }
        self
    }

    /// Whether any of that fails at all.
    #[must_use]
    pub fn has(&self, fault: Fault) -> bool {
        self.of(fault) > 0.0
    }

    /// Whether the worker itself ends by some of it, and has to be started again.
    #[must_use]
    pub fn end_the_worker(&self) -> bool {
        self.has(Fault::Process) || self.has(Fault::Sync)
    }

    /// The same without that.
    #[must_use]
    pub fn that_leave_the_worker(self) -> Self {
        self.with(Fault::Process, 0.0).with(Fault::Sync, 0.0)
    }
}

impl FromStr for Rates {
    type Err = RatesError;

    /// One share for programs, links and disks, or shares by name; what is not named does not fail.
    fn from_str(text: &str) -> Result<Self, RatesError> {
        let share =
            |text: &str| parse_share(text.trim()).ok_or_else(|| RatesError::Share(text.trim().to_owned()));
        let mut rates = Self::none();
        if !text.contains('=') {
            let all = share(text)?;
            return Ok(rates.with(Fault::Program, all).with(Fault::Link, all).with(Fault::Disk, all));
        }
        let mut named = Vec::new();
        for part in text.split(',') {
            let (name, value) =
                part.split_once('=').ok_or_else(|| RatesError::Share(part.trim().to_owned()))?;
            let name = name.trim();
            let fault = Fault::ALL.into_iter().find(|fault| fault.name() == name);
            let fault = fault.ok_or_else(|| RatesError::Kind(name.to_owned()))?;
            rates = rates.with(fault, share(value)?);
            if named.contains(&name) {
                return Err(RatesError::Twice(name.to_owned()));
            }
            named.push(name);
        }
        Ok(rates)
    }
}

impl fmt::Display for Rates {
    /// As it is read; the three that a plain share is for stand always.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown =
            |fault: &Fault| matches!(fault, Fault::Program | Fault::Link | Fault::Disk) || self.has(*fault);
        let parts: Vec<String> = Fault::ALL
            .iter()
            .filter(|fault| shown(fault))
            .map(|fault| format!("{}={}", fault.name(), format_share(self.of(*fault))))
            .collect();
        f.write_str(&parts.join(","))
    }
}
