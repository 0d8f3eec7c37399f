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
fn stages_keep_the_order_of_the_command_line_and_exits_belong_to_the_stage_before() {
    let run = run("-S sort -s 'grep a' --ok-exit 0,1 -s cat -S 'uniq -c' -o x -i y -i z");
    let stages: Vec<(&str, bool, Option<&[u8]>)> =
        run.inline.stages.iter().map(|s| (&*s.command, s.stream, s.ok_exit.as_deref())).collect();
    let expected: [(&str, bool, Option<&[u8]>); 4] = [
        ("sort", true, None),
        ("grep a", false, Some(&[0, 1])),
        ("cat", false, None),
        ("uniq -c", true, None),
    ];
    assert_eq!(stages, expected);
    assert_eq!((run.inline.input.len(), run.inline.output.as_deref()), (2, Some("x")));
}

#[test]
fn exits_before_any_stage_are_for_all_stages_without_their_own() {
    let run = run("--ok-exit 0,1 -s a -s b --ok-exit 7");
    let exits: Vec<Option<Vec<u8>>> = run.inline.stages.into_iter().map(|s| s.ok_exit).collect();
    assert_eq!(exits, [Some(vec![0, 1]), Some(vec![7])]);
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
        "worker run --ok-exit 0",
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
