//! From passing batches to records as text, at the reader's pace.

use super::{Beside, Fill, Passed, Taps};
use crate::admin::{TapSide, Tapped};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use worker_core::route::{Envelope, PartitionBy, RecordKey};
use worker_proto::Batch;

/// After so long without a record the reader is told of those it missed.
const TELL_AFTER: Duration = Duration::from_millis(250);

/// The reading end of a look.
pub(super) struct Show {
    pub(super) taps: Arc<Taps>,
    pub(super) side: TapSide,
    pub(super) wanted: Option<Wanted>,
    pub(super) passing: mpsc::Receiver<Passed>,
    pub(super) fill: Arc<Fill>,
    pub(super) text: mpsc::Sender<Tapped>,
}

/// Finds the records of one key.
#[derive(Debug)]
pub(super) struct Wanted {
    key: Vec<u8>,
    readers: Vec<RecordKey>,
    /// Some keys come beside the records.
    given: bool,
}

/// The reader does not want any more.
struct Gone;

impl Show {
    /// Shows records until the reader is gone or the run is over.
    pub(super) async fn run(mut self) {
        loop {
            let missed = self.fill.skipped.load(Ordering::Relaxed) > 0;
            let passed = tokio::select! {
                passed = self.passing.recv() => passed,
                () = self.text.closed() => return,
                () = tokio::time::sleep(TELL_AFTER), if missed => {
                    let skipped = self.fill.skipped.swap(0, Ordering::Relaxed);
                    if self.skipped(skipped).await.is_err() {
                        return;
                    }
                    continue;
                }
            };
            let Some(passed) = passed else { break };
            let shown = self.passed(&passed).await;
            self.fill.bytes.fetch_sub(passed.charge, Ordering::Relaxed);
            if shown.is_err() {
                return;
            }
        }
        let skipped = self.fill.skipped.swap(0, Ordering::Relaxed);
        self.skipped(skipped).await.ok();
    }

    async fn passed(&mut self, passed: &Passed) -> Result<(), Gone> {
        self.skipped(passed.skipped).await?;
        let envelope = self.taps.envelope(passed.task, self.side);
        let mut nowhere = nowhere(&passed.batch, &passed.beside, self.taps.ways(passed.task));
        for (index, whole) in passed.batch.iter().enumerate() {
            if let Some(left) = nowhere.get_mut(whole).filter(|left| **left > 0) {
                *left -= 1;
                continue;
            }
            let record = envelope.content(whole);
            let given = passed.beside.keys.get(index).and_then(|key| key.as_deref());
            if self.wanted.as_mut().is_some_and(|wanted| !wanted.has(record, given)) {
                continue;
            }
            let tapped = tapped(self.taps.name(passed.task), record);
            self.text.send(tapped).await.map_err(|_| Gone)?;
        }
        Ok(())
    }

    async fn skipped(&self, records: u64) -> Result<(), Gone> {
        if records == 0 {
            return Ok(());
        }
        self.text.send(Tapped::Skipped { records }).await.map_err(|_| Gone)
    }
}

impl Drop for Show {
    fn drop(&mut self) {
        self.taps.end(&self.fill);
    }
}

impl Wanted {
    pub(super) fn new(key: &str, by: &[PartitionBy], envelope: Envelope) -> Self {
        let given = by.contains(&PartitionBy::Given);
        let readers = by.iter().map(|by| RecordKey::new(by.clone(), envelope)).collect();
        Self { key: key.as_bytes().to_vec(), readers, given }
    }

    fn has(&mut self, record: &[u8], given: Option<&[u8]>) -> bool {
        let Self { key, readers, given: by_given } = self;
        (*by_given && given == Some(key.as_slice()))
            || readers.iter_mut().any(|reader| reader.of(record).is_ok_and(|found| found == key.as_slice()))
    }
}

/// Of each record that lacks the key of every way out, how many there are: they are dead letters and nothing else.
fn nowhere<'a>(batch: &'a Batch, beside: &'a Beside, ways: usize) -> BTreeMap<&'a [u8], usize> {
    let mut dead: BTreeMap<&[u8], (usize, usize)> = BTreeMap::new();
    for record in &beside.dead {
        dead.entry(record.as_ref()).or_default().0 += 1;
    }
    if !dead.is_empty() {
        for record in batch.iter() {
            if let Some((_, records)) = dead.get_mut(record) {
                *records += 1;
            }
        }
    }
    let nowhere =
        |(letters, records): (usize, usize)| letters.saturating_sub(records * ways.saturating_sub(1));
    dead.into_iter().map(|(record, counts)| (record, nowhere(counts))).collect()
}

fn tapped(task: &str, record: &[u8]) -> Tapped {
    let (record, record_b64) = match std::str::from_utf8(record) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(STANDARD.encode(record))),
    };
    Tapped::Record { task: task.to_owned(), record, record_b64 }
}
