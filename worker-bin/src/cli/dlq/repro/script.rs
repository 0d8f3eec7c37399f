//! The command and the environment of a child, as a shell script.

use crate::child::{Filling, Gives, Takes, filled};
use crate::cli::dlq::store::LetterId;
use crate::io::dead::Letter;
use crate::pipeline::plan::{LocalTask, StageTask};
use crate::pipeline::{EnvValue, Mode};
use std::ffi::OsString;
use std::path::PathBuf;
use worker_core::config::TaskName;

/// Stand in the words where the script has the record, and the file for the output.
const INPUT: &str = "worker-dlq-repro-input";
const OUTPUT: &str = "worker-dlq-repro-output";

/// What the script is made of.
pub(super) struct Script<'a> {
    pub(super) id: &'a LetterId,
    pub(super) letter: &'a Letter,
    pub(super) task: &'a LocalTask,
    pub(super) stage: &'a StageTask,
    /// The program's file, where it cannot be found by its name.
    pub(super) found: Option<PathBuf>,
}

impl Script<'_> {
    /// The script. It takes secrets from where the pipeline file takes them, and its exit status is the program's.
    pub(super) fn text(&self) -> String {
        let program = &self.stage.program;
        let cwd = quote(&program.cwd.to_string_lossy());
        let mut script = format!(
            "#!/bin/sh\n# Runs the program of stage {} on the record of dead letter {}. See README.txt.\n\
             here=$(cd \"$(dirname \"$0\")\" && pwd) || exit 126\n\
             tmp=$(mktemp -d) || exit 126\n\
             trap 'rm -rf \"$tmp\"' EXIT\n",
            self.task.stage, self.id
        );
        let mut words = vec!["env".to_owned()];
        if program.clear_env {
            words.push("-i".to_owned());
        }
        if !matches!(self.stage.mode, Mode::Batch(_)) {
            words.extend(["PYTHONHASHSEED=0", "PERL_HASH_SEED=0"].map(str::to_owned));
        }
        for (number, (name, value)) in program.env.iter().enumerate() {
            let value = match value {
                EnvValue::Text(text) => quote(text),
                EnvValue::Env(variable) => {
                    script += &taken(number, variable);
                    format!("\"$value{number}\"")
                }
                EnvValue::File(path) => {
                    let path = quote(&path.to_string_lossy());
                    script += &format!("value{number}=$(cat {path}) || exit 126\n");
                    format!("\"$value{number}\"")
                }
            };
            words.push(format!("{}={value}", quote(name)));
        }
        words.extend(self.place());
        words.extend(self.argv());
        let stdin = match super::takes(self.stage) {
            Takes::Stdin => "\"$here/input\"",
            Takes::Arguments => {
                script += "record=$(cat \"$here/input\" && echo x) || exit 126\nrecord=${record%x}\n";
                "/dev/null"
            }
            Takes::File => "/dev/null",
        };
        script += &format!("cd {cwd} || exit 126\n{} < {stdin}\n", words.join(" \\\n  "));
        if self.gives() == Gives::File {
            script += "status=$?\ncat \"$tmp/output\"\nexit $status\n";
        }
        script
    }

    fn gives(&self) -> Gives {
        match &self.stage.mode {
            Mode::Batch(batch) => batch.output,
            Mode::Stream(_) | Mode::Records(_) => Gives::Stdout,
        }
    }

    /// What tells the program where it is.
    fn place(&self) -> impl Iterator<Item = String> {
        let Self { task, letter, .. } = self;
        let batch_id = letter.batch_id.as_deref().unwrap_or("0");
        let partition = TaskName::of(&letter.task).partition;
        [
            format!("WORKER_TASK={}", quote(&letter.task)),
            format!("WORKER_STAGE={}", quote(&task.stage)),
            format!("WORKER_PARTITION={}", quote(partition)),
            format!("WORKER_PARTITIONS={}", task.partitions),
            format!("WORKER_BATCH_ID={}", quote(batch_id)),
            "WORKER_ATTEMPT=1".to_owned(),
            "WORKER_TMPDIR=\"$tmp\"".to_owned(),
        ]
        .into_iter()
    }

    fn argv(&self) -> impl Iterator<Item = String> {
        let argv = &self.stage.program.argv;
        let program = self.found.as_ref().map(|file| file.to_string_lossy().into_owned());
        let program = program.or_else(|| argv.first().cloned());
        let words =
            program.into_iter().chain(argv.iter().skip(1).cloned()).map(OsString::from).collect::<Vec<_>>();
        let inputs: Option<&[&[u8]]> = match super::takes(self.stage) {
            Takes::Stdin => None,
            Takes::Arguments | Takes::File => Some(&[INPUT.as_bytes()]),
        };
        let output = Some(OUTPUT.as_bytes()).filter(|_| self.gives() == Gives::File);
        let input = match super::takes(self.stage) {
            Takes::Stdin | Takes::Arguments => "\"$record\"",
            Takes::File => "\"$here/input\"",
        };
        let words = filled(&words, &Filling { inputs, output });
        words.into_iter().map(move |word| {
            let word = quote(&word.to_string_lossy());
            // A quote ends before what the shell is to replace, and begins behind it.
            let quoted = word.starts_with('\'');
            let put = |word: String, sign: &str, by: &str| match quoted {
                true => word.replace(sign, &format!("'{by}'")),
                false => word.replace(sign, by),
            };
            put(put(word, INPUT, input), OUTPUT, "\"$tmp/output\"")
        })
    }
}

/// The value of a variable of whoever runs the script.
fn taken(number: usize, variable: &str) -> String {
    let name = quote(variable);
    format!("value{number}=$(printenv {name}) || {{ echo set {name} as the worker had it >&2; exit 126; }}\n")
}

fn quote(word: &str) -> String {
    shell_words::quote(word).into_owned()
}
