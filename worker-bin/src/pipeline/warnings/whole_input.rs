//! Well-known programs that look at their whole input, or never end.

/// Programs whose every use looks at the whole input.
const WHOLE: [&str; 16] = [
    "sort",
    "uniq",
    "wc",
    "head",
    "tail",
    "tac",
    "nl",
    "shuf",
    "tsort",
    "cksum",
    "md5sum",
    "sha1sum",
    "sha256sum",
    "sha512sum",
    "datamash",
    "comm",
];

/// Why a program's result depends on its whole input, if it is known to; `is_headed`: each batch begins with a header.
pub(super) fn whole_input(argv: &[String], is_headed: bool) -> Option<String> {
    let (program, rest) = unwrapped(argv)?;
    let has = |found: bool, why: &str| found.then(|| why.to_owned());
    match program {
        _ if WHOLE.contains(&program) => {
            Some(format!("{program} of one batch is not {program} of everything"))
        }
        "awk" | "gawk" | "mawk" | "nawk" | "original-awk" => awk(rest, is_headed),
        "sed" => {
            has(rest.iter().any(|arg| sed_counts_lines(arg)), "`$` and line numbers count within one batch")
        }
        "jq" | "gojq" | "jaq" => has(has_flag(rest, 's', "--slurp"), "slurps one batch at a time"),
        "grep" | "egrep" | "fgrep" | "rg" => {
            let counts = has_flag(rest, 'c', "--count") || has_flag(rest, 'n', "--line-number");
            has(counts || has_flag(rest, 'm', "--max-count"), "counts within one batch")
        }
        "cat" => has(has_flag(rest, 'n', "--number"), "numbers the lines of one batch"),
        "perl" | "ruby" => {
            has(rest.iter().any(|arg| has_word(arg, "END") || arg.contains("$.")), "END runs once per batch")
        }
        _ => None,
    }
}

/// Whether a program is known never to end by itself.
pub(crate) fn endless(argv: &[String]) -> bool {
    let Some((program, rest)) = unwrapped(argv) else { return false };
    match program {
        "tail" => has_flag(rest, 'f', "--follow") || has_flag(rest, 'F', "--follow"),
        "journalctl" | "kubectl" | "docker" | "podman" => has_flag(rest, 'f', "--follow"),
        "dmesg" => has_flag(rest, 'w', "--follow") || has_flag(rest, 'W', "--follow-new"),
        "ping" => !has_flag(rest, 'c', "--count"),
        "inotifywait" => has_flag(rest, 'm', "--monitor"),
        "yes" | "watch" | "vmstat" => true,
        _ => false,
    }
}

/// The program behind wrappers such as `env`, `nice` and `stdbuf`, and its arguments.
pub(super) fn unwrapped(argv: &[String]) -> Option<(&str, &[String])> {
    let (first, mut rest) = argv.split_first()?;
    let name = first.rsplit('/').next().unwrap_or(first);
    // Options of the wrapper that take the next word as their value.
    let (valued, skipped): (&[&str], usize) = match name {
        "env" => (&["-u", "--unset", "-C", "--chdir"], 0),
        "nice" => (&["-n", "--adjustment"], 0),
        "ionice" => (&["-c", "-n", "--class", "--classdata"], 0),
        "stdbuf" => (&["-i", "-o", "-e", "--input", "--output", "--error"], 0),
        "timeout" => (&["-k", "-s", "--kill-after", "--signal"], 1),
        "taskset" => (&[], 1),
        "nohup" | "setsid" | "time" | "unbuffer" | "busybox" | "sudo" => (&[], 0),
        _ => return Some((name, rest)),
    };
    let mut skipped = skipped;
    while let Some((word, behind)) = rest.split_first() {
        if valued.contains(&word.as_str()) {
            rest = behind.get(1..)?;
        } else if word.starts_with('-') || (name == "env" && word.contains('=')) {
            rest = behind;
        } else if skipped > 0 {
            skipped -= 1;
            rest = behind;
        } else {
            break;
        }
    }
    unwrapped(rest)
}

