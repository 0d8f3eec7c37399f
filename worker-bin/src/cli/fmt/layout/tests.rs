use super::laid_out;
use proptest::prelude::*;

fn table(text: &str) -> toml::Table {
    toml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Formats, and sees that it means the same and that there is nothing left to do.
fn formatted(text: &str) -> String {
    let once = laid_out(text);
    assert_eq!(table(&once), table(text), "{text}\n---\n{once}");
    assert_eq!(laid_out(&once), once, "{text}");
    once
}

#[test]
fn blanks_and_empty_lines_are_as_told_and_comments_stay() {
    let text = "\n\n# head\n\n\n[ pipeline ]  # whole\nname='x'   \n\n\n  max_record = \"1MiB\"# a\r\n\
        spill_limit=   '4GiB'    # b\n[source . \"log\"]\nfile=[ 'a','b' , ]\n# of the stage\n# and more\n\n# own\n[stage.s]\n\
        run = [\n'a', # one\n  'b'\n]\nbatch={max_bytes='1MiB',linger=\"1s\"}\nenv = { }\nretry.max_attempts = 3\n\n\n\n";
    insta::assert_snapshot!("formatted", formatted(text));
}

#[test]
fn lines_end_as_the_first_one_does_and_a_byte_order_mark_stays() {
    for (text, laid_out) in [
        ("a=1\r\nb=2\r\n", "a = 1\r\nb = 2\r\n"),
        ("\u{feff}a=1\r\n[t]\r\nb=2", "\u{feff}a = 1\r\n\r\n[t]\r\nb = 2\r\n"),
        ("a=1\nb=2\r\n", "a = 1\nb = 2\n"),
        ("a=1 # c\r\nb=2\n", "a = 1  # c\r\nb = 2\r\n"),
        ("a='''x\n\r\n y'''\r\nb=2\r\n", "a = '''x\n\r\n y'''\r\nb = 2\r\n"),
        ("a=\"\"\"x\r\n\n y\"\"\"\nb=2\n", "a = \"\"\"x\r\n\n y\"\"\"\nb = 2\n"),
        ("a=[\r\n1]\r\n", "a = [\r\n    1]\r\n"),
        ("\u{feff}", "\u{feff}"),
    ] {
        assert_eq!(formatted(text), laid_out, "{text:?}");
    }
}

#[test]
fn whatever_toml_has_stays_what_it_is() {
    for text in [
        "",
        "\n\n",
        "# only a comment",
        "a = 1979-05-27 07:32:00.5\nb = 1979-05-27T07:32:00Z\nc = 07:32:00\n",
        "a = 1.5e-3\nb = 0xf\n",
        "a.b . c = 1\n'x y'.\"z\" = [[1,2],[ ],[[3]]]\n",
        "a = '''\n  kept   \n\n\n [not.a.table]\n'''   # behind\nb = \"\"\"\\\n   x\"\"\"\n",
        "[[a]]\nx=1\n[[ a ]]\nx = 2\n[a.b]\n",
        "a = [ # begin\n# within\n\n\n1,# one\n\n2 # two\n# end\n]\n",
        "a = [{x=1,y={z=[]}},\n{x=2}]\n",
        "\u{feff}a=1\n",
        "a = 1 # ä\nlänge_x = 2\t#\ttab\n",
        "x = 1\n#y = 2\n[b]\n",
    ] {
        // Bare keys are ASCII; a name that is none is quoted.
        formatted(&text.replace("länge_x", "'länge'"));
    }
    let file = crate::pipeline::to_toml(
        &crate::pipeline::parse(
            &crate::pipeline::SourceText::new(
                "p.toml",
                "[source.s]\nfile='x'\n[stage.a]\nrun=['p','{{ }}']\n[sink.o]\nfile='o'\n",
            ),
            std::path::Path::new("/"),
            &[],
        )
        .unwrap(),
        crate::pipeline::Detail::Full,
    );
    assert_eq!(formatted(&file), file, "what we print needs none");
}

/// A piece of a file, badly laid out.
fn statement() -> impl Strategy<Value = String> {
    let blank = "[ \t]{0,3}";
    let value = prop_oneof![
        Just("1".to_owned()),
        Just("-1.5e3".to_owned()),
        Just("true".to_owned()),
        "'[a-z#=, \\[\\]{}]{0,6}'",
        "\"[a-z#=, ]{0,6}\"",
        Just("\"\"\"a\n\n  # no comment\n b\"\"\"".to_owned()),
        Just("1979-05-27 07:32:00".to_owned()),
    ];
    let ends = prop_oneof![Just("\n"), Just("\r\n"), Just("\n\n\n"), Just("  # c\n"), Just("#c\n\n")];
    let within = prop_oneof![Just(""), Just(" "), Just("\n"), Just(" # c\n  "), Just("\n\n\n")];
    let array = (proptest::collection::vec((value.clone(), within.clone()), 0..4), within).prop_map(
        |(values, begin)| {
            let values: String = values.iter().map(|(value, gap)| format!("{value}{gap},{gap}")).collect();
            format!("[{begin}{values}]")
        },
    );
    let inline = proptest::collection::vec((blank, value.clone()), 0..3).prop_map(|values| {
        let keys =
            values.iter().enumerate().map(|(n, (gap, value))| format!("{gap}k{n}{gap}={gap}{value}{gap}"));
        format!("{{{}}}", keys.collect::<Vec<_>>().join(","))
    });
    (blank, prop_oneof![3 => value, 2 => array, 1 => inline], ends)
        .prop_map(|(blank, value, end)| format!("{blank}KEY{blank}={blank}{value}{blank}{end}"))
}

fn file() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        6 => statement(),
        1 => Just("[TABLE]\n".to_owned()),
        1 => Just("  [ TABLE . x ] # t\n".to_owned()),
        1 => Just("# a comment  \n".to_owned()),
        1 => Just("\n\n".to_owned()),
    ];
    proptest::collection::vec(part, 0..12).prop_map(|parts| {
        let parts = parts.iter().enumerate();
        let named = parts
            .map(|(n, part)| part.replace("KEY", &format!("key{n}")).replace("TABLE", &format!("table{n}")));
        named.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_file_means_the_same_and_formatting_twice_changes_nothing(text in file()) {
        let once = formatted(&text);
        let comments = |text: &str| text.matches("# c").count() + text.matches("#c").count();
        prop_assert_eq!(comments(&once), comments(&text));
        prop_assert!(!once.starts_with('\n') && !once.contains(" \n\n\n") && (once.is_empty() || once.ends_with('\n')));
    }
}
