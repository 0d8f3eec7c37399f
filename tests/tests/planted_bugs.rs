//! The simulation can fail: each known protocol bug, planted, breaks a rule within a bounded number of seeds.

#![expect(
    clippy::print_stdout,
    reason = "which rule caught a bug, and after how many seeds, is worth reading"
)]

use std::time::Duration;
use worker_core::config::{MaxDead, OnError, Retry, StreamSpec};
use worker_core::fault::Bug;
use worker_tests::sim::check::Check;
use worker_tests::sim::fault::{Fault, Scheduled};
use worker_tests::sim::plan::{DiskBug, Outside, Plan, StageKind};
use worker_tests::sim::program::{BatchProgram, RecordsProgram, StreamProgram};
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

/// The same where the order of the source is kept.
fn is_caught_in_order(bug: Bug, by: &[Check]) {
    breaks_a_rule(&format!("{bug:?}"), by, |seed| Plan { bug: Some(bug), ..Plan::in_order(seed) });
}

/// C1 of columns: only of one journal is appended enough.
#[test]
fn what_is_appended_is_taken_across_columns() {
    is_caught_exactly_once(Bug::AppendedAcrossColumns, &[Check::Durable, Check::Recovery, Check::Order]);
}

/// C1 of columns: what leaves waits until it is durable.
#[test]
fn what_leaves_a_column_is_not_waited_for() {
    is_caught_exactly_once(Bug::ColumnLeftBeforeDurable, &[Check::Durable]);
}

#[test]
fn a_reader_in_order_that_takes_what_is_there() {
    is_caught_in_order(Bug::TakesOutOfTurn, &[Check::InOrder]);
}

#[test]
fn headers_that_are_forgotten() {
    breaks_a_rule("HeaderForgotten", &[Check::Header, Check::Halt, Check::Order, Check::SinkFile], |seed| {
        Plan { bug: Some(Bug::HeaderForgotten), ..Plan::headed(seed) }
    });
}

#[test]
fn a_boundary_that_is_passed_on_too_early() {
    is_caught_in_order(Bug::BoundaryAhead, &[Check::InOrder, Check::Order]);
}

#[test]
fn a_last_chunk_that_is_left_open() {
    is_caught_in("last_words_in_order", scenario::last_words_in_order(), Bug::LastChunkOpen);
}

#[test]
fn a_boundary_that_is_forgotten_before_those_of_chunks_before_it() {
    let plan = scenario::slow_sink_in_order_that_dies();
    is_caught_in("slow_sink_in_order_that_dies", plan, Bug::BoundaryForgottenAhead);
}

#[test]
fn a_turn_that_is_forgotten() {
    is_caught_in_order(Bug::TurnForgotten, &[Check::InOrder, Check::Drain]);
}

#[test]
fn a_batch_that_goes_on_behind_a_boundary() {
    is_caught_in_order(Bug::BatchOverBoundary, &[Check::InOrder, Check::Drain]);
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
fn more_credit_than_all_links_may_share() {
    is_caught(Bug::SharedCreditUnlimited, &[Check::SharedCredit]);
    is_caught_in("far_apart", scenario::far_apart(10_000_000, 6_000), Bug::SharedCreditUnlimited);
}

#[test]
fn shared_credit_that_is_not_given_back() {
    is_caught_in("far_apart", scenario::far_apart(10_000_000, 1_000_000), Bug::SharedCreditKept);
}

#[test]
fn sent_while_credit_is_given_back() {
    // Some bursts begin while a link is being opened again.
    let bug = Some(Bug::SentWhileGivenUp);
    let plan = |seed| Plan { bug, ..scenario::far_apart(2_000_000 + seed * 10_000, 1_000_000) };
    breaks_a_rule("SentWhileGivenUp", &[Check::Driver], plan);
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
    // A life of a sender that is let in before it is durable is an answer before its commit.
    is_caught_exactly_once(Bug::OutputBeforeDurable, &[Check::Durable, Check::Fence]);
}

#[test]
fn position_not_persisted() {
    is_caught_exactly_once(Bug::PositionNotPersisted, &[Check::Durable, Check::Duplicate, Check::Fence]);
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
        &[Check::Bytes, Check::Duplicate, Check::SinkFile, Check::Halt, Check::Recovery, Check::RetryWaits],
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
        &[Check::Order, Check::Drain, Check::Halt, Check::Panic, Check::Bytes, Check::DataWaits],
    );
}

#[test]
fn changes_of_keyed_state_applied_twice() {
    breaks_a_rule("KeyedTwice", &[Check::State], |seed| {
        let mut plan = with_values_that_come_back(seed);
        plan.disk.bug = Some(DiskBug::KeyedTwice);
        plan
    });
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
        &[Check::Taken, Check::Result, Check::Halt, Check::Duplicate, Check::Bytes],
    );
}

#[test]
fn a_stream_that_is_run_again_with_a_record_more() {
    is_caught_on_disk(DiskBug::ReplayRepeatsLast, &[Check::Duplicate, Check::Result, Check::Halt]);
}

