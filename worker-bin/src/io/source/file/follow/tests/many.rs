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
fn the_lag_is_what_is_there_and_was_not_read_and_as_old_as_its_first_byte() {
    let mut bench = Bench::new("*.log*");
    bench.append("a.log", &lines(0, 100));
    bench.append("b.log", "short\n");
    let lag = bench.reader().lag().unwrap();
    assert_eq!(lag.now().0, lines(0, 100).len() as u64 + 6);
    assert_eq!(bench.read().lines().count(), 101);
    assert_eq!(lag.now(), (0, Duration::ZERO));
    bench.append("a.log", "one\n");
    bench.reader().look().unwrap();
    let first = lag.now();
    bench.append("b.log", "and more\n");
    bench.append("a.log", "without its end");
    bench.reader().look().unwrap();
    assert_eq!((first.0, lag.now().0), (4, 4 + 9 + 15));
    assert!(lag.now().1 >= first.1, "the oldest is as old as it was");
    bench.read();
    assert_eq!(lag.now().0, 15, "a record without its end is there and not read");
    assert!(lag.now().1 < bench.reader().catalog.idle());
    bench.append("a.log", "\n");
    bench.read();
    bench.gzip("b.log");
    bench.rename("a.log", "a.log.1");
    bench.append("a.log", &lines(200, 230));
    assert_eq!(bench.read_decided(), lines(200, 230));
    assert_eq!(bench.read_decided(), "");
    assert_eq!(lag.now(), (0, Duration::ZERO), "through rotation");
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
