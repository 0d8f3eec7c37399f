//! The simulation can fail: each known protocol bug, planted, breaks a rule within a bounded number of seeds.

#![expect(
    clippy::print_stdout,
    reason = "which rule caught a bug, and after how many seeds, is worth reading"
)]

use worker_core::fault::Bug;
use worker_tests::sim::check::Check;
use worker_tests::sim::plan::{DiskBug, Plan};
use worker_tests::sim::{run, scenario};

/// How many seeds may be needed.
const SEEDS_MAX: u64 = 500;

/// Plants `bug` in random runs until one breaks a rule, which must be one of `by`.
fn is_caught(bug: Bug, by: &[Check]) {
    breaks_a_rule(&format!("{bug:?}"), by, |seed| Plan { bug: Some(bug), ..Plan::random(seed) });
}

/// The same with a journal for each task.
fn is_caught_exactly_once(bug: Bug, by: &[Check]) {
    breaks_a_rule(&format!("{bug:?}"), by, |seed| Plan { bug: Some(bug), ..Plan::exactly_once(seed) });
}

/// The same for a rule that journals and drivers keep.
fn is_caught_on_disk(bug: DiskBug, by: &[Check]) {
    breaks_a_rule(&format!("{bug:?}"), by, |seed| {
        let mut plan = Plan::exactly_once(seed);
        plan.disk.bug = Some(bug);
        plan
    });
}

fn breaks_a_rule(bug: &str, by: &[Check], plan_of: impl Fn(u64) -> Plan) {
    for seed in 0..SEEDS_MAX {
        if let Some(violation) = run(&plan_of(seed)).violation {
            println!("{bug}: caught with {} seeds by {violation}", seed + 1);
            assert!(by.contains(&violation.check), "{bug} broke another rule than expected: {violation}");
            return;
        }
    }
    panic!("{bug} was not caught in {SEEDS_MAX} seeds");
}

/// The run by name catches `bug`, too.
fn is_caught_in(name: &str, plan: Plan, bug: Bug) {
    let violation = run(&Plan { bug: Some(bug), ..plan }).violation;
    let violation = violation.unwrap_or_else(|| panic!("{name} does not catch {bug:?}"));
    println!("{bug:?}: caught in {name} by {violation}");
}

#[test]
fn retry_through_the_bounded_queue() {
    is_caught(Bug::RetryThroughBoundedQueue, &[Check::RetryWaits, Check::Drain]);
    let plan = scenario::dead_destination_with_window_of_one();
    is_caught_in("dead_destination_with_window_of_one", plan, Bug::RetryThroughBoundedQueue);
}

#[test]
fn acknowledgement_behind_data() {
    is_caught(Bug::AckBehindData, &[Check::AckWaits, Check::Drain]);
    is_caught_in("both_directions", scenario::both_directions(), Bug::AckBehindData);
}

#[test]
fn sequence_reset_on_reconnect() {
    is_caught(Bug::SequenceResetOnReconnect, &[Check::Bytes, Check::Order]);
}

#[test]
fn credit_leaked_on_disconnect() {
    is_caught(Bug::CreditLeakedOnDisconnect, &[Check::RetryWaits, Check::DataWaits, Check::Drain]);
}

#[test]
fn stale_open_takes_the_link() {
    is_caught(Bug::StaleOpenTakesLink, &[Check::StaleConnection, Check::Drain]);
}

#[test]
fn lives_ordered_by_their_clocks() {
    is_caught(Bug::LivesOrderedByClock, &[Check::Drain]);
}

#[test]
fn a_peer_that_has_finished_is_forgotten() {
    is_caught_exactly_once(Bug::FinishedPeerForgotten, &[Check::FinishedNeeded]);
}

#[test]
fn end_forgotten_on_reconnect() {
    is_caught(Bug::EndForgottenOnReconnect, &[Check::DataWaits, Check::RetryWaits, Check::Drain]);
}

#[test]
fn exit_without_bye() {
    is_caught(Bug::ExitWithoutBye, &[Check::Drain]);
}

#[test]
fn duplicate_not_dropped() {
    // Receivers say that they have less than they were sent, so that it is sent again.
    breaks_a_rule("DuplicateNotDropped", &[Check::Duplicate, Check::Order], |seed| Plan {
        bug: Some(Bug::DuplicateNotDropped),
        understated_percent: 100,
        ..Plan::exactly_once(seed)
    });
}

#[test]
fn loss_not_reported() {
    is_caught(Bug::LossNotReported, &[Check::LossBound]);
}

