//! What a journal's entries add up to: the harness's own simple answer to what recovery has to give.

use super::disk::DiskEntry;
use super::plan::DiskBug;
use bytes::Bytes;
use worker_core::event::Body;
use worker_core::event::{Attempt, Commit, StreamStep};
use worker_core::recovery::{HeldOutput, InputState, OutputState, TaskState, WindowState};
use worker_proto::{Epoch, JournalId, LinkId, Seq};

/// The state after `entries`.
pub(super) fn task_state(
    entries: &[DiskEntry],
    outputs: &[LinkId],
    journal: JournalId,
    bug: Option<DiskBug>,
) -> TaskState {
    let mut state = TaskState::fresh(Epoch(0), journal);
    for entry in entries {
        match entry {
            DiskEntry::Life(epoch) => state.epoch = *epoch,
            DiskEntry::Commit(commit) => add(&mut state, commit, outputs, bug),
            DiskEntry::Note(attempt) => state.attempt = *attempt,
            DiskEntry::Released(link, through) => release(&mut state, *link, *through, bug),
        }
    }
    state
}

/// What is noted as in flight after `entries`.
pub(super) fn attempt(entries: &[DiskEntry]) -> Attempt {
    task_state(entries, &[], JournalId(0), None).attempt
}

fn add(state: &mut TaskState, commit: &Commit, outputs: &[LinkId], bug: Option<DiskBug>) {
    state.commits = commit.id.0;
    state.attempt = commit.attempt;
    if commit.turn.is_some() {
        state.turn.clone_from(&commit.turn);
    }
    if let Some(headers) = &commit.headers {
        state.headers.clone_from(headers);
    }
    for done in &commit.inputs {
        let input = state.inputs.entry(done.link).or_insert(InputState {
            epoch: done.epoch,
            journal: done.journal,
            through: Seq::ZERO,
            ended: false,
        });
        input.epoch = input.epoch.max(done.epoch);
        input.through = input.through.max(done.through);
        input.ended |= done.ended && bug != Some(DiskBug::EndedNotPersisted);
    }
    for (first, chunk) in &commit.outputs {
        let output = state.outputs.entry(chunk.link).or_insert_with(OutputState::fresh);
        let (records, cost) = match &chunk.body {
            Body::Memory(batch) => (batch.len() as u64, batch.cost()),
            Body::Stored { records, cost, .. } => (*records, *cost),
        };
        output.held.push(HeldOutput { first: *first, records, cost });
        output.next = first.plus(records);
    }
    if commit.ended && bug != Some(DiskBug::EndedNotPersisted) {
        state.ended = true;
        for &link in outputs {
            let output = state.outputs.entry(link).or_insert_with(OutputState::fresh);
            output.end = Some(output.next);
            output.next = output.next.next();
        }
    }
    state.dead += commit.dead.len() as u64;
    if commit.position.is_some() {
        state.position.clone_from(&commit.position);
    }
    match &commit.stream {
        Some(StreamStep::Admit { window, pieces }) => {
            let kept = begin(state, *window);
            kept.records += pieces.iter().map(|piece| piece.batch.len() as u64).sum::<u64>();
            kept.cost += pieces.iter().map(|piece| piece.batch.cost()).sum::<u64>();
        }
        Some(StreamStep::Printed { window, printed }) => {
            begin(state, *window).printed_records += printed.records
        }
        Some(StreamStep::Cut { window }) => begin(state, *window).cut = true,
        Some(StreamStep::Done { window }) => {
            state.windows = state.windows.max(*window);
            state.window = None;
        }
        None => {}
    }
}

fn begin(state: &mut TaskState, window: u64) -> &mut WindowState {
    state.windows = state.windows.max(window);
    let kept = state.window.get_or_insert_default();
    kept.window = window;
    kept
}

fn release(state: &mut TaskState, link: LinkId, through: Seq, bug: Option<DiskBug>) {
    let output = state.outputs.entry(link).or_insert_with(OutputState::fresh);
    output.through = output.through.max(through);
    if bug == Some(DiskBug::CheckpointDropsOutput)
        && let Some(next) = output.held.iter().find(|held| held.first > through)
    {
        output.through = output.through.max(next.first.plus(next.records).before());
    }
    let through = output.through;
    output.held.retain(|held| held.first.plus(held.records).before() > through);
}

/// A position as a position.
pub(super) fn position(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_le_bytes())
}

/// The position in a position.
pub(super) fn number(position: &[u8]) -> u64 {
    u64::from_le_bytes(position.try_into().expect("the harness wrote it"))
}
