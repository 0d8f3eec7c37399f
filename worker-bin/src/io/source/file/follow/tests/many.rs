//! Many files at once.

use super::*;

const FILES: usize = 600;

/// Files called by `name`, each with a beginning of its own.
fn bench(name: impl Fn(usize) -> String) -> Bench {
    let bench = Bench::new("*");
    for n in 0..FILES {
        bench.append(&name(n), &format!("{n} begins{:60}\n{n} goes on\n", ""));
    }
    bench
}

fn compared(bench: &mut Bench) -> usize {
    bench.reader().catalog.compared.take()
}

#[test]
fn the_first_look_at_many_files_holds_none_against_all_others() {
    // Names that have nothing to do with one another, and those of copies of one log.
    for mut bench in [bench(|n| format!("{n}-app.log")), bench(|n| format!("app.{n}"))] {
        assert_eq!(bench.read().lines().count(), 2 * FILES);
        let first = compared(&mut bench);
        assert!(first <= FILES, "{first} for {FILES} files");
        // Read, they are renamed, and others are in their place: rotation of all of them at once.
        let names: Vec<_> =
            bench.dir.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        for name in names {
            let name = name.into_string().unwrap();
            bench.rename(&name, &format!("{name}.old"));
            bench.append(&name, &format!("new {name} begins{:60}\n", ""));
        }
        assert_eq!(bench.read().lines().count(), FILES);
        let more = compared(&mut bench);
        assert!(more <= 20 * FILES, "{more} for {FILES} files that were rotated");
    }
}

#[test]
fn many_files_with_one_beginning_are_all_read() {
    let mut bench = Bench::new("*");
    let head = lines(0, 3);
    for n in 0..100 {
        bench.append(&format!("app-{n}.log"), &format!("{head}file {n}\n"));
    }
    let text = bench.read();
    assert_eq!(text.lines().count(), 400);
    assert!((0..100).all(|n| text.contains(&format!("file {n}\n"))));
}

#[test]
fn files_that_are_open_are_never_more_than_may_be_whoever_is_read() {
    let mut bench = bench(|n| format!("{n}.log"));
    for round in 0..3 {
        if round > 0 {
            (0..FILES).for_each(|n| bench.append(&format!("{n}.log"), "more\n"));
        }
        assert_eq!(bench.read().lines().count(), FILES * if round == 0 { 2 } else { 1 });
        let open = bench.reader().catalog.open_count();
        assert!((100..=256).contains(&open), "{open}");
    }
}
