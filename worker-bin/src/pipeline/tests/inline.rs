//! Pipelines on the command line, and the file that says the same.

use super::words;
use crate::pipeline::{Detail, INLINE_OPTIONS, Pipeline, SourceText, inline, parse, to_toml};
use std::path::Path;

fn pipeline(line: &str) -> Pipeline {
    inline(&words(line), Path::new("/base"), &[]).unwrap_or_else(|error| panic!("{line}\n{error}"))
}

fn mistake(line: &str) -> String {
    match inline(&words(line), Path::new("/base"), &[]) {
        Err(error) => error.to_string(),
        Ok(pipeline) => panic!("{line}\n{}", to_toml(&pipeline, Detail::Short)),
    }
}

/// For every option a command line that has it, and what the file then says.
const EXAMPLES: &[(&str, &str)] = &[
    ("-i 'a*'", "file = \"a*\""),
    ("-i b -i a -i b", "file = [\"b\", \"a\", \"b\"]"),
    ("-i -", "stdin = true"),
    ("--list '*.png'", "list = \"*.png\""),
    ("--list 'b/*' --list a --framing nul -s echo --arg", "list = [\"b/*\", \"a\"]\nframing = \"nul\""),
    ("-i a --header repeat", "header = \"repeat\""),
    ("-i a --framing start=^> -s a --framing lines", "framing = { start = \"^>\" }\n\n[stage.a]"),
    ("-s a --framing lines=4", "framing = { lines = 4 }"),
    ("--framing json -s a", "framing = { json = true }"),
    ("-i a --header skip --header keep", "file = \"a\""),
    ("-i a --follow", "file = \"a\"\nfollow = true"),
    ("-i a --follow --since end", "since = \"end\""),
    ("-i a --follow --idle 10m", "idle = \"10m\""),
    ("--on-long cut", "on_long = \"cut\""),
    ("--rate 5000/s --burst 9", "rate = \"5000/s\"\nburst = 9"),
    ("-i a --sample 1%", "sample = \"1%\""),
    ("-i a --sample 0.50% --sample-by csv:2", "sample = \"0.5%\"\nsample_by = { csv = 2 }"),
    ("-s a --sample 5% --sample-seed 7", "sample = \"5%\"\nsample_seed = 7"),
    ("-s a --rate 2MiB/s --burst 1KiB", "rate = \"2MiB/s\"\nburst = \"1KiB\""),
    ("-s a --when-full drop-newest", "run = [\"a\"]\nwhen_full = \"drop-newest\""),
    ("-s a -o b --when-full drop-oldest", "file = \"b\"\nwhen_full = \"drop-oldest\""),
    ("--when-full drop-newest -s a -s b -o c", "when_full = \"drop-newest\""),
    ("-s 'a b'", "run = [\"a\", \"b\"]"),
    ("-S a", "mode = \"stream\"\npartitions = 1"),
    ("-R a", "mode = \"records\""),
    ("-s a --ok-exit 1,0", "ok_exit = [0, 1]"),
    ("-s a -j 3", "partitions = 3"),
    ("-S a --partitions 3 --key 1", "mode = \"stream\"\npartitions = 3\npartition_by = { field = 1 }"),
    ("-S a --key csv:2", "mode = \"stream\"\npartition_by = { csv = 2 }"),
    ("-s a --batch 1MiB", "batch = { max_bytes = \"1MiB\""),
    ("-s a --batch 9records --batch 2KiB", "batch = { max_bytes = \"2KiB\", max_records = 9"),
    ("-s a --arg", "run = [\"a\"]\ninput = \"arg\""),
    ("-s 'a {}' --args", "input = \"args\""),
    ("-s 'a {}' --batch-file", "input = \"file\""),
    ("-s 'a {out}' --out-file", "output = \"file\""),
    ("-s a --output-header", "output_header = true"),
    ("-s a --retries 0", "retry = { max_attempts = 1,"),
    ("-R a --retries 2", "retry = { max_attempts = 3,"),
    ("-s a --on-error halt", "on_error = \"halt\""),
    ("-s a --timeout off", "timeout = \"off\""),
    ("-S a --timeout 90s", "timeout = \"90s\""),
    ("-S 'head -n 3' --early-exit", "early_exit = \"done\""),
    ("-S a --window 1m", "window = { every = \"1m\" }"),
    ("-S a --window 5records", "window = { records = 5 }"),
    ("-s a --cwd w", "cwd = \"w\""),
    ("-o -", "stdout = true"),
    ("-o out/ --append", "file = \"out/\"\nexists = \"append\""),
    ("-s a -k", "order = \"input\""),
    ("-o o --force", "file = \"o\"\nexists = \"replace\""),
    ("--max-record 2MiB", "max_record = \"2MiB\""),
];

