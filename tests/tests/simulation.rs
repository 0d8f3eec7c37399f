//! The simulation's seeds: `WORKER_SIM_SEED=n` replays one, `WORKER_SIM_SEEDS=n` sets how many, `WORKER_SIM_FIRST=n` with which
//! to begin, `WORKER_SIM_TRACE=1` prints what happens.

use std::io::Write as _;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use worker_core::config::NodeIx;
use worker_core::stall::{Reason, Stall};
use worker_tests::sim::campaign::first_violation;
use worker_tests::sim::plan::Plan;
use worker_tests::sim::program::BatchProgram;
use worker_tests::sim::{NodeEnd, Outcome, run, scenario};

/// How many fixed seeds run unless told otherwise: without and with journals, in order, and with headers.
const SEEDS: (u64, u64, u64, u64) = (1_000, 1_500, 1_500, 1_500);
/// How many seeds that nobody ran before.
const FRESH: u64 = 100;

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// Runs `test`, by name, over its seeds.
fn campaign(test: &str, seeds: u64, plan_of: impl Fn(u64) -> Plan + Sync) {
    let seeds: Vec<u64> = match number("WORKER_SIM_SEED") {
        Some(seed) => vec![seed],
        None => {
            let fresh =
                SystemTime::now().duration_since(UNIX_EPOCH).expect("it is past 1970").as_secs() * 1_000;
            say(&format!("{test}: fresh seeds: {fresh}..{}", fresh + FRESH));
            let first = number("WORKER_SIM_FIRST").unwrap_or(0);
            let count = number("WORKER_SIM_SEEDS").unwrap_or(seeds);
            (first..first + count).chain(fresh..fresh + FRESH).collect()
        }
    };
    let (count, begun) = (seeds.len(), Instant::now());
    if let Some((seed, outcome)) = first_violation(seeds, plan_of) {
        panic!(
            "seed {seed} breaks a rule: {}\nreplay it:\n  WORKER_SIM_SEED={seed} WORKER_SIM_TRACE=1 cargo test -p worker-tests \
             --test simulation {test} -- --nocapture",
            outcome.violation.expect("it broke a rule")
        );
    }
    say(&format!("{test}: {count} seeds in {:.1} s", begun.elapsed().as_secs_f64()));
}

#[test]
fn random_pipelines_under_random_faults_keep_every_rule() {
    campaign("random_pipelines", SEEDS.0, Plan::random);
}

#[test]
fn exactly_once_through_crashes_of_anything() {
    campaign("exactly_once", SEEDS.1, Plan::exactly_once);
}

#[test]
fn the_order_of_the_source_is_kept_over_tasks_side_by_side() {
    campaign("the_order", SEEDS.2, Plan::in_order);
}

#[test]
fn headers_that_programs_print_are_given_once() {
    campaign("headers_that", SEEDS.3, Plan::headed);
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..60 {
        for plan in [Plan::random(seed), Plan::exactly_once(seed), Plan::in_order(seed), Plan::headed(seed)] {
            assert_eq!(run(&plan), run(&plan), "seed {seed}");
        }
    }
}

fn kept(plan: &Plan) -> Outcome {
    let outcome = run(plan);
    if let Some(violation) = &outcome.violation {
        panic!("{violation}");
    }
    outcome
}

/// At most 5 % and one connection's round trip later than in the run without the fault.
fn is_unnoticed(with: u64, without: u64) -> bool {
    with <= without + without / 20 + 1_000
}

#[test]
fn dead_destination_with_window_of_one() {
    let (quiet, dead) =
        (kept(&scenario::window_of_one()), kept(&scenario::dead_destination_with_window_of_one()));
    assert!(dead.stats.dials > 300, "hundreds of sends fail: {} dials", dead.stats.dials);
    assert!(dead.stats.retried > 10, "what was under way is sent again: {} tuples", dead.stats.retried);
    assert!(
        dead.ends.iter().all(|end| *end == NodeEnd::Finished),
        "it drains after the heal: {:?}",
        dead.ends
    );
    let (healthy, sick) = (2, 3);
    assert!(
        is_unnoticed(dead.last_effect_us[healthy], quiet.last_effect_us[healthy]),
        "the healthy sink noticed"
    );
    assert!(dead.last_effect_us[sick] > 60_000_000, "the dead destination was dead");
}

