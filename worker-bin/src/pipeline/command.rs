//! The command a stage, source or sink runs: words, never a shell.

use super::diagnostics::{At, Problem};
use super::reader::{KeyValue, Reader};

/// Characters that only a shell would act on, and what they do there.
const SHELL: [(&str, &str); 7] = [
    ("&&", "runs a second program"),
    ("|", "joins programs"),
    (">", "redirects output"),
    ("<", "redirects input"),
    (";", "runs a second program"),
    ("$", "inserts a variable"),
    ("`", "inserts a program's output"),
];

/// Program and arguments of a `run` key.
pub(super) fn argv<'d>(reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<Vec<String>> {
    let words: Vec<(String, At)> = match entry.value.get_ref().as_str() {
        Some(text) => {
            let at = entry.at();
            let words = match split(text, entry.key, &at, reader.text) {
                Ok(words) => words,
                Err(problem) => return reader.fail(problem),
            };
            let mut expanded = Vec::with_capacity(words.len());
            for word in words {
                expanded.push((reader.expanded(&word, &at)?, at.clone()));
            }
            expanded
        }
        None if entry.value.get_ref().is_array() => reader.strings(entry)?,
        None => return reader.wrong_type(entry.key, entry.value, "a list of words, or a string"),
    };
    if words.first().is_none_or(|(program, _)| program.is_empty()) {
        return reader.fail(
            Problem::at(
                &entry.at(),
                format!("`{}` names no program", entry.key),
                "expected a program and its arguments",
            )
            .help("for example run = [\"grep\", \"error\"]"),
        );
    }
    for (word, at) in &words {
        if word.contains('\0') {
            return reader.fail(Problem::at(
                at,
                "an argument holds a zero byte",
                "programs cannot be given one",
            ));
        }
        refuse_mistaken_variables(reader, word, at)?;
    }
    Some(words.into_iter().map(|(word, _)| word).collect())
}

/// `${name}` stays as it is for programs that know it, unless the file has a variable of that name.
fn refuse_mistaken_variables(reader: &mut Reader<'_>, word: &str, at: &At) -> Option<()> {
    for part in word.split("${").skip(1) {
        let name = part.split('}').next().unwrap_or_default();
        if reader.vars.is_known(name) {
            let title = format!("`${{{name}}}` is not replaced");
            return reader.fail(
                Problem::at(at, title, "the program would get it as it is")
                    .help(format!("variables of the file are written {{{{{name}}}}}")),
            );
        }
    }
    Some(())
}

/// Splits a command into words with the quoting rules of a shell, and refuses what only a shell would do.
fn split(text: &str, key: &str, at: &At, document: &str) -> Result<Vec<String>, Problem> {
    if let Some((index, sign, effect)) = shell_sign(text) {
        let at = inside(document, at, text, index, sign.len());
        return Err(Problem::at(
            &at,
            format!("{} {effect} in a shell, but no shell runs this", quoted(sign)),
            "unquoted here",
        )
        .help(format!("if the program is to see it, give the words one by one: {}", argv_form(text, key)))
        .help(match sign {
            "$" => "for a variable of the file write {{name}}; for the environment use env",
            ">" => "to write a file, use a sink: [sink.out] file = \"…\"",
            "<" => "to read a file, use a source: [source.in] file = \"…\"",
            _ => "to run several programs, make each a stage of its own; or name a shell: run = [\"sh\", \"-c\", \"…\"]",
        }));
    }
    shell_words::split(text).map_err(|_| {
        Problem::at(at, format!("a quote in `{key}` is not closed"), "cannot be split into words")
            .help("close the quote, or give the words one by one: run = [\"grep\", \"it's\"]")
    })
}

/// A sign as messages show it.
fn quoted(sign: &str) -> String {
    if sign == "`" { "a backtick".to_owned() } else { format!("`{sign}`") }
}

/// The first unquoted sign of a shell: where it is, which, and what a shell would do.
fn shell_sign(text: &str) -> Option<(usize, &'static str, &'static str)> {
    let mut quote = None;
    let mut escaped = false;
    for (index, c) in text.char_indices() {
        if escaped {
            escaped = false;
            continue;
        }
        match (quote, c) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None | Some('"'), '\\') => escaped = true,
            (Some(_), _) => {}
            (None, _) => {
                if let Some(&(sign, effect)) = SHELL.iter().find(|(sign, _)| text[index..].starts_with(sign))
                {
                    return Some((index, sign, effect));
                }
            }
        }
    }
    None
}

/// Where a part of a string stands, or the whole string if it is written with escapes.
fn inside(document: &str, at: &At, text: &str, index: usize, length: usize) -> At {
    let written = document.get(at.0.clone()).unwrap_or_default();
    match written.find(text) {
        Some(offset) if !text.is_empty() => {
            let start = at.0.start + offset + index;
            At(start..start + length)
        }
        _ => at.clone(),
    }
}

/// The command as a list of words, as good as it can be guessed.
fn argv_form(text: &str, key: &str) -> String {
    let words =
        shell_words::split(text).unwrap_or_else(|_| text.split_whitespace().map(str::to_owned).collect());
    let words: Vec<String> = words.into_iter().map(|word| toml::Value::String(word).to_string()).collect();
    format!("{key} = [{}]", words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unquoted_signs_count() {
        assert_eq!(shell_sign("grep a | sort").map(|(i, s, _)| (i, s)), Some((7, "|")));
        assert_eq!(shell_sign("a && b").map(|(i, s, _)| (i, s)), Some((2, "&&")));
        assert_eq!(shell_sign("grep 500$").map(|(i, s, _)| (i, s)), Some((8, "$")));
        for fine in ["awk '{print $1 > 2}'", "grep \"a|b\"", "grep a\\|b", "grep 'it;s'"] {
            assert_eq!(shell_sign(fine), None, "{fine}");
        }
    }
}
