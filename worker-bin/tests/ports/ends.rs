//! Ports of sources and sinks, and their threads.

use super::*;
use std::io::Read as _;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use worker_bin::io::sink::{FifoSink, Moved, SinkError, SinkWriter, StreamSink};
use worker_bin::io::source::{Progress, SourceError, SourceReader, Stop};
use worker_bin::runtime::parts::{Input, SinkPort, SourcePort};
use worker_core::event::{Blocker, SinkAction, SinkEvent, SourceAction, SourceEvent, WorkId};

/// Says when it is asked for a chunk, and gives it when it may.
#[derive(Debug)]
struct Gated {
    asked: Sender<()>,
    gate: Receiver<Batch>,
}

impl SourceReader for Gated {
    fn next_chunk(&mut self) -> Result<Option<Batch>, SourceError> {
        self.asked.send(()).unwrap();
        Ok(self.gate.recv().ok())
    }

    fn progress(&self) -> Progress {
        Progress::default()
    }

    fn header(&self) -> Option<Bytes> {
        None
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_in_flight_at_the_stop_counts_and_no_other_is_read() {
    let heard = Arc::new(Heard::default());
    let ((asked, is_asked), (give, gate)) = (channel(), channel());
    let reader = Box::new(Gated { asked, gate });
    let input = Input::reader(reader, Stop::new().unwrap(), Arc::new(AtomicU64::new(0)));
    let (port, thread) = SourcePort::new(heard.context(), input, collector(), None);
    thread.start().unwrap();
    port.act(SourceAction::Read { chunks: 3, most: None });
    is_asked.recv_timeout(DEADLINE).unwrap();
    port.act(SourceAction::Stop);
    give.send(lines("a\nb\n")).unwrap();
    let events = heard.until(|events| events.len() == 2);
    let [
        TaskEvent::Source(SourceEvent::Read { output }),
        TaskEvent::Source(SourceEvent::Ended { complete: false }),
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(text(output), "a\nb\n");
    assert!(is_asked.try_recv().is_err(), "the other permits are void");
}

/// The first write succeeds, the second fails like this.
#[derive(Debug)]
struct Failing {
    error: Option<SinkError>,
    writes: Arc<AtomicU32>,
}

impl SinkWriter for Failing {
    fn write(&mut self, _batches: &[Batch]) -> Result<(), SinkError> {
        match self.writes.fetch_add(1, Ordering::Relaxed) {
            0 => Ok(()),
            _ => self.error.take().map_or(Ok(()), Err),
        }
    }

    fn close(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn count_into(&mut self, _moved: Moved) {}
}

/// What is told of three writes and a close, and how many of them were tried.
async fn written(error: Option<SinkError>) -> (Vec<TaskEvent>, u32) {
    let (heard, writes) = (Arc::new(Heard::default()), Arc::new(AtomicU32::new(0)));
    let writer = Box::new(Failing { error, writes: Arc::clone(&writes) });
    let (port, thread) = SinkPort::new(heard.context(), writer, None);
    thread.start().unwrap();
    for work in 1..=3 {
        port.act(SinkAction::Write { work: WorkId(work), batches: vec![lines("x\n")] });
    }
    port.act(SinkAction::Close);
    tokio::time::timeout(DEADLINE, port.gone()).await.expect("its thread ends");
    let events = heard.events.lock().unwrap().clone();
    (events, writes.load(Ordering::Relaxed))
}

fn works(events: &[TaskEvent]) -> Vec<u64> {
    let work = |event: &TaskEvent| {
        let TaskEvent::Sink(SinkEvent::Written { work, .. }) = event else { return None };
        Some(work.0)
    };
    events.iter().filter_map(work).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_says_each_write_and_then_that_it_is_closed() {
    let (events, tried) = written(None).await;
    assert_eq!((works(&events), tried), (vec![1, 2, 3], 3));
    assert!(matches!(events[3..], [TaskEvent::Sink(SinkEvent::Closed)]), "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_fails_says_so_and_tries_nothing_more() {
    let error = SinkError::Write { name: "out".into(), written: 2, source: std::io::Error::other("broken") };
    let (events, tried) = written(Some(error)).await;
    assert_eq!((works(&events), tried), (vec![1], 2));
    let [_, TaskEvent::Failed { why }] = &events[..] else { panic!("{events:?}") };
    assert!(why.contains("cannot write to out after 2 bytes: broken"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_goes_away_is_no_failure() {
    let error = SinkError::ReaderGone { name: "standard output".into(), written: 2 };
    let (events, tried) = written(Some(error)).await;
    assert_eq!((works(&events), tried), (vec![1], 2));
    assert!(matches!(events[1..], [TaskEvent::Sink(SinkEvent::ReaderGone)]), "{events:?}");
}

/// A writer of a pipe, followed, and its port.
fn followed(heard: &Arc<Heard>, writer: impl SinkWriter + 'static) -> SinkPort {
    let (port, thread) = SinkPort::new(heard.context(), Box::new(writer), None);
    thread.start().unwrap();
    port
}

/// What was told when `is_enough` of it was.
async fn told(heard: &Heard, is_enough: impl Fn(&[TaskEvent]) -> bool) -> Vec<TaskEvent> {
    let waits = async {
        loop {
            let events = heard.events.lock().unwrap().clone();
            if is_enough(&events) {
                return events;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let events = tokio::time::timeout(DEADLINE, waits).await;
    events.unwrap_or_else(|_| panic!("{:?}", heard.events.lock().unwrap()))
}

fn write(port: &SinkPort, work: u64, text: &'static str) {
    port.act(SinkAction::Write { work: WorkId(work), batches: vec![lines(text)] });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_to_a_pipe_is_done_when_its_reader_has_taken_it() {
    let heard = Arc::new(Heard::default());
    let (mut reader, writer) = std::io::pipe().unwrap();
    let port = followed(&heard, StreamSink::new(writer.into(), "it".into()).followed());
    for (work, text) in [(1, "one\n"), (2, "two\nthree\n"), (3, "four\n")] {
        write(&port, work, text);
    }
    let mut taken = [0; 10];
    reader.read_exact(&mut taken).unwrap();
    assert_eq!(works(&told(&heard, |events| !works(events).is_empty()).await), [1]);
    drop(reader);
    let events = told(&heard, |events| events.len() == 3).await;
    let [_, TaskEvent::Sink(SinkEvent::Partly { work: WorkId(2), records: 1, bytes: 4 }), gone] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert!(matches!(gone, TaskEvent::Sink(SinkEvent::ReaderGone)), "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_write_that_finds_no_reader_nothing_is_done() {
    let heard = Arc::new(Heard::default());
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let port = followed(&heard, StreamSink::new(writer.into(), "it".into()).followed());
    write(&port, 1, "one\n");
    let events = told(&heard, |events| !events.is_empty()).await;
    assert!(matches!(events[..], [TaskEvent::Sink(SinkEvent::ReaderGone)]), "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_pipe_goes_on_with_its_next_reader() {
    let (heard, dir) = (Arc::new(Heard::default()), tempfile::tempdir().unwrap());
    let path = dir.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let port = followed(&heard, FifoSink::new(&path).followed());
    write(&port, 1, "one\ntwo\nthree\n");
    let mut taken = [0; 10];
    std::fs::File::open(&path).unwrap().read_exact(&mut taken).unwrap();
    let is_partly = |event: &TaskEvent| {
        matches!(event, TaskEvent::Sink(SinkEvent::Partly { work: WorkId(1), records: 2, bytes: 8 }))
    };
    let events = told(&heard, |events| events.iter().any(is_partly)).await;
    assert_eq!(works(&events), [0; 0]);
    let blocked =
        |event: &TaskEvent| matches!(event, TaskEvent::Blocked { by: Some(Blocker::NoReader { .. }) });
    told(&heard, |events| events.last().is_some_and(blocked)).await;
    let mut rest = [0; 4];
    std::fs::File::open(&path).unwrap().read_exact(&mut rest).unwrap();
    assert_eq!(&rest, b"ree\n");
    told(&heard, |events| works(events) == [1]).await;
}
