//! Moving bytes and nothing else.

use crate::figure::{Aim, Figure};
use crate::input;
use crate::pipeline::{Delivery, run, shell};
use crate::suite::{Contender, Suite, Work};

pub(super) const NAME: &str = "pass";

const MODES: [&str; 2] = ["batch", "stream"];

pub(super) fn measure(suite: &Suite) -> Vec<Figure> {
    let bytes = input::lines(suite);
    let limit = Contender::new("shell pipe", || shell(suite, "cat lines.txt | cat | cat > pipe.txt"));
    let mut others: Vec<Contender> = Vec::new();
    for (who, binary) in &suite.workers {
        for (delivery, mode) in Delivery::BOTH.iter().flat_map(|delivery| MODES.map(|mode| (*delivery, mode)))
        {
            let file = format!("pass-{mode}.toml");
            std::fs::write(suite.dir().join(&file), pipeline(mode)).expect("write the pipeline file");
            let run = move || {
                let took = run(binary, suite, &[&file], delivery);
                assert_eq!(input::size(&suite.dir().join("worker.txt")), bytes, "every line comes once");
                took
            };
            let aim = (delivery == Delivery::Memory).then_some(Aim::AtMost(1.3));
            others.push(Contender::new(format!("{who}, {}, {mode} mode", delivery.name()), run).aim(aim));
        }
    }
    let work = Work { row: NAME, work: "cat → cat → file".to_owned(), unit: "s" };
    work.in_turn(suite.rounds, limit, others)
}

fn pipeline(mode: &str) -> String {
    format!(
        r#"
[source.lines]
file = "{}"

[stage.first]
run = ["cat"]
mode = "{mode}"

[stage.second]
run = ["cat"]
mode = "{mode}"

[sink.out]
file = "worker.txt"
exists = "replace"
"#,
        input::LINES
    )
}
