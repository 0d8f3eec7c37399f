use super::*;

fn run(words: &str) -> RunArgs {
    let argv = shell_words::split(&format!("worker run {words}")).unwrap();
    let WorkerCommand::Run(run) = parse(argv).unwrap().command else { panic!("not run: {words}") };
    run
}

#[test]
fn clap_accepts_its_own_definition() {
    WorkerArgs::command().debug_assert();
}

#[test]
fn options_of_the_pipeline_keep_the_order_of_the_command_line() {
    let run = run("-S sort -s 'grep a' --early-exit --ok-exit 0,1 -scat --append -o x -i y --input=z");
    let words: Vec<(&str, &str)> =
        run.inline.words.iter().map(|word| (word.option.long, word.value.as_str())).collect();
    let expected = [
        ("stream", "sort"),
        ("stage", "grep a"),
        ("early-exit", ""),
        ("ok-exit", "0,1"),
        ("stage", "cat"),
        ("append", ""),
        ("output", "x"),
        ("input", "y"),
        ("input", "z"),
    ];
    assert_eq!(words, expected);
}

#[test]
fn a_lone_dash_is_a_value() {
    let run = run("-i - -s cat -o -");
    assert_eq!(run.inline.words.iter().map(|word| &*word.value).collect::<Vec<_>>(), ["-", "cat", "-"]);
}

#[test]
fn what_is_meant_without_a_command_is_said() {
    for (words, meant) in [
        ("worker p.toml --state d", "worker run p.toml --state d"),
        ("worker -i 'a b' -s cat", "worker run -i 'a b' -s cat"),
        ("worker --stage=cat", "worker run --stage=cat"),
        ("worker -scat", "worker run -scat"),
    ] {
        let error = parse(shell_words::split(words).unwrap()).expect_err(words);
        assert_eq!(error.exit_code(), 2, "{words}");
        assert!(error.to_string().contains(&format!(": {meant}\n")), "{words}: {error}");
    }
    let error = parse(["worker", "walk"]).unwrap_err().to_string();
    assert!(!error.contains("worker run walk"), "{error}");
}

#[test]
fn a_pipeline_is_in_a_file_or_on_the_command_line() {
    let both = parse("worker run f.toml --header skip".split(' ')).unwrap_err().to_string();
    assert!(both.contains("--header") && both.contains("f.toml") && both.contains("--print-toml"), "{both}");
    let none = parse("worker run --slots 3".split(' ')).unwrap_err().to_string();
    assert!(none.contains("FILE") && none.contains("-s 'grep 500'"), "{none}");
}

#[test]
fn defaults_and_values_are_read() {
    let run =
        run("f.toml --set a=b=c --set d= --limit 5 --to errors --drain-timeout 2m -vv --progress lines");
    assert_eq!(run.set, [("a".to_owned(), "b=c".to_owned()), ("d".to_owned(), String::new())]);
    assert_eq!((run.limit, run.to.as_deref(), run.process.log.verbose), (Some(5), Some("errors"), 2));
    assert_eq!(run.process.drain_timeout, Duration::from_secs(120));
    assert_eq!(run.process.progress, ProgressMode::Lines);
}

#[test]
fn state_is_asked_for_by_directory_with_a_file_and_without() {
    let run = run("f.toml --state d --fresh");
    let options = run.state.options(Some("a"));
    assert_eq!(
        (options.dir, options.fresh, options.node),
        (Some(std::path::Path::new("d")), true, Some("a"))
    );
    let inline = self::run("-s cat --state d");
    assert_eq!((inline.state.state, inline.state.fresh), (Some("d".into()), false));
}

#[test]
fn wrong_command_lines_exit_with_status_2() {
    for words in [
        "worker",
        "worker run",
        "worker run f -s grep",
        "worker run --slots 3",
        "worker run -s a --early-exit=x",
        "worker run f --limit 0",
        "worker run f --set x",
        "worker run -s a --ok-exit 256",
        "worker run f --drain-timeout 30",
        "worker walk",
        "worker node f",
        "worker check",
        "worker check f --cluster c",
        "worker run f --slots 0",
        "worker run f --state",
        "worker run f --to errors --state d",
        "worker run f --to errors --fresh",
        "worker dlq",
        "worker dlq list",
        "worker dlq list --state d --letters f",
        "worker dlq show f a/0:1 --raw --json",
        "worker dlq repro f a/0:1",
        "worker dlq replay",
        "worker dlq replay f a/0:1 --stage a",
    ] {
        let error = parse(words.split(' ')).expect_err(words);
        assert_eq!(error.exit_code(), 2, "{words}");
    }
    assert_eq!(parse(["worker", "--help"]).unwrap_err().exit_code(), 0);
}

#[test]
fn a_wrong_value_says_what_is_expected() {
    for words in [
        "--slots 0",
        "--slots x",
        "--limit 0",
        "--limit x",
        "--stall-after 0s",
        "--drain-timeout 5",
        "--log a=b=c",
        "-s a --ok-exit 256",
        "-s a --header first",
        "-s a --key state",
        "-s a --batch 1000",
        "-s a --retries -1",
        "-s a -j 0",
        "-S a --window 5",
        "--max-record 0",
    ] {
        let error = parse(format!("worker run f {words}").split(' ')).expect_err(words).to_string();
        assert!(error.contains(": expected ") || error.contains("; expected "), "{words}: {error}");
    }
}

#[test]
fn help_names_every_exit_status() {
    let help = WorkerArgs::command().find_subcommand_mut("run").unwrap().render_long_help().to_string();
    for status in ["0 done", "1 the", "2 the", "3 finished", "129, 130 or 143", "141 with state"] {
        assert!(help.replace('\n', " ").contains(status), "{status}");
    }
}