pub(super) fn has_flag(args: &[String], short: char, long: &str) -> bool {
    args.iter().take_while(|arg| *arg != "--").any(|arg| {
        arg == long
            || arg.strip_prefix(long).is_some_and(|rest| rest.starts_with('='))
            || arg.strip_prefix('-').is_some_and(|flags| {
                let letters = flags.chars().take_while(char::is_ascii_alphabetic);
                !flags.starts_with('-') && letters.clone().any(|flag| flag == short)
            })
    })
}

/// Where each batch begins with a header, `NR` tells it from the rows.
fn awk(args: &[String], is_headed: bool) -> Option<String> {
    let words = [
        ("END", "END runs once per batch"),
        ("NR", "NR counts within one batch"),
        ("FNR", "FNR counts within one batch"),
    ];
    let words = &words[..if is_headed { 1 } else { words.len() }];
    let (_, why) = words.iter().find(|(word, _)| args.iter().any(|arg| has_word(arg, word)))?;
    Some((*why).to_owned())
}

/// Whether a text has a word that is not part of a longer one.
fn has_word(text: &str, word: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    text.match_indices(word)
        .any(|(at, _)| !part(text[..at].chars().next_back()) && !part(text[at + word.len()..].chars().next()))
}

/// Whether a sed script has an address that counts lines: a number, or `$` for the last.
fn sed_counts_lines(script: &str) -> bool {
    script.split([';', '\n', '{']).any(|command| {
        let command = command.trim_start();
        let address = match command.strip_prefix('/') {
            Some(rest) => rest.split_once('/').map_or("", |(_, rest)| rest).trim_start_matches(','),
            None => command,
        };
        let digits = address.trim_start_matches(|c: char| c.is_ascii_digit());
        let (counts, rest) = match address.strip_prefix('$') {
            Some(rest) => (true, rest),
            None => (digits.len() < address.len(), digits),
        };
        counts && rest.trim_start().starts_with(|c: char| c.is_ascii_alphabetic() || "!=,~{}".contains(c))
            || (counts && rest.trim().is_empty() && script.contains('{'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &str) -> Vec<String> {
        shell_words::split(command).unwrap()
    }

    #[test]
    fn programs_that_look_at_their_whole_input_are_known() {
        for command in [
            "sort -u",
            "/usr/bin/uniq -c",
            "env LC_ALL=C sort",
            "nice -n 5 stdbuf -oL wc -l",
            "env -u X nice -5 tac",
            "timeout -k 1 10 head -n 3",
            "awk '{c[$1]++} END{print c[1]}'",
            "awk 'NR%2'",
            "gawk -F, 'FNR==1'",
            "sed '$d'",
            "sed -n '5p'",
            "sed -e 's/a/b/;$!N'",
            "sed '2,5d'",
            "sed '/x/,$d'",
            "sed '1{p;q}'",
            "jq -s add",
            "jq -rs .",
            "jq --slurp .",
            "grep -c x",
            "nl",
            "cat -n",
            "perl -ne 'END { print 1 }'",
            "stdbuf -o L sort",
        ] {
            assert!(whole_input(&words(command), false).is_some(), "{command}");
        }
    }

    #[test]
    fn programs_that_work_record_by_record_are_left_alone() {
        for command in [
            "grep sort",
            "awk '{print $1}'",
            "awk '/SEND/{print VENDOR}'",
            "sed 's/a$/b/'",
            "sed 's/1/2/g;s/x$/y/'",
            "jq -S .",
            "jq -c .s",
            "cat",
            "env A=1 cut -d, -f1",
            "./sort.py.bak",
            "tr a b",
            "sed '/1$/d'",
            "grep -- -c",
            "sh -c 'sort'",
            "env",
        ] {
            assert_eq!(whole_input(&words(command), false), None, "{command}");
        }
    }

    #[test]
    fn programs_that_never_end_are_known() {
        for command in
            ["tail -f x", "tail -n0 -F x", "journalctl -f", "nice journalctl --follow", "kubectl logs -f p"]
        {
            assert!(endless(&words(command)), "{command}");
        }
        for command in ["tail x", "journalctl -u f", "seq 10", "ping -c 3 host"] {
            assert!(!endless(&words(command)), "{command}");
        }
    }
}