#[test]
fn acknowledgement_names_nothing() {
    is_caught(Bug::AckNamesNothing, &[Check::FalseAck, Check::LossBound]);
}

#[test]
fn dead_link_blocks_its_task() {
    is_caught(Bug::DeadLinkBlocksTask, &[Check::Drain]);
    is_caught_in("dead_for_good", scenario::dead_for_good(), Bug::DeadLinkBlocksTask);
}

#[test]
fn acknowledgement_before_durable() {
    is_caught_exactly_once(Bug::AckBeforeDurable, &[Check::Durable]);
}

#[test]
fn output_before_durable() {
    is_caught_exactly_once(Bug::OutputBeforeDurable, &[Check::Durable]);
}

#[test]
fn position_not_persisted() {
    is_caught_exactly_once(Bug::PositionNotPersisted, &[Check::Durable, Check::Duplicate]);
}

#[test]
fn epoch_unchecked() {
    is_caught_in("replaced_source", scenario::replaced_source(), Bug::EpochUnchecked);
}

/// What the journal takes back was acted upon, so a life that is given less than was committed is as sure a sign as the records
/// that it makes anew.
#[test]
fn recomputed_instead_of_resent() {
    is_caught_exactly_once(
        Bug::RecomputeInsteadOfResend,
        &[Check::Bytes, Check::Duplicate, Check::SinkFile, Check::Halt, Check::Recovery],
    );
}

#[test]
fn unacknowledged_dropped() {
    is_caught_exactly_once(Bug::UnacknowledgedDropped, &[Check::Durable]);
}

#[test]
fn received_taken_for_committed() {
    is_caught_exactly_once(Bug::ReceivedTakenForAck, &[Check::Durable]);
}

#[test]
fn a_checkpoint_that_drops_an_output() {
    is_caught_on_disk(
        DiskBug::CheckpointDropsOutput,
        &[Check::Halt, Check::Drain, Check::FalseAck, Check::Store],
    );
}

#[test]
fn a_recovery_that_trusts_what_it_reads() {
    is_caught_on_disk(DiskBug::RecoveryTrustsCache, &[Check::Recovery]);
}

#[test]
fn a_sink_that_commits_before_its_file_is_synced() {
    is_caught_on_disk(DiskBug::SinkCommitsFirst, &[Check::SinkFile]);
}

#[test]
fn an_end_that_is_not_kept() {
    is_caught_on_disk(
        DiskBug::EndedNotPersisted,
        &[Check::Order, Check::Drain, Check::Halt, Check::Panic, Check::Bytes],
    );
}

#[test]
fn changes_of_keyed_state_applied_twice() {
    is_caught_on_disk(DiskBug::KeyedTwice, &[Check::State]);
}

#[test]
fn changes_of_keyed_state_applied_out_of_order() {
    is_caught_on_disk(DiskBug::KeyedOutOfOrder, &[Check::State, Check::Result]);
}

#[test]
fn keyed_state_seen_before_its_prefix_is_committed() {
    is_caught_on_disk(DiskBug::KeyedBeforePrefix, &[Check::State]);
}

#[test]
fn an_answer_counted_that_was_not_given() {
    is_caught_on_disk(DiskBug::AnswersAhead, &[Check::Order]);
}

#[test]
fn a_stream_that_is_run_again_with_a_record_less() {
    is_caught_on_disk(
        DiskBug::ReplayMissesLast,
        &[Check::Result, Check::Halt, Check::Duplicate, Check::Bytes],
    );
}

#[test]
fn a_stream_that_is_run_again_with_a_record_more() {
    is_caught_on_disk(DiskBug::ReplayRepeatsLast, &[Check::Duplicate, Check::Result, Check::Halt]);
}

#[test]
fn a_stream_fed_before_its_input_is_admitted() {
    is_caught_on_disk(DiskBug::AdmittedLate, &[Check::Halt, Check::Window, Check::Durable]);
}

#[test]
fn a_cut_of_a_stream_that_is_not_kept() {
    is_caught_exactly_once(Bug::CutLost, &[Check::Window]);
}

#[test]
fn other_records_read_back_from_outside_memory() {
    is_caught_on_disk(DiskBug::LoadsAnother, &[Check::Bytes]);
}

#[test]
fn another_route_after_a_restart() {
    is_caught_on_disk(DiskBug::RoutesAnew, &[Check::Routing]);
}

#[test]
fn a_drain_that_drops_what_was_accepted() {
    is_caught(Bug::DrainDropsInput, &[Check::Loss, Check::Drain]);
}
