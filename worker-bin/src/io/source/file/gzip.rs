//! Gzip data: several members one after the other are one file, and behind the last there may be something else.

use flate2::bufread::GzDecoder;
use std::io::{self, BufRead, Read};

/// How much is kept of what lies behind the last member, in bytes.
const KEPT_BYTES_MAX: usize = 1024;

/// What the members hold. Behind the last one zeros, which fill blocks of tapes, are nothing; other bytes are kept as garbage,
/// as `gzip` does, which warns of them.
pub(super) struct Members<R> {
    /// `None` only while it changes.
    place: Option<Place<R>>,
    garbage: Garbage,
}

enum Place<R> {
    Within(GzDecoder<R>),
    Behind(R),
}

/// What lies behind the last member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Garbage {
    pub(super) bytes: u64,
    /// Its beginning.
    pub(super) first: Vec<u8>,
    is_zeros: bool,
}

impl<R: BufRead> Members<R> {
    pub(super) fn new(input: R) -> Self {
        let garbage = Garbage { is_zeros: true, ..Garbage::default() };
        Self { place: Some(Place::Within(GzDecoder::new(input))), garbage }
    }

    /// What was found behind the last member, once all is read.
    pub(super) fn garbage(&self) -> Option<&Garbage> {
        Some(&self.garbage).filter(|garbage| !garbage.is_zeros)
    }

    pub(super) fn get_ref(&self) -> Option<&R> {
        match self.place.as_ref()? {
            Place::Within(decoder) => Some(decoder.get_ref()),
            Place::Behind(input) => Some(input),
        }
    }

    /// Behind a member: goes on with the next one if there is one.
    fn next_member(mut input: R) -> io::Result<Place<R>> {
        let ahead = input.fill_buf()?;
        Ok(match ahead {
            [0x1f] | [0x1f, 0x8b, ..] => Place::Within(GzDecoder::new(input)),
            _ => Place::Behind(input),
        })
    }
}

impl Garbage {
    fn read(&mut self, input: &mut impl BufRead) -> io::Result<()> {
        loop {
            let ahead = input.fill_buf()?;
            if ahead.is_empty() {
                return Ok(());
            }
            let count = ahead.len();
            self.is_zeros &= ahead.iter().all(|&byte| byte == 0);
            let room = KEPT_BYTES_MAX - self.first.len();
            self.first.extend_from_slice(&ahead[..count.min(room)]);
            self.bytes += count as u64;
            input.consume(count);
        }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            match &mut self.place {
                Some(Place::Within(decoder)) => {
                    let read = decoder.read(into)?;
                    if read > 0 {
                        return Ok(read);
                    }
                }
                Some(Place::Behind(input)) => {
                    self.garbage.read(input)?;
                    return Ok(0);
                }
                None => return Ok(0),
            }
            if let Some(Place::Within(decoder)) = self.place.take() {
                self.place = Some(Self::next_member(decoder.into_inner())?);
            }
        }
    }
}
