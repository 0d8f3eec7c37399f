//! One destination: its outbox, and the journal that makes it survive.
//!
//! The queue is a task with one link, on which it is both ends: a mail that was accepted is an *output* of a commit, a mail that is
//! settled (delivered, or refused for good) an *input done*. The journal keeps the first until the second is durable.

use crate::Failure;
use crate::servers::{Answer, Servers};
use bytes::Bytes;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Duration;
use worker_core::backoff::Backoff;
use worker_core::event::{Body, Chunk, Commit, CommitId, DeadLetter, InputDone};
use worker_core::outbox::{Outbox, Pulled, Request, Standing};
use worker_core::recovery::OutputState;
use worker_core::rng::Rng;
use worker_core::{Batch, Fingerprint, LinkId, Seq, Time};
use worker_journal::{
    DirStorage, Identity, Journal, NewestPosition, Opened, Settings, fault, random_id, sync_directory,
};

const LINK: LinkId = LinkId(0);
const MEMORY_BYTES: u64 = 64 << 10;
const SEGMENTS: Settings = Settings { first_segment_bytes: 64 << 10, segment_bytes_max: 4 << 20 };
/// Before a mail is tried again, at most.
const WAITS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(60));

pub(crate) struct Destination {
    name: String,
    journal: Journal<DirStorage, NewestPosition>,
    commits: u64,
    /// Id of the last mail taken.
    taken: u64,
    outbox: Outbox,
    /// How far mails are settled.
    settled: InputDone,
    backoff: Backoff,
    not_before: Time,
    dead_letters: DeadLetters,
    /// In the journal, but not durable yet.
    accepting: Vec<Batch>,
    settling: Option<InputDone>,
}

impl Destination {
    /// Makes it, or goes on where the last life of this program got to.
    pub(crate) fn open(dir: &Path, name: &str) -> Result<Self, Failure> {
        let (task, fingerprint) = (name.to_owned(), Fingerprint(1));
        let identity = Identity { task, fingerprint, outputs: vec![LINK], new_id: random_id() };
        let storage = DirStorage::new(&dir.join("queue").join(name))?;
        let Opened { journal, state, dead_bytes, .. } =
            Journal::open(storage, &identity, SEGMENTS, NewestPosition::default())?;
        let (epoch, id) = (state.epoch, state.journal);
        let through = state.inputs.get(&LINK).map_or(Seq::ZERO, |done| done.through);
        let taken = state.position.as_deref().and_then(|bytes| bytes.try_into().ok());
        let held = state.outputs.get(&LINK).cloned().unwrap_or_else(OutputState::fresh);
        Ok(Self {
            name: name.to_owned(),
            journal,
            commits: state.commits,
            taken: taken.map_or(0, u64::from_le_bytes),
            outbox: Outbox::restore(MEMORY_BYTES, &held),
            settled: InputDone { link: LINK, epoch, journal: id, through, ended: false },
            backoff: Backoff::new(WAITS.0, WAITS.1),
            not_before: Time::ZERO,
            dead_letters: DeadLetters::open(&dir.join("dead"), name, dead_bytes.unwrap_or(0), state.dead)?,
            accepting: Vec::new(),
            settling: None,
        })
    }

