//! `results.json`; its shape is described in `docs/bench/README.md`.

use crate::figure::{Aim, Figure, Measure, Spread};
use crate::machine::Machine;
use crate::options::Options;
use serde_json::{Value, json};

pub(super) fn text(machine: &Machine, options: &Options, figures: &[Figure]) -> String {
    let results = json!({
        "version": 1,
        "date": machine.date(),
        "commit": machine.commit(),
        "machine": machine.json(),
        "workers": machine.workers(),
        "options": { "arguments": options.words, "rounds": options.rounds, "size": options.size },
        "figures": figures.iter().map(figure).collect::<Vec<Value>>(),
    });
    serde_json::to_string_pretty(&results).expect("figures are JSON") + "\n"
}

fn figure(figure: &Figure) -> Value {
    json!({
        "row": figure.row,
        "work": figure.work,
        "who": figure.who,
        "unit": figure.unit,
        "limit": (!figure.limit.is_empty()).then_some(&figure.limit),
        "value": spread(figure.value()),
        "limit_value": spread(figure.limit_value()),
        "ratio": spread(figure.ratio()),
        "processor_s": spread(figure.processor()),
        "processor_ratio": spread(figure.processor_ratio()),
        "aim": figure.aim.map(|aim| match aim {
            Aim::AtMost(value) => json!({ "at_most": value }),
            Aim::AtLeast(value) => json!({ "at_least": value }),
        }),
        "reached": figure.is_reached(),
        "failure": figure.failure,
        "rounds": figure.measured.iter().map(measure).collect::<Vec<Value>>(),
        "limit_rounds": figure.limits.iter().map(measure).collect::<Vec<Value>>(),
    })
}

fn spread(spread: Option<Spread>) -> Value {
    spread.map_or(
        Value::Null,
        |spread| json!({ "low": spread.low, "median": spread.median, "high": spread.high }),
    )
}

fn measure(measure: &Measure) -> Value {
    json!({ "value": measure.value, "processor_s": measure.processor })
}