#[test]
fn every_option_is_a_key_of_the_file_which_reads_back_to_the_same() {
    for &(line, expected) in EXAMPLES {
        let pipeline = pipeline(line);
        let text = to_toml(&pipeline, Detail::Short);
        assert!(text.contains(expected), "{line}\n{text}");
        let again = parse(&SourceText::new("again.toml", &text), Path::new("/base"), &[]).unwrap();
        assert_eq!(again, pipeline, "{line}\n{text}");
    }
    for option in INLINE_OPTIONS {
        let (long, short) = (format!("--{}", option.long), option.short.map(|short| format!("-{short}")));
        let has = |line: &str| {
            line.split(' ')
                .any(|word| word.split('=').next() == Some(&long) || Some(word) == short.as_deref())
        };
        assert!(EXAMPLES.iter().any(|(line, _)| has(line)), "{long} has no example");
    }
}

#[test]
fn an_option_counts_for_the_stage_before_it_or_for_all() {
    let pipeline = pipeline(
        "--timeout 5s --ok-exit 0,1 --early-exit -s a -S b --ok-exit 7 -s c --timeout off --ok-exit 3 --ok-exit 4 -R d",
    );
    let of = |index: usize| {
        (pipeline.stages[index].timeout.map(|time| time.as_secs()), &pipeline.stages[index].ok_exit[..])
    };
    assert_eq!(of(0), (Some(5), &[0, 1][..]));
    assert_eq!(of(1), (Some(5), &[7][..]));
    assert_eq!(of(2), (None, &[4][..]));
    assert_eq!(of(3), (Some(5), &[0, 1][..]));
    let text = to_toml(&pipeline, Detail::Short);
    assert_eq!(text.matches("early_exit").count(), 1, "{text}");
}

#[test]
fn words_that_do_not_go_together_are_shown_as_they_were_written() {
    for (line, words) in [
        ("-i a -i - -s cat", &["`-i -", "cat FILE -"][..]),
        ("-i a --list b", &["one source", "--list b"]),
        ("--list -", &["`-` is no file", "write -i -", "--list \"-\""]),
        ("--list 'a[' --list b", &["this pattern cannot be used", "--list \"a[\""]),
        ("--list a --header skip", &["paths have no header", "--list \"a\""]),
        ("--list a --header repeat", &["needs files", "--header repeat"]),
        ("--list a --framing lines=2", &["paths cannot be framed", "\"nul\"", "--framing \"lines=2\""]),
        ("--list a --follow", &["`follow` belongs to files", "--follow"]),
        ("--sample-by 1", &["`sample_by` belongs to `sample`", "--sample-by 1"]),
        ("--sample-seed 1", &["`sample_seed` belongs to `sample`", "sample = \"1%\""]),
        ("--sample 1% --sample-by key", &["`sample_by` cannot be \"key\"", "--sample-by key"]),
        ("-o a -o b", &["one output", "-o b"]),
        ("-s cat --early-exit", &["--early-exit has no meaning behind -s", "behind -S"]),
        ("-S cat --batch 5records", &["--batch has no meaning behind -S", "behind -s"]),
        ("-S cat --retries 5", &["behind -s or -R"]),
        (
            "-o x --append --force",
            &["--append and --force cannot both be", "says one thing", "says otherwise"],
        ),
        ("-s cat --arg --args", &["--arg and --args cannot both be", "leave one of them out"]),
        ("--arg --batch-file -s cat", &["--arg and --batch-file cannot both be"]),
        ("--retries 5 -S cat", &["--retries counts for no stage here", "there is no -s or -R"]),
        ("--ok-exit 0", &["--ok-exit counts for no stage"]),
        ("--append", &["`exists` belongs to `file`", "--append"]),
        ("-o - --force", &["`exists` belongs to `file`", "--force"]),
        ("--header repeat", &["`header = \"repeat\"` needs files", "--header repeat"]),
        ("-R cat --key key", &["takes its key from answers", "--key key"]),
        ("-i 'a[' -i b", &["this pattern cannot be used", "-i \"a[\""]),
        ("-s cat --max-record 200MiB", &["--max-record 200MiB"]),
    ] {
        let error = mistake(line);
        for word in words {
            let word = word.trim_start_matches('`');
            assert!(error.contains(word), "{line}: `{word}`\n{error}");
        }
        assert!(!error.contains("[pipeline]"), "{line}: shown in a file that nobody wrote\n{error}");
    }
}

#[test]
fn what_is_said_for_one_stage_or_said_again_contradicts_nothing() {
    for line in
        ["--args -s 'echo {}' --arg", "-s a --arg -s b --args", "-o x --force --force", "-s a --arg --arg"]
    {
        pipeline(line);
    }
}

