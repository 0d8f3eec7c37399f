//! `{}` where it does what is probably not meant.

use crate::child::Takes;
use crate::pipeline::diagnostics::Problem;
use crate::pipeline::model::{Input, Mode, Stage};

const SHELLS: &[&str] = &["sh", "bash", "dash", "zsh", "ksh", "busybox"];

/// Programs to which `{}` is a word of their own.
const BRACES: &[&str] = &[
    "jq", "gojq", "jaq", "yq", "mlr", "awk", "gawk", "mawk", "perl", "node", "find", "fd", "xargs",
    "parallel", "rush",
];

pub(super) fn braces(stage: &Stage) -> Option<Problem> {
    let Mode::Batch(batch) = &stage.mode else { return None };
    let argv = &stage.program.argv;
    let name = argv.first().map(|program| program.rsplit('/').next().unwrap_or(program))?;
    if batch.input == Input::Stdin {
        let is_meant = argv.iter().skip(1).any(|word| word == "{}")
            && !BRACES.contains(&name)
            && !SHELLS.contains(&name);
        let title = format!("`{}` is given {{}} as it is", stage.name);
        return is_meant.then(|| {
            Problem::at(&stage.program.at, title, "records come on standard input")
                .help("input = \"arg\" (--arg) puts a record there, input = \"file\" (--batch-file) a file that has the batch")
        });
    }
    let script =
        argv.iter().zip(argv.iter().skip(1)).find(|(flag, _)| flag.starts_with('-') && flag.ends_with('c'));
    let is_inside = SHELLS.contains(&name) && script.is_some_and(|(_, script)| script.contains("{}"));
    (is_inside && batch.input.takes() == Takes::Arguments).then(|| {
        let title = format!("`{}` makes records a part of a shell's script", stage.name);
        Problem::at(&stage.program.at, title, "a record such as $(rm x) would be run")
            .help("give them as arguments of the script: run = [\"sh\", \"-c\", \"echo \\\"$1\\\"\", \"sh\", \"{}\"]")
    })
}
