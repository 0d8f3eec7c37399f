use super::*;
use std::sync::Arc;

fn chaos(seed: u64, rates: &str) -> Arc<Chaos> {
    Arc::new(Chaos::new(seed, rates.parse().unwrap(), Vec::new()))
}

/// What befalls the first programs of a task, each of which dies if it is to.
fn fates(seed: u64, rates: &str, task: &str) -> Vec<Option<Moment>> {
    let chaos = chaos(seed, rates);
    let mut fates = Vec::new();
    for _ in 0..200 {
        let doom = Doom::of(&chaos, task);
        fates.push(doom.moment);
        if doom.is_due_at_the_end() { doom.befell() } else { doom.passed() }
    }
    fates
}

#[test]
fn the_same_seed_gives_the_same_schedule_at_each_site_and_another_seed_another() {
    let first = fates(7, "programs=30%", "grep/0");
    assert_eq!(first, fates(7, "programs=30%", "grep/0"));
    assert_ne!(first, fates(8, "programs=30%", "grep/0"));
    assert_ne!(first, fates(7, "programs=30%", "grep/1"));
    assert!(first.iter().flatten().count() > 30, "{first:?}");
}

#[test]
fn what_happens_at_one_site_changes_nothing_at_another() {
    let alone = chaos(7, "50%");
    let both = chaos(7, "50%");
    for _ in 0..100 {
        both.strikes(Fault::Disk, "journal.write");
        let (a, b) = (alone.strikes(Fault::Link, "b"), both.strikes(Fault::Link, "b"));
        assert_eq!(a, b);
    }
}

#[test]
fn no_site_fails_for_ever_even_if_everything_fails() {
    let chaos = chaos(1, "100%");
    let struck: Vec<bool> = (0..9).map(|_| chaos.strikes(Fault::Link, "b")).collect();
    assert_eq!(struck, [true, true, false, true, true, false, true, true, false]);
    assert_eq!(chaos.report().injected, Injected { links: 6, ..Injected::default() });
}

#[test]
fn about_as_many_fail_as_the_rate_says() {
    let chaos = chaos(3, "10%");
    let struck = (0..10_000).filter(|_| chaos.strikes(Fault::Disk, "x")).count();
    assert!((850..1100).contains(&struck), "{struck}");
}

#[test]
fn rates_are_one_share_or_shares_by_name_and_all_else_says_what_is_expected() {
    let rates: Rates = "programs=20%, disks=1%".parse().unwrap();
    let expected = [(Fault::Program, 0.2), (Fault::Link, 0.0), (Fault::Disk, 0.01), (Fault::Process, 0.0)];
    assert_eq!(expected.map(|(fault, _)| (fault, rates.of(fault))), expected);
    assert!((0.05 - "5%".parse::<Rates>().unwrap().of(Fault::Link)).abs() < 1e-9);
    for (text, told) in [
        ("5", "`5` is no share"),
        ("101%", "no share"),
        ("-1%", "no share"),
        ("", "no share"),
        ("programs", "no share"),
        ("programs=5%,links", "`links` is no share"),
        (
            "children=5%",
            "nothing is called `children`: expected programs, links, disks, syncs, slow or nodes",
        ),
        ("links=1%,links=2%", "given twice"),
        ("programs=5%,process=5%", "nothing is called `process`"),
    ] {
        let error = text.parse::<Rates>().unwrap_err().to_string();
        assert!(error.contains(told), "{text}: {error}");
    }
}

#[test]
fn moments_are_of_all_kinds() {
    let fates = fates(5, "programs=100%", "t/0");
    for (n, kind) in [
        |moment: &Moment| *moment == Moment::Given(0),
        |moment: &Moment| matches!(moment, Moment::Given(1..)),
        |moment: &Moment| matches!(moment, Moment::Printed(_)),
        |moment: &Moment| *moment == Moment::AtItsEnd,
    ]
    .iter()
    .enumerate()
    {
        assert!(fates.iter().flatten().any(kind), "{n}: {fates:?}");
    }
    let later = self::fates(5, "programs=5%", "t/0");
    assert!(later.iter().flatten().any(|moment| matches!(moment, Moment::Later(1_048_576..))), "{later:?}");
}

#[test]
fn deaths_of_the_process_are_shown_where_there_are_any() {
    let rates: Rates = "programs=20%".parse().unwrap();
    assert_eq!(rates.to_string(), "programs=20%,links=0%,disks=0%");
    let deadly = rates.with(Fault::Process, 0.05);
    assert_eq!(deadly.to_string(), "programs=20%,links=0%,disks=0%,nodes=5%");
    assert_eq!(deadly.to_string().parse::<Rates>().unwrap(), deadly);
    assert_eq!((deadly.end_the_worker(), deadly.that_leave_the_worker()), (true, rates));
}

#[test]
fn each_life_of_a_worker_has_a_schedule_of_its_own_and_counts_on() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("counts");
    let life = |life| {
        let chaos = Chaos::new(7, "syncs=50%".parse().unwrap(), Vec::new());
        let chaos = chaos.in_life(life, Counts::in_file(&file).unwrap(), true);
        let fates: Vec<bool> = (0..50).map(|_| chaos.strikes(Fault::Sync, "journal.sync")).collect();
        (fates, chaos.report())
    };
    let ((first, counted), (second, all)) = (life(1), life(2));
    let alone = chaos(7, "syncs=50%");
    assert_eq!(first, (0..50).map(|_| alone.strikes(Fault::Sync, "journal.sync")).collect::<Vec<_>>());
    assert_ne!(first, second);
    let struck = |fates: &[bool]| fates.iter().filter(|struck| **struck).count() as u64;
    assert_eq!(counted.injected, Injected { syncs: struck(&first), ..Injected::default() });
    assert_eq!((all.seed, all.injected.syncs), (7, struck(&first) + struck(&second)));
    assert_eq!(Injected::noted(&file).unwrap(), all.injected);
}
