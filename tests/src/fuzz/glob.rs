//! File patterns against another way to match them, which is as slow as it is plain.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path};
use worker_bin::fuzzing;

pub(super) fn run(data: &[u8]) {
    let mut lines = data.split(|&byte| byte == b'\n');
    let Some(Ok(pattern)) = lines.next().map(std::str::from_utf8) else { return };
    let parts = parts(pattern);
    for path in lines {
        let path = Path::new(OsStr::from_bytes(path));
        // Characters that stand for bytes cannot be written themselves.
        if path.to_string_lossy().contains(|c| ('\u{10ff00}'..='\u{10ffff}').contains(&c)) {
            continue;
        }
        match (fuzzing::could_match(pattern, path), &parts) {
            (Ok(matches), Some(parts)) => {
                let names: Vec<Vec<char>> =
                    path.components().map(|name| characters(name.as_os_str())).collect();
                assert_eq!(matches, path_matches(parts, &names), "{pattern:?} and {path:?}");
            }
            (Err(why), None) => super::is_fit_to_print(&why),
            (known, parts) => panic!("{pattern:?} is {known:?}, and {parts:?}"),
        }
    }
}

#[derive(Clone, Debug)]
enum Part {
    Directories,
    Name(Vec<Token>),
}

#[derive(Clone, Debug)]
enum Token {
    One(char),
    Any,
    Many,
    Class { negated: bool, ranges: Vec<(char, char)> },
}

/// A byte that is of no character is one by itself: the one that stands for it in a pipeline file.
fn characters(name: &OsStr) -> Vec<char> {
    let mut all = Vec::new();
    for chunk in name.as_bytes().utf8_chunks() {
        all.extend(chunk.valid().chars());
        all.extend(chunk.invalid().iter().filter_map(|&byte| char::from_u32(0x0010_ff00 + u32::from(byte))));
    }
    all
}

/// What a pattern says, if it is one.
fn parts(pattern: &str) -> Option<Vec<Part>> {
    Path::new(pattern)
        .components()
        .map(|part| {
            let text = part.as_os_str().to_str()?;
            let is_name = matches!(part, Component::Normal(_)) && text.contains(['*', '?', '[']);
            match text {
                "**" => Some(Part::Directories),
                _ if is_name && text.contains("**") => None,
                _ if is_name => tokens(text).map(Part::Name),
                _ => Some(Part::Name(text.chars().map(Token::One).collect())),
            }
        })
        .collect()
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let (mut chars, mut all) = (text.chars(), Vec::new());
    while let Some(c) = chars.next() {
        all.push(match c {
            '*' => Token::Many,
            '?' => Token::Any,
            '[' => {
                let (class, rest) = class(chars.as_str())?;
                chars = rest.chars();
                class
            }
            c => Token::One(c),
        });
    }
    Some(all)
}

/// What stands behind a bracket, and what behind the one that closes it.
fn class(text: &str) -> Option<(Token, &str)> {
    let inner = text.strip_prefix(['!', '^']);
    let (negated, text) = (inner.is_some(), inner.unwrap_or(text));
    // The first one may be the bracket itself.
    let first = text.chars().next()?;
    let length = first.len_utf8() + text[first.len_utf8()..].find(']')?;
    let all: Vec<char> = text[..length].chars().collect();
    let (mut left, mut ranges) = (&all[..], Vec::new());
    while let [from, rest @ ..] = left {
        let (to, rest) = if let ['-', to, rest @ ..] = rest { (to, rest) } else { (from, rest) };
        if to < from {
            return None;
        }
        ranges.push((*from, *to));
        left = rest;
    }
    Some((Token::Class { negated, ranges }, &text[length + 1..]))
}

fn path_matches(parts: &[Part], names: &[Vec<char>]) -> bool {
    // `reached`: the parts so far may be the first so many names.
    let mut reached: Vec<bool> = (0..=names.len()).map(|count| count == 0).collect();
    for part in parts {
        reached = match part {
            Part::Name(tokens) => {
                let one =
                    |count: usize| count > 0 && reached[count - 1] && name_matches(tokens, &names[count - 1]);
                (0..=names.len()).map(one).collect()
            }
            Part::Directories => any_more(&reached),
        };
    }
    reached[names.len()]
}

fn name_matches(tokens: &[Token], name: &[char]) -> bool {
    let mut reached: Vec<bool> = (0..=name.len()).map(|count| count == 0).collect();
    for token in tokens {
        let one = |is: &dyn Fn(char) -> bool| {
            (0..=name.len()).map(|count| count > 0 && reached[count - 1] && is(name[count - 1])).collect()
        };
        reached = match token {
            Token::One(own) => one(&|c| c == *own),
            Token::Any => one(&|_| true),
            Token::Class { negated, ranges } => {
                one(&|c| ranges.iter().any(|&(from, to)| (from..=to).contains(&c)) != *negated)
            }
            Token::Many => any_more(&reached),
        };
    }
    reached[name.len()]
}

/// Where so many may be reached, any more may be.
fn any_more(reached: &[bool]) -> Vec<bool> {
    let first = reached.iter().position(|&is| is);
    (0..reached.len()).map(|count| first.is_some_and(|first| count >= first)).collect()
}
