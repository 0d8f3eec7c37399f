//! `{}` and `{out}` in the words of a program.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

/// What a part of a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a [u8]),
    /// `{}`.
    Input,
    /// `{out}`.
    Output,
}

/// What stands for `{}`, once for each, and for `{out}`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filling<'a> {
    /// `None`: `{}` means nothing here.
    pub(crate) inputs: Option<&'a [&'a [u8]]>,
    /// `None`: `{out}` means nothing here.
    pub(crate) output: Option<&'a [u8]>,
}

/// The words of a program with what they stand for.
///
/// A word that has `{}` comes once for each input; if none has it, the inputs are words at the end. `{{}}` is `{}` itself.
pub(crate) fn filled(argv: &[OsString], filling: &Filling<'_>) -> Vec<OsString> {
    let mut words = Vec::with_capacity(argv.len() + filling.inputs.map_or(0, <[_]>::len));
    let mut has_input = false;
    for (index, word) in argv.iter().enumerate() {
        let parts = parts(word.as_bytes(), filling);
        match filling.inputs.filter(|_| index > 0 && parts.contains(&Part::Input)) {
            Some(inputs) => {
                has_input = true;
                words.extend(inputs.iter().map(|input| joined(&parts, input, filling)));
            }
            None => words.push(joined(&parts, b"{}", filling)),
        }
    }
    if let (Some(inputs), false) = (filling.inputs, has_input) {
        words.extend(inputs.iter().map(|input| OsString::from_vec(input.to_vec())));
    }
    words
}

fn joined(parts: &[Part<'_>], input: &[u8], filling: &Filling<'_>) -> OsString {
    let mut word = Vec::new();
    for part in parts {
        word.extend_from_slice(match part {
            Part::Text(text) => text,
            Part::Input => input,
            Part::Output => filling.output.unwrap_or_default(),
        });
    }
    OsString::from_vec(word)
}

fn parts<'a>(word: &'a [u8], filling: &Filling<'_>) -> Vec<Part<'a>> {
    let mut signs: Vec<(&[u8], Part<'static>)> = Vec::new();
    if filling.inputs.is_some() {
        signs.extend([(&b"{{}}"[..], Part::Text(b"{}")), (&b"{}"[..], Part::Input)]);
    }
    if filling.output.is_some() {
        signs.push((b"{out}", Part::Output));
    }
    let (mut parts, mut text, mut at) = (Vec::new(), 0, 0);
    while at < word.len() {
        let Some((sign, part)) = signs.iter().find(|(sign, _)| word[at..].starts_with(sign)) else {
            at += 1;
            continue;
        };
        if text < at {
            parts.push(Part::Text(&word[text..at]));
        }
        parts.push(*part);
        at += sign.len();
        text = at;
    }
    if text < at || parts.is_empty() {
        parts.push(Part::Text(&word[text..at]));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(argv: &str, inputs: Option<&[&[u8]]>, output: Option<&str>) -> Vec<String> {
        let argv: Vec<OsString> = argv.split(' ').map(OsString::from).collect();
        let filling = Filling { inputs, output: output.map(str::as_bytes) };
        filled(&argv, &filling).into_iter().map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn a_record_stands_wherever_its_sign_does_or_at_the_end() {
        let one: Option<&[&[u8]]> = Some(&[b"a b"]);
        assert_eq!(fill("echo {} x{}y{}", one, None), ["echo", "a b", "xa bya b"]);
        assert_eq!(fill("echo -n", one, None), ["echo", "-n", "a b"]);
        assert_eq!(fill("echo {{}} {}", one, None), ["echo", "{}", "a b"]);
        assert_eq!(fill("echo {{}}", one, None), ["echo", "{}", "a b"]);
        assert_eq!(fill("echo {}", Some(&[b""]), None), ["echo", ""]);
        assert_eq!(fill("{} {}", one, None), ["{}", "a b"], "a program is named once and for all");
    }

    #[test]
    fn a_word_comes_once_for_each_of_several_records() {
        let two: Option<&[&[u8]]> = Some(&[b"a", b"{}"]);
        assert_eq!(
            fill("p -f {} --x={} {out}", two, Some("o")),
            ["p", "-f", "a", "{}", "--x=a", "--x={}", "o"]
        );
        assert_eq!(fill("p", two, None), ["p", "a", "{}"]);
    }

    #[test]
    fn signs_that_mean_nothing_here_stay() {
        assert_eq!(fill("jq {} {{}} {out}", None, None), ["jq", "{}", "{{}}", "{out}"]);
        assert_eq!(fill("p {} {out}", None, Some("o")), ["p", "{}", "o"]);
        assert_eq!(fill("p {out} -", Some(&[b"a"]), None), ["p", "{out}", "-", "a"]);
    }
}
