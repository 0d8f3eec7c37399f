//! What every kind of end promises, in both deliveries, under every fault: the table in `docs/ends.md` is read, and each of
//! its cells is tried on real processes.

mod cell;
mod fifo;
mod sinks;
mod sources;
mod table;

use cell::{Delivery, Fault, Trial, try_cell};
use table::Table;

/// Tries the row of one end, and fails with all cells that do not hold.
fn row(name: &str, trial: impl Fn(Delivery) -> Trial) {
    let table = Table::read();
    let mut broken = Vec::new();
    for delivery in Delivery::ALL {
        for fault in Fault::ALL {
            let promise = table.cell(name, delivery, fault);
            if let Err(why) = try_cell(&trial(delivery), delivery, fault, promise) {
                broken.push(format!("{name}, {delivery:?}, {fault:?}: promised is {promise:?}: {why}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// No end of the table is without a test.
#[test]
fn every_row_is_tried() {
    let tried: Vec<&str> = sources::NAMES.iter().chain(sinks::NAMES).copied().collect();
    assert_eq!(Table::read().names(), tried);
}