#[test]
fn a_stream_fed_before_its_input_is_admitted() {
    // An admission that nothing follows is never made, and then all waits for it.
    is_caught_on_disk(
        DiskBug::AdmittedLate,
        &[Check::Taken, Check::Halt, Check::Window, Check::Durable, Check::Drain],
    );
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

/// Journals, and batch programs with records of which the worker dies.
fn with_killers(seed: u64) -> Plan {
    let mut plan = Plan::exactly_once(seed);
    for stage in &mut plan.stages {
        if let StageKind::Batch { program, .. } = &mut stage.kind {
            *program = BatchProgram::KillOn(41);
        }
    }
    plan
}

/// Journals, and sinks that are programs which often fail at their end; one of the nodes is told to stop.
fn with_failing_sinks(seed: u64) -> Plan {
    let mut plan = Plan::exactly_once(seed);
    for at in 0..plan.stages.len() {
        if let StageKind::Sink { .. } = plan.stages[at].kind {
            let wait = Duration::from_millis(10);
            let restart = Some(Retry { max_attempts: 1, initial: wait, max: wait });
            plan.stages[at].kind = StageKind::Stream {
                program: StreamProgram::Sort,
                spec: StreamSpec { window: None, early_exit_is_done: false, replay_bytes: u64::MAX, restart },
                record_us: 1,
                dies_percent: 50,
            };
            let drain = Fault::Drain { node: plan.stages[at].nodes[0] };
            plan.faults.push(Scheduled { at: 50_000, fault: drain });
        }
    }
    plan.faults.sort_by_key(|scheduled| scheduled.at);
    plan
}

/// Journals that are behind, and records programs that are given values with their requests.
fn with_values_that_come_back(seed: u64) -> Plan {
    let mut plan = Plan::exactly_once(seed);
    let StageKind::Records { spec, .. } = scenario::values_that_come_back().stages[1].kind.clone() else {
        panic!("the scenario has a records stage");
    };
    for stage in &mut plan.stages {
        if let StageKind::Batch { .. } = stage.kind {
            let program = RecordsProgram::Flip;
            stage.kind = StageKind::Records { program, spec: spec.clone(), inline: true, record_us: 10 };
        }
    }
    plan.disk.behind_us = 20_000;
    plan
}

/// Journals, and limits that are reached.
fn with_limits(seed: u64) -> Plan {
    let mut plan = Plan::exactly_once(seed);
    for (at, stage) in plan.stages.iter_mut().enumerate() {
        match &mut stage.kind {
            StageKind::Batch { program, spec, .. } => {
                *program = BatchProgram::FailOn(5);
                match at % 2 {
                    0 => spec.on_error = OnError::Halt,
                    _ => spec.max_dead = MaxDead::Records(1),
                }
            }
            StageKind::Stream { spec, .. } => spec.replay_bytes = 500,
            StageKind::Source { .. } | StageKind::Records { .. } | StageKind::Sink { .. } => {}
        }
    }
    plan
}

#[test]
fn a_record_condemned_too_early() {
    is_caught_exactly_once(Bug::CondemnedEarly, &[Check::Condemned]);
}

#[test]
fn a_record_that_is_never_condemned() {
    breaks_a_rule("NeverCondemned", &[Check::Condemned], |seed| Plan {
        bug: Some(Bug::NeverCondemned),
        ..with_killers(seed)
    });
}

#[test]
fn a_record_condemned_before_anything_has_succeeded() {
    is_caught(Bug::CondemnedUnproven, &[Check::Condemned]);
}

#[test]
fn a_slot_that_is_kept() {
    is_caught(Bug::SlotLeaked, &[Check::Slots]);
    is_caught_exactly_once(Bug::SlotLeaked, &[Check::Slots]);
}

#[test]
fn a_sink_that_is_done_before_the_outside_has_taken_it() {
    is_caught(Bug::SinkDoneEarly, &[Check::Taken]);
    is_caught_exactly_once(Bug::SinkDoneEarly, &[Check::Taken]);
}

#[test]
fn a_sink_whose_program_fails_at_a_stop_and_is_done() {
    breaks_a_rule("FailedStopIsDone", &[Check::Taken], |seed| Plan {
        bug: Some(Bug::FailedStopIsDone),
        ..with_failing_sinks(seed)
    });
}

#[test]
fn a_lost_state_that_is_not_known() {
    is_caught_in("lost_state", scenario::lost_state(), Bug::ReceiversUnknown);
}

#[test]
fn letters_that_are_not_synced_before_their_commit() {
    is_caught_on_disk(DiskBug::LettersUnsynced, &[Check::Letters]);
}

#[test]
fn letters_of_commits_that_never_were() {
    is_caught_on_disk(DiskBug::LettersNotCut, &[Check::Letters]);
}

#[test]
fn a_dead_destination_behind_a_stage_that_stops_it() {
    let plan = scenario::dead_behind_a_filter();
    is_caught_in("dead_behind_a_filter", plan, Bug::UnconnectedStopsTask);
}

#[test]
fn a_stream_fed_before_it_is_asked_to_admit() {
    is_caught_exactly_once(Bug::FedBeforeAdmitted, &[Check::Window]);
}

#[test]
fn a_source_that_loses_its_last_words() {
    // Every source has something to say when it is stopped.
    let plan = |seed| {
        let mut plan = Plan { bug: Some(Bug::LastWordsLost), ..Plan::exactly_once(seed) };
        for stage in &mut plan.stages {
            if let StageKind::Source { outside, .. } = &mut stage.kind {
                *outside = Outside::Program { last_words: 40 };
            }
        }
        plan
    };
    breaks_a_rule("LastWordsLost", &[Check::LastWords], plan);
}

#[test]
fn a_reader_that_leaves_and_is_taken_for_the_end() {
    is_caught_exactly_once(Bug::ReaderGoneIsEnd, &[Check::SinkFile, Check::Order]);
}

#[test]
fn limits_that_stop_nothing() {
    for bug in [Bug::ReplayUnlimited, Bug::DeadUncounted, Bug::HaltIgnored] {
        breaks_a_rule(&format!("{bug:?}"), &[Check::Limits], |seed| Plan {
            bug: Some(bug),
            ..with_limits(seed)
        });
    }
}