#[test]
fn what_programs_print_at_their_end_in_order_is_in_nobodys_way() {
    let outcome = kept(&scenario::last_words_in_order());
    assert!(outcome.ends.iter().all(|end| *end == NodeEnd::Finished), "{:?}", outcome.ends);
}

#[test]
fn empty_chunks_do_not_overtake_what_a_dying_sink_is_writing() {
    kept(&scenario::slow_sink_in_order_that_dies());
}

#[test]
fn healthy_destinations_do_not_notice_one_that_stays_dead() {
    let (quiet, dead) =
        (kept(&scenario::three_nodes(BatchProgram::Identity)), kept(&scenario::dead_for_good()));
    let healthy = 3;
    let (with, without) = (dead.last_effect_us[healthy], quiet.last_effect_us[healthy]);
    assert!(is_unnoticed(with, without), "{with} µs instead of {without} µs");
    let names_it = |stall: &Stall| {
        stall.reasons.iter().any(|reason| matches!(reason, Reason::PeerDown { peer: NodeIx(2), .. }))
    };
    assert!(dead.stalls.iter().any(names_it), "the stall names the dead node: {:?}", dead.stalls);
}

#[test]
fn a_stage_whose_only_reader_stays_dead_works_on() {
    let outcome = kept(&scenario::dead_behind_a_filter());
    let names_it = |stall: &Stall| {
        stall.reasons.iter().any(|reason| matches!(reason, Reason::PeerDown { peer: NodeIx(2), .. }))
    };
    assert!(outcome.stalls.iter().any(names_it), "the stall names the dead node: {:?}", outcome.stalls);
}

#[test]
fn data_in_both_directions_with_little_credit_does_not_lock() {
    let outcome = kept(&scenario::both_directions());
    assert!(outcome.ends.iter().all(|end| *end == NodeEnd::Finished));
}

#[test]
fn links_over_a_long_distance_share_credit_and_give_it_back() {
    for shared in [0, 6_000, 1_000_000] {
        let outcome = kept(&scenario::far_apart(10_000_000, shared));
        assert!(outcome.ends.iter().all(|end| *end == NodeEnd::Finished), "{:?}", outcome.ends);
    }
}

#[test]
fn a_restarted_source_fails_the_pipeline() {
    let outcome = kept(&scenario::restarted_source());
    let says_why = |end: &NodeEnd| match end {
        NodeEnd::Halted(error) => error.to_string().contains("source"),
        NodeEnd::Up | NodeEnd::Down | NodeEnd::Finished => false,
    };
    assert!(says_why(&outcome.ends[1]), "{:?}", outcome.ends);
}

#[test]
fn a_stream_that_does_not_print_the_same_again_stops_the_pipeline() {
    let outcome = kept(&scenario::unsteady_stream());
    let text = format!("{:?}", outcome.ends);
    assert!(text.contains("differ from what was committed"), "the message says what diverged: {text}");
}

#[test]
fn a_value_that_comes_back_is_given_as_the_newest() {
    let outcome = kept(&scenario::values_that_come_back());
    assert!(outcome.ends.iter().all(|end| *end == NodeEnd::Finished), "{:?}", outcome.ends);
}

#[test]
fn a_replaced_process_does_no_harm() {
    let outcome = kept(&scenario::replaced_source());
    assert!(outcome.ends.iter().all(|end| *end == NodeEnd::Finished), "{:?}", outcome.ends);
}

#[test]
fn a_node_whose_state_is_lost_or_an_older_copy_ends_and_says_so() {
    for plan in [scenario::lost_state(), scenario::older_state()] {
        let outcome = kept(&plan);
        let text = format!("{:?}", outcome.ends[2]);
        assert!(text.contains("older copy"), "{:?}", outcome.ends);
        assert!(
            !outcome.ends.contains(&NodeEnd::Finished),
            "nobody says that it is done: {:?}",
            outcome.ends
        );
    }
}

#[test]
fn a_program_that_always_fails_stops_every_node() {
    let mut plan = scenario::three_nodes(BatchProgram::FailAlways);
    plan.halts = true;
    let outcome = kept(&plan);
    let halted = |end: &NodeEnd| matches!(end, NodeEnd::Halted(_));
    assert!(outcome.ends.iter().all(halted), "{:?}", outcome.ends);
    let text = format!("{:?}", outcome.ends);
    assert!(text.contains("ok_exit"), "the message says what to do: {text}");
}

/// A line for whoever reads the log of a run that passed: the test runner keeps to itself what is printed otherwise.
fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").expect("standard error is open");
}