    /// Every mail is delivered or refused for good.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled.through.next() == self.outbox.next_seq()
    }

    /// When there is something to deliver.
    pub(crate) fn due(&self) -> Option<Time> {
        (!self.is_settled()).then_some(self.not_before)
    }

    /// Takes a mail, unless an earlier life has; it is accepted when [`Self::make_durable`] has returned.
    pub(crate) fn accept(&mut self, id: u64, body: &str) -> Result<(), Failure> {
        if id <= self.taken {
            return Ok(());
        }
        let batch = Batch::from_terminated(format!("{id} {body}\n").into(), b'\n');
        let chunk = Chunk { link: LINK, body: Body::Memory(batch.clone()) };
        let outputs = vec![(self.outbox.assign(&chunk.body), chunk)];
        let position = Some(Bytes::copy_from_slice(&id.to_le_bytes()));
        let commit = Commit { outputs, position, ..self.next_commit() };
        self.journal.append(&commit, None)?;
        self.taken = id;
        self.accepting.push(batch);
        Ok(())
    }

    /// Delivers the next mail if it is time, and tells the journal what came of it.
    pub(crate) fn deliver(&mut self, now: Time, rng: &mut Rng, servers: &mut Servers) -> Result<(), Failure> {
        if now < self.not_before {
            return Ok(());
        }
        if !self.outbox.is_open() {
            // A server says nothing of what it has; the journal knows.
            let at = self.settled.through;
            self.outbox.open(Standing { committed: at, received: at, finished: at, credit: u64::MAX })?;
        }
        self.serve_outbox()?;
        // At most one byte, but one record where there is any: one mail.
        let Some(Pulled { first_seq, batch, .. }) = self.outbox.pull(1) else { return Ok(()) };
        let mail = batch.record(0);
        let mut dead = Vec::new();
        match servers.call(&self.name, mail)? {
            Answer::Taken => {}
            Answer::Never(why) => dead.push(self.dead_letters.write(mail, why)?),
            Answer::NotNow => {
                // Nothing moves: the cursor goes back, and what was not acknowledged is pulled again.
                self.outbox.unbind();
                self.not_before = now + self.backoff.fail(rng);
                eprintln!("{}: nobody there at {now} s, tried again at {} s", self.name, self.not_before);
                return Ok(());
            }
        }
        self.backoff.reset();
        let settled = InputDone { through: first_seq, ..self.settled };
        let commit = Commit { inputs: vec![settled], dead, ..self.next_commit() };
        self.journal.append(&commit, Some(self.dead_letters.bytes))?;
        self.settling = Some(settled);
        Ok(())
    }

    /// Syncs what the journal was told. Only then mails may leave, and are settled.
    pub(crate) fn make_durable(&mut self) -> Result<(), Failure> {
        while let Some(ticket) = self.journal.to_sync() {
            self.journal.synced(ticket.run()?);
        }
        for batch in self.accepting.drain(..) {
            self.outbox.push_assigned(Body::Memory(batch));
        }
        if let Some(settled) = self.settling.take() {
            self.settled = settled;
            self.outbox.acked(settled.through, settled.through, u64::MAX)?;
        }
        self.serve_outbox()
    }

    /// Does what the outbox asks for: mails past its memory are read back, those acknowledged need not be kept.
    fn serve_outbox(&mut self) -> Result<(), Failure> {
        while let Some(request) = self.outbox.poll_request() {
            match request {
                Request::Load { first_seq, records, .. } => {
                    self.outbox.loaded(first_seq, self.journal.read(LINK, first_seq, records)?);
                }
                Request::Release { through } => self.journal.acknowledged(LINK, through),
                Request::Store { .. } | Request::Discard { .. } => {
                    return Err("an outbox with a journal stores nothing elsewhere".into());
                }
            }
        }
        Ok(())
    }

    fn next_commit(&mut self) -> Commit {
        self.commits += 1;
        Commit::empty(CommitId(self.commits))
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (settled, dead) = (self.settled.through.0, self.dead_letters.count);
        write!(f, "{}: {} delivered, {dead} dead", self.name, settled - dead)
    }
}

/// The file of mails that were refused for good.
struct DeadLetters {
    file: File,
    bytes: u64,
    count: u64,
}

impl DeadLetters {
    /// What lies behind the committed length was written in a life that died before its commit.
    fn open(dir: &Path, name: &str, committed_bytes: u64, count: u64) -> Result<Self, Failure> {
        let path = dir.join(name);
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        file.set_len(committed_bytes)?;
        file.seek(SeekFrom::Start(committed_bytes))?;
        sync_directory(dir)?;
        Ok(Self { file, bytes: committed_bytes, count })
    }

    /// Durable before the commit that counts it.
    fn write(&mut self, mail: &[u8], why: &str) -> Result<DeadLetter, Failure> {
        let mail = mail.strip_suffix(b"\n").unwrap_or(mail);
        let line = [mail, b"\t", why.as_bytes(), b"\n"].concat();
        fault::around("mailqueue.dead", || self.file.write_all(&line).and_then(|()| self.file.sync_data()))?;
        self.bytes += line.len() as u64;
        self.count += 1;
        Ok(DeadLetter::new(Bytes::copy_from_slice(mail), why.to_owned()))
    }
}
