//! Families that read one number of each task, link or peer, as tables of their names.

use super::float;
use super::page::{Labels, Page};
use std::fmt;

/// One family: its name, with its unit and without the ending of its kind, what it means, and where its number is.
pub(super) struct Metric<T: 'static> {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) read: Read<T>,
}

/// What a number is, and how it is read.
pub(super) enum Read<T> {
    /// It only grows.
    Count(fn(&T) -> u64),
    /// The same in seconds.
    Seconds(fn(&T) -> f64),
    /// It goes up and down.
    Level(fn(&T) -> u64),
    /// The same, and no whole number.
    Amount(fn(&T) -> f64),
    /// A level that is absent where it is not known.
    Known(fn(&T) -> Option<u64>),
    /// 1 or 0.
    Is(fn(&T) -> bool),
}

/// Gives the families of a table, each with a sample of each item.
pub(super) fn encode<'a, T>(
    table: &'static [Metric<T>],
    items: &'a [T],
    labels: fn(&'a T) -> Labels<'a>,
    page: &mut Page<'_, '_>,
) -> fmt::Result {
    for Metric { name, help, read } in table {
        let all = items.iter().map(|item| (labels(item), item));
        match *read {
            Read::Count(of) => page.counters(name, help, all.map(|(labels, item)| (labels, of(item)))),
            Read::Seconds(of) => page.counters(name, help, all.map(|(labels, item)| (labels, of(item)))),
            Read::Level(of) => page.gauges(name, help, all.map(|(labels, item)| (labels, float(of(item))))),
            Read::Amount(of) => page.gauges(name, help, all.map(|(labels, item)| (labels, of(item)))),
            Read::Known(of) => {
                page.gauges(name, help, all.filter_map(|(labels, item)| Some((labels, float(of(item)?)))))
            }
            Read::Is(of) => page.gauges(name, help, all.map(|(labels, item)| (labels, flag(of(item))))),
        }?;
    }
    Ok(())
}

/// A row of a table.
pub(super) const fn metric<T>(name: &'static str, help: &'static str, read: Read<T>) -> Metric<T> {
    Metric { name, help, read }
}

pub(super) fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}
