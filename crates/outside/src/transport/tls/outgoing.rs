//! Ciphertext on its way to the socket, and the plaintext bytes that are credited to the writer for it.

use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use rustls::Error;
use rustls::server::ServerConnectionData;
use rustls::unbuffered::{EncodeError, EncryptError, WriteTraffic};

use super::memory::{Memory, borrow};
use crate::transport::Stream;

/// Ciphertext on its way to the socket.
#[derive(Default)]
pub(super) struct TlsOutput {
    memory: Memory,
    start: usize,
    end: usize,
    /// Bytes of plaintext in it that are not credited yet.
    pub(super) owed: usize,
    /// Bytes of plaintext so far.
    total: u64,
}

/// Bytes of plaintext that are encrypted for one write.
pub(super) const GATHERED: usize = 64 << 10;
/// Bytes of a record at first, so that a client can decrypt the first record after one round trip.
const SMALL_RECORD: usize = 4 << 10;
/// Bytes of plaintext after which records have their full size.
const WARM: u64 = 64 << 10;
const LARGE_RECORD: usize = 16 << 10;
/// Bytes by which a record is longer than its plaintext, at most: header, nonce, type and tag.
const RECORD_COST: usize = 64;

impl TlsOutput {
    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// One write. Returns the bytes of plaintext that are credited for it.
    ///
    /// The writer's contract is that of a socket: the returned count is gone, the rest is offered again. Bytes of
    /// ciphertext stand for as many bytes of plaintext, but the last byte is credited only when all is written: so a
    /// writer whose bytes are all credited has nothing left here, and a slow client still shows progress to the
    /// write timeout with every write.
    pub(super) fn poll_write(&mut self, socket: &mut Stream, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let waiting = &self.memory[self.start..self.end];
        let count = ready!(socket.poll_write(context, &[IoSlice::new(waiting)]))?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.start += count;
        let credit = if self.is_empty() {
            self.memory = Memory::default();
            (self.start, self.end) = (0, 0);
            self.owed
        } else {
            // See above: the last byte waits for the end.
            count.min(self.owed.saturating_sub(1))
        };
        self.owed -= credit;
        Poll::Ready(Ok(credit))
    }

    /// Room for this many bytes behind the ciphertext.
    fn room(&mut self, size: usize) -> &mut [u8] {
        if self.memory.is_empty() {
            self.memory = borrow(size);
        } else if self.memory.len() - self.end < size {
            self.memory.grow(self.end + size);
        }
        &mut self.memory[self.end..]
    }

    pub(super) fn encode(
        &mut self,
        mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>,
    ) -> Result<(), Error> {
        let mut size = 1024;
        loop {
            match encode(self.room(size)) {
                Ok(count) => {
                    self.end += count;
                    return Ok(());
                }
                Err(EncodeError::InsufficientSize(needed)) if needed.required_size > size => {
                    size = needed.required_size
                }
                Err(error) => return Err(Error::General(error.to_string())),
            }
        }
    }

    /// Encrypts some of these slices; their bytes are owed to the writer.
    pub(super) fn encrypt<'s>(
        &mut self,
        traffic: &mut WriteTraffic<'_, ServerConnectionData>,
        slices: impl Iterator<Item = &'s [u8]> + Clone,
    ) -> io::Result<()> {
        let all: usize = slices.clone().map(<[u8]>::len).sum();
        let mut left = all.min(GATHERED);
        self.room(left + (left / SMALL_RECORD + 2) * RECORD_COST);
        let mut gathered = Memory::default();
        let mut filled = 0;
        for mut slice in slices {
            while left > 0 && !slice.is_empty() {
                let record = if self.total < WARM { SMALL_RECORD } else { LARGE_RECORD };
                let count = slice.len().min(left).min(record - filled);
                let (now, rest) = slice.split_at(count);
                slice = rest;
                left -= count;
                // A full record, or one that will not grow, is encrypted directly from the slice.
                if filled == 0 && (count == record || left == 0) {
                    self.seal(traffic, now)?;
                    continue;
                }
                if gathered.is_empty() {
                    gathered = borrow(LARGE_RECORD);
                }
                gathered[filled..filled + count].copy_from_slice(now);
                filled += count;
                if filled == record || left == 0 {
                    self.seal(traffic, &gathered[..filled])?;
                    filled = 0;
                }
            }
        }
        Ok(())
    }

    /// Encrypts these bytes as one record.
    fn seal(&mut self, traffic: &mut WriteTraffic<'_, ServerConnectionData>, plain: &[u8]) -> io::Result<()> {
        let mut size = plain.len() + RECORD_COST;
        let count = loop {
            match traffic.encrypt(plain, self.room(size)) {
                Ok(count) => break count,
                Err(EncryptError::InsufficientSize(needed)) if needed.required_size > size => {
                    size = needed.required_size
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        };
        self.end += count;
        self.owed += plain.len();
        self.total += plain.len() as u64;
        Ok(())
    }

    pub(super) fn say_goodbye(&mut self, traffic: &mut WriteTraffic<'_, ServerConnectionData>) {
        // Without this alert the client cannot tell the end from a cut connection.
        let room = self.room(1024);
        let count = traffic.queue_close_notify(room).unwrap_or_default();
        self.end += count;
    }
}