#[test]
fn a_dash_is_no_file_of_a_file() {
    for (text, words) in [
        ("[source.s]\nfile='-'\n[sink.o]\nfile='o'\n", ["stdin = true", "./-"]),
        ("[source.s]\nfile=['a','-']\n[sink.o]\nfile='o'\n", ["stdin = true", "./-"]),
        ("[source.s]\nfile='a'\n[sink.o]\nfile='-'\n", ["stdout = true", "./-"]),
        ("[source.s]\nfile=[]\n[sink.o]\nfile='o'\n", ["not a list of files", "at least one"]),
        ("[source.s]\nfile=['a','']\n[sink.o]\nfile='o'\n", ["`file` is empty", "^^"]),
    ] {
        let error = super::read(text).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{text}\n{error}");
    }
    let named = super::read("[source.s]\nfile='./-'\n[sink.o]\nfile='./-x/../-'\n");
    assert!(named.is_err(), "one file");
    let named = super::read("[source.s]\nfile='x'\n[sink.o]\nfile='./-'\n").unwrap();
    let text = to_toml(&named, Detail::Short);
    assert!(text.contains("file = \"./-\""), "{text}");
    assert_eq!(super::read(&text).unwrap().sinks, named.sinks);
}

#[test]
fn what_stands_for_a_batch_is_checked() {
    let file = |stage: &str| format!("[source.s]\nfile='x'\n[stage.a]\n{stage}\n[sink.o]\nfile='o'\n");
    for (stage, words) in [
        ("run=['{}']\ninput='arg'", ["cannot be the program itself", "sh"]),
        ("run=['a']\ninput='arg'\nbatch={max_records=2}", ["gives a program one record", "\"args\""]),
        ("run=['a']\noutput='file'", ["needs `{out}`", "\"{out}\""]),
        ("run=['a']\ninput='argument'", ["cannot be \"argument\"", "\"arg\""]),
        ("run=['a']\noutput='arg'", ["cannot be \"arg\"", "\"file\""]),
        ("run=['a']\nmode='stream'\ninput='arg'", ["belongs to mode = \"batch\"", "input"]),
        ("run=['a']\nmode='records'\noutput='file'", ["belongs to mode = \"batch\"", "output"]),
    ] {
        let error = super::read(&file(stage)).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{stage}\n{error}");
    }
    let headed =
        "[source.s]\nfile='x'\nheader='repeat'\n[stage.a]\nrun=['a']\ninput='args'\n[sink.o]\nfile='o'\n";
    let error = super::read(headed).unwrap_err().to_string();
    assert!(error.contains("cannot be given a header") && error.contains("input = \"file\""), "{error}");
    let sink = "[source.s]\nfile='x'\n[sink.o]\nrun=['a']\nmode='batch'\noutput='file'\n";
    assert!(super::read(sink).unwrap_err().to_string().contains("unknown key `output`"));
}

#[test]
fn braces_that_do_what_is_not_meant_are_warned_of() {
    let warned = |line: &str| {
        let titles: Vec<String> = crate::pipeline::warnings(&pipeline(line))
            .iter()
            .map(|warning| warning.title().to_owned())
            .collect();
        titles.join("\n")
    };
    assert!(warned("-s 'echo {}'").contains("is given {} as it is"));
    assert!(warned("-s \"sh -c 'rm {}'\" --arg").contains("a part of a shell's script"));
    for fine in [
        "-s 'jq {}'",
        "-s 'echo {}' --arg",
        "-s \"sh -c 'cat {}'\" --batch-file",
        "-s \"sh -c 'rm \\\"\\$1\\\"' sh {}\" --arg",
    ] {
        assert_eq!(warned(fine), "", "{fine}");
    }
}

#[test]
fn advice_to_a_command_line_names_options_and_to_a_file_keys() {
    let inline = crate::pipeline::warnings(&pipeline("-i in -s sort -o out"));
    let said = inline.iter().map(ToString::to_string).collect::<String>();
    assert!(said.contains("-S runs it once for all its records") && said.contains("need --key"), "{said}");
    assert!(!said.contains("mode = ") && !said.contains("partition_by"), "{said}");
    let file = "[source.s]\nfile = 'in'\n[stage.sort]\nrun = 'sort'\n[sink.o]\nfile = 'out'\n";
    let file = crate::pipeline::warnings(&super::read(file).unwrap());
    let said = file.iter().map(ToString::to_string).collect::<String>();
    assert!(said.contains("mode = \"stream\" runs it once") && said.contains("partition_by"), "{said}");
}
