//! `worker explain`.

use super::worker;

#[test]
fn keys_reasons_and_names_of_nothing_are_answered() {
    let here = tempfile::tempdir().unwrap();
    let ask = |name: &str| worker(here.path(), &["explain", name]);
    let timeout = ask("timeout");
    assert_eq!(timeout.status, 0);
    for part in [
        "[stage.NAME]",
        "default   30s; stream off",
        "takes     \"off\", or a length of time such as",
        "example   timeout = \"90s\"",
    ] {
        assert!(timeout.out.contains(part), "{part}: {}", timeout.out);
    }
    let hung = ask("child_hung");
    assert!(
        hung.out.contains("Its program has work and does nothing.")
            && hung.out.contains("set one: timeout ="),
        "{hung:?}"
    );
    let both = ask("spill_limit").out;
    assert!(both.contains("a key of [pipeline]") && both.contains("a reason to wait"), "{both}");
    for (wrong, meant) in
        [("timeot", "timeout"), ("child_hang", "child_hung"), ("stage.partitons", "stage.partitions")]
    {
        let said = ask(wrong);
        assert_eq!((said.status, said.out.as_str()), (2, ""), "{said:?}");
        assert!(said.err.contains(&format!("did you mean `{meant}`?")), "{said:?}");
    }
    let none = ask("quite-another-thing");
    assert!(none.status == 2 && none.err.contains("worker explain lists all"), "{none:?}");
    let all = worker(here.path(), &["explain"]);
    for name in ["[stage.NAME]", "  batch.max_bytes ", "  storage_full ", "  address ", "  refused "] {
        assert!(all.status == 0 && all.out.contains(name), "{name}: {}", all.out);
    }
}
