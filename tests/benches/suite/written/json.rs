//! `results.json`; its shape is described in `docs/bench/README.md`.

use super::Results;
use crate::figure::{Aim, Figure, Measure, Spread, Verdict};
use crate::machine::Machine;
use crate::options::Options;
use crate::rows;
use serde_json::{Value, json};

pub(super) fn text(results: &Results) -> String {
    let Results { machine, options, figures } = results;
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
        "sure": figure.is_sure(),
        "reached": figure.verdict().and_then(|verdict| match verdict {
            Verdict::Reached => Some(true),
            Verdict::Missed => Some(false),
            Verdict::Unsure => None,
        }),
        "incomparable": figure.incomparable,
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

/// What [`text`] has written: figures consist of rounds, all else follows.
pub(super) fn read(text: &str) -> Result<Results, String> {
    let results: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let run = &results["options"];
    let options = Options {
        words: words(&run["arguments"]),
        rounds: run["rounds"].as_u64().and_then(|rounds| usize::try_from(rounds).ok()).ok_or("no rounds")?,
        size: run["size"].as_f64().ok_or("no size")?,
        ..Options::default()
    };
    let figures = results["figures"].as_array().ok_or("no figures")?;
    let figures = figures.iter().map(read_figure).collect::<Result<_, String>>()?;
    Ok(Results { machine: Machine::read(&results), options, figures })
}

fn read_figure(value: &Value) -> Result<Figure, String> {
    let row = words(&value["row"]);
    let row = rows::ROWS.iter().find(|known| known.name == row).ok_or(format!("there is no row {row}"))?;
    let mut figure =
        Figure::new(row.name, words(&value["work"]), words(&value["who"]), words(&value["unit"]))
            .against(words(&value["limit"]))
            .aim(read_aim(&value["aim"]));
    figure.measured = measures(&value["rounds"]);
    figure.limits = measures(&value["limit_rounds"]);
    figure.incomparable = value["incomparable"].as_str().map(str::to_owned);
    figure.failure = value["failure"].as_str().map(str::to_owned);
    Ok(figure)
}

fn read_aim(aim: &Value) -> Option<Aim> {
    let at_most = aim["at_most"].as_f64().map(Aim::AtMost);
    at_most.or_else(|| aim["at_least"].as_f64().map(Aim::AtLeast))
}

fn measures(rounds: &Value) -> Vec<Measure> {
    let rounds = rounds.as_array().into_iter().flatten();
    rounds
        .filter_map(|round| {
            Some(Measure { value: round["value"].as_f64()?, processor: round["processor_s"].as_f64() })
        })
        .collect()
}

fn words(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
