//! What `worker init` asks on a terminal.

use crate::logging::say_rendered;
use crate::pipeline::{self, Delivery, INLINE_OPTIONS, InlineOption, InlineWord, Pipeline};
use crate::stderr;
use crate::text::harmless::Harmless;
use std::io::{self, BufRead as _, Write as _};
use std::path::Path;

/// Asks until there is a pipeline; `None`: the terminal was closed, or input has ended.
pub(super) fn ask(here: &Path) -> Option<Pipeline> {
    tell("A pipeline reads records (lines), runs them through programs, and writes what these print.");
    let mut words = Vec::new();
    until_good(&mut words, here, |words| {
        let input = answer("What is read? Files such as logs/*.log, or - for standard input", "-")?;
        words.push(word("input", &input)?);
        Some(())
    })?;
    loop {
        let is_first = words.len() == 1;
        let which = if is_first { "Which program do records go through" } else { "And then through which" };
        let before = words.len();
        until_good(&mut words, here, |words| {
            let program = answer(&format!("{which}, such as grep error? (nothing: no more)"), "")?;
            if !program.is_empty() {
                words.push(word("stage", &program)?);
            }
            Some(())
        })?;
        let Some(program) = words.get(before).map(|word| word.value.clone()) else { break };
        if yes(&format!("Must {} see all records in one run, as sort and wc do?", first_word(&program)))? {
            words[before] = word("stream", &program)?;
        } else if first_word(&program) == "grep" {
            tell("  (grep says 1 for \"no match\": that is taken as good)");
            words.push(word("ok-exit", "0,1")?);
        }
    }
    let mut made = until_good(&mut words, here, |words| {
        let output = answer("Where does it go? A file, or - for standard output", "-")?;
        words.push(word("output", &output)?);
        Some(())
    })?;
    if yes("Exactly once, through crashes? State is then kept beside the file")? {
        made.delivery = Delivery::ExactlyOnce;
    }
    Some(made)
}

/// Asks for more words until they make a pipeline with those that there are.
fn until_good(
    words: &mut Vec<InlineWord>,
    here: &Path,
    mut ask: impl FnMut(&mut Vec<InlineWord>) -> Option<()>,
) -> Option<Pipeline> {
    loop {
        let before = words.len();
        ask(words)?;
        match pipeline::inline(words, here, &[]) {
            Ok(pipeline) => return Some(pipeline),
            Err(error) => {
                say_rendered(&error.render(stderr::colors(&io::stderr())));
                words.truncate(before);
            }
        }
    }
}

fn word(long: &str, value: &str) -> Option<InlineWord> {
    let option: &'static InlineOption = INLINE_OPTIONS.iter().find(|option| option.long == long)?;
    Some(InlineWord { option, value: value.to_owned() })
}

fn first_word(program: &str) -> &str {
    program.split_whitespace().next().unwrap_or(program)
}

fn yes(question: &str) -> Option<bool> {
    loop {
        match answer(&format!("{question} y or n"), "n")?.to_lowercase().as_str() {
            "y" | "yes" => return Some(true),
            "n" | "no" => return Some(false),
            _ => tell("please say y or n"),
        }
    }
}

/// One line, without blanks around it; `default` where it is empty.
fn answer(question: &str, default: &str) -> Option<String> {
    let shown = if default.is_empty() { String::new() } else { format!(" [{default}]") };
    let mut terminal = io::stderr();
    let asked = Harmless::text(format!("{question}{shown}: "));
    terminal.write_all(asked.as_str().as_bytes()).and_then(|()| terminal.flush()).ok()?;
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line) {
        Ok(1..) => {}
        Ok(0) | Err(_) => {
            tell("");
            return None;
        }
    }
    let line = line.trim();
    Some(if line.is_empty() { default.to_owned() } else { line.to_owned() })
}

fn tell(text: &str) {
    let mut terminal = io::stderr();
    // Who has no terminal any more is told nothing, and asked nothing next.
    terminal.write_all(Harmless::text(format!("{text}\n")).as_str().as_bytes()).ok();
}
