//! Moving bytes and nothing else.

use super::About;
use crate::figure::{Aim, Figure};
use crate::input;
use crate::pipeline::{Delivery, run, shell};
use crate::suite::{Contender, Suite, Work};

pub(super) const NAME: &str = "pass";

const MODES: [&str; 2] = ["batch", "stream"];

pub(super) fn about() -> About {
    through(input::LINES, input::LINES_ARE)
}

/// How a file goes through two `cat`.
pub(super) fn through(file: &str, what: &str) -> About {
    About::new(
        what,
        format!(
            "`worker run -i {file} -s cat -s cat -o worker.txt --force --quiet` (batches of up to 8 MiB), with `-S` for streams, exactly \
             once with `--state state`; as files that say the same. As many bytes have to come as went in"
        ),
        format!("`{}`", pipe(file)),
    )
}

fn pipe(file: &str) -> String {
    format!("cat {file} | cat | cat > pipe.txt")
}

pub(super) fn measure(suite: &Suite) -> Vec<Figure> {
    let bytes = input::lines(suite);
    compare(suite, NAME, input::LINES, bytes)
}

pub(super) fn compare(suite: &Suite, row: &'static str, input: &'static str, bytes: u64) -> Vec<Figure> {
    let limit = Contender::new("shell pipe", move || shell(suite, &pipe(input)));
    let mut others: Vec<Contender> = Vec::new();
    for (who, binary) in &suite.workers {
        for (delivery, mode) in Delivery::BOTH.iter().flat_map(|delivery| MODES.map(|mode| (*delivery, mode)))
        {
            let file = format!("{row}-{mode}.toml");
            std::fs::write(suite.dir().join(&file), pipeline(input, mode)).expect("write the pipeline file");
            let run = move || {
                let took = run(binary, suite, &[&file], delivery);
                assert_eq!(input::size(&suite.dir().join("worker.txt")), bytes, "every line comes once");
                took
            };
            let aim = (row == NAME && delivery == Delivery::Memory).then_some(Aim::AtMost(1.3));
            others.push(Contender::new(format!("{who}, {}, {mode} mode", delivery.name()), run).aim(aim));
        }
    }
    Work { row, work: "cat → cat → file".to_owned(), unit: "s" }.in_turn(suite.rounds, limit, others)
}

fn pipeline(input: &str, mode: &str) -> String {
    format!(
        r#"
[source.lines]
file = "{input}"

[stage.first]
run = ["cat"]
mode = "{mode}"

[stage.second]
run = ["cat"]
mode = "{mode}"

[sink.out]
file = "worker.txt"
exists = "replace"
"#
    )
}
