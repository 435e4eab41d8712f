//! Files in HTTP/1.1: the kernel sends them from the file to the socket, without a copy in between.
//!
//! The connection sends slices, so that other connections have their turn. Each slice is brought into memory first if
//! it is not there, so that the event loop never waits for a disk.

use std::sync::Arc;
use std::task::Context;

use crate::connection::{Connection, Transfer};
use crate::exchange::{Exchange, Stop};
use crate::files::{FileContent, FileSegment, bring_into_memory};
use crate::transport::Stream;

/// Bytes of a file that a connection sends before other connections have their turn.
const SLICE: u64 = 512 << 10;

impl Connection {
    /// Sends the rendered bytes in `out`, then the file. A file that has become shorter ends the connection, because
    /// the head has promised its length.
    pub(in crate::connection) async fn send_file(
        &mut self,
        out: &mut Vec<u8>,
        exchange: &mut Exchange,
        content: Box<FileContent>,
    ) -> Result<(), Stop> {
        // Between slices the system need not send a packet that is not full, so the client wakes up less often.
        let is_corked = content.len() > SLICE;
        if is_corked {
            self.stream.set_corked(true);
        }
        for segment in &content.segments {
            match segment {
                FileSegment::Text(text) => {
                    out.extend_from_slice(text);
                    exchange.bytes += text.len() as u64;
                }
                FileSegment::Range(range) => {
                    self.write_more(out).await?;
                    self.send_range(exchange, &content, range.start, range.end).await?;
                }
            }
        }
        if !out.is_empty() {
            self.flush(out, b"").await?;
        }
        if is_corked {
            self.stream.set_corked(false);
        }
        Ok(())
    }

    /// Writes the bytes before the content of a file; the system may wait for that content before it sends a packet.
    async fn write_more(&mut self, out: &mut Vec<u8>) -> Result<(), Stop> {
        let mut transfer = Transfer::default();
        let mut at = 0;
        while at < out.len() {
            let send = |stream: &mut Stream, context: &mut Context<'_>| stream.poll_write_more(context, &out[at..]);
            match self.move_on(&mut transfer, send).await? {
                0 => return Err(Stop::Gone),
                count => at += count,
            }
        }
        self.end_transfer(&transfer);
        out.clear();
        Ok(())
    }

    async fn send_range(
        &mut self,
        exchange: &mut Exchange,
        content: &FileContent,
        mut at: u64,
        end: u64,
    ) -> Result<(), Stop> {
        let mut transfer = Transfer::default();
        while at < end {
            let slice_end = end.min(at + SLICE);
            if !content.file.is_in_memory(at, slice_end, self.dispatcher.service.clock.now()) {
                let file = Arc::clone(&content.file);
                if let Err(error) =
                    self.dispatcher.spawn_blocking(move || bring_into_memory(&file.file, at, slice_end)).await?
                {
                    return Err(self.cannot_finish(content, &error.to_string()));
                }
            }
            while at < slice_end {
                let file = &content.file.file;
                let send = |stream: &mut Stream, context: &mut Context<'_>| {
                    stream.poll_send_file(context, file, at, slice_end)
                };
                match self.move_on(&mut transfer, send).await? {
                    0 => return Err(self.cannot_finish(content, "it has become shorter")),
                    count => {
                        at += count as u64;
                        exchange.bytes += count as u64;
                    }
                }
            }
            if at < end {
                tokio::task::yield_now().await;
            }
        }
        self.end_transfer(&transfer);
        Ok(())
    }

    fn cannot_finish(&self, content: &FileContent, reason: &str) -> Stop {
        self.dispatcher.service.cannot_finish(content, reason);
        Stop::Failed
    }
}
