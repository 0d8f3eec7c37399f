//! Records of which a program keeps dying, in the end each alone.

use super::play::{Play, around, asked, failure};
use super::*;
use crate::event::{DeadLetter, JournalAction, Output, RecordsAction, RecordsEvent, TaskAction, TaskEvent};

/// What was asked at once, and when, of programs that die of every record that begins with `bad` before they answer anything.
struct Asked {
    groups: Vec<(Time, Vec<String>)>,
    /// How often each dead letter was tried.
    letters: Vec<(String, u32)>,
}

fn asked_until_it_rests(play: &mut Play, stage: TaskId) -> Asked {
    let mut story = Asked { groups: Vec::new(), letters: Vec::new() };
    loop {
        while let Some((task, commit)) = play.take(|action| match action {
            Action::Task(task, TaskAction::Journal(JournalAction::Persist(commit))) => {
                Some((*task, commit.clone()))
            }
            Action::Task(..) | Action::Conn(..) | Action::Link(..) | Action::Node(_) => None,
        }) {
            let letter = |letter: &DeadLetter| {
                (String::from_utf8_lossy(&letter.record).trim_end().to_owned(), letter.attempts)
            };
            story.letters.extend(commit.dead.iter().map(letter));
            play.tell(Event::task(task, TaskEvent::Persisted { commit: commit.id }));
        }
        let (mut group, mut last) = (Vec::new(), 0);
        while let Some((life, batch)) = play.take(|action| match action {
            Action::Task(_, TaskAction::Records(RecordsAction::Request { life, batch, .. })) => {
                Some((*life, batch.clone()))
            }
            Action::Task(..) | Action::Conn(..) | Action::Link(..) | Action::Node(_) => None,
        }) {
            last = life;
            group.extend(batch.iter().map(|r| String::from_utf8_lossy(r).trim_end().to_owned()));
        }
        if group.is_empty() {
            match play.node.next_wake() {
                Some((at, _)) => play.pass(at.since(play.now)),
                None => return story,
            }
            continue;
        }
        let dies = group.iter().any(|record| record.starts_with("bad"));
        let records = group.len() as u64;
        story.groups.push((play.now, group));
        let event = match dies {
            true => RecordsEvent::Failed { life: last, failure: failure() },
            false => RecordsEvent::Answered { life: last, records, output: Output::default(), ended: false },
        };
        play.tell(Event::task(stage, event));
    }
}

#[test]
fn a_record_alone_has_all_its_attempts_with_waits_of_its_own_and_half_a_group_has_one() {
    let mut play = Play::new(around(asked(8)));
    play.syncs = false;
    let stage = TaskId(1);
    asked_until_it_rests(&mut play, stage);
    assert!(play.read(&["fine"]));
    let first = asked_until_it_rests(&mut play, stage);
    assert_eq!(first.groups.len(), 1, "it succeeds with one");
    assert!(play.read(&["1", "2", "bad 3", "4", "5", "bad 6", "7", "8"]));
    let story = asked_until_it_rests(&mut play, stage);
    let times = |records: &[&str]| -> Vec<Time> {
        story.groups.iter().filter(|(_, group)| group == records).map(|(at, _)| *at).collect()
    };
    for bad in ["bad 3", "bad 6"] {
        let tried = times(&[bad]);
        assert_eq!(tried.len(), 3, "{bad}: max_attempts: {:?}", story.groups);
        assert!(tried.windows(2).all(|pair| pair[0] < pair[1]), "with waits: {:?}", story.groups);
        let (_, attempts) = story.letters.iter().find(|(record, _)| record == bad).expect("its letter");
        assert!(*attempts >= 3, "{attempts}");
    }
    assert_eq!(times(&["1", "2", "bad 3", "4", "5", "bad 6", "7", "8"]).len(), 3, "{:?}", story.groups);
    let halves = [&["1", "2", "bad 3", "4"][..], &["bad 3", "4"]];
    for half in halves {
        assert!(times(half).len() <= 1, "{half:?}: {:?}", story.groups);
    }
    assert_eq!(story.letters.len(), 2);
}
