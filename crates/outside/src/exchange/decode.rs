//! Content that came in a content coding is decoded before its handler is called, on a thread for long encodings.
//!
//! Content that was too large for memory, or is when it is decoded, lies in a temporary file.

use std::sync::Arc;

use super::control::{Order, Stop};
use super::dispatch::Dispatcher;
use super::intake::Intake;
use super::spool::{Growing, NO_ROOM, Spool};
use crate::content::{ContentCoding, Decoder};
use crate::error::Refusal;
use crate::log::Level;

/// Bytes of coded content that are read at once, and of content that are made at once.
const PIECE: usize = 64 << 10;

impl Dispatcher {
    /// The content of a request in place of the coded content that has come in; the same if it has no coding.
    pub(crate) async fn decode(
        &self,
        intake: Intake,
        content: Vec<u8>,
        spool: Spool,
    ) -> Result<Result<(Vec<u8>, Spool), Refusal>, Stop> {
        match intake.coding {
            None => Ok(Ok((content, spool))),
            // The future is on the heap: an idle connection has no room for a rare case.
            Some(coding) => Box::pin(self.decode_coded(coding, intake.most, content, spool)).await,
        }
    }

    async fn decode_coded(
        &self,
        coding: ContentCoding,
        most: u64,
        content: Vec<u8>,
        spool: Spool,
    ) -> Result<Result<(Vec<u8>, Spool), Refusal>, Stop> {
        let (now, control) = (self.service.clock.now(), Arc::clone(&self.control));
        let share = self.service.spools.begin(now, move || control.signal(Order::TimedOut));
        let growing = Growing::new(self.service.config.spool_above, share, now);
        let log = Arc::clone(&self.service.log);
        let decoded = self.press(move || decoded(coding, most, &content, &spool, growing)).await?;
        Ok(decoded.unwrap_or(Err(Fault::Refused(CRASHED))).map_err(|fault| match fault {
            Fault::Refused(refusal) => refusal,
            Fault::Stored(error) => {
                log.event(Level::Error, format!("a request's content could not be spooled: {error}"));
                Refusal::new(500, "content could not be stored")
            }
        }))
    }
}

/// The reasons why content could not be decoded.
enum Fault {
    Refused(Refusal),
    Stored(std::io::Error),
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::Stored(error)
    }
}

fn decoded(
    coding: ContentCoding,
    most: u64,
    content: &[u8],
    spool: &Spool,
    mut growing: Growing,
) -> Result<(Vec<u8>, Spool), Fault> {
    let mut decoder = Decoder::new(coding, most)?;
    let (mut output, mut coded, mut at) = (vec![0; PIECE], vec![0; PIECE], 0);
    let mut take = |mut piece: &[u8]| -> Result<(), Fault> {
        loop {
            let made = decoder.decode(&mut piece, &mut output)?;
            if made == 0 {
                return Ok(());
            }
            if !growing.add(&output[..made])? {
                return Err(NO_ROOM.into());
            }
        }
    };
    while at < spool.length() {
        let count = spool.read_at(&mut coded, at)?;
        take(&coded[..count])?;
        at += count as u64;
    }
    take(content)?;
    decoder.finish()?;
    Ok(growing.finish()?)
}

/// The refusal of a case that cannot happen: a decoder that panics.
const CRASHED: Refusal = Refusal::new(500, "content could not be decoded");
