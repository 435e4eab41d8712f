//! The head of a frame of HTTP/2 (RFC 9113 section 4.1).

/// The head of a frame (RFC 9113 section 4.1).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Http2FrameHead {
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

/// Bytes of a frame's head.
pub(super) const HEAD: usize = 9;

pub(super) const HEADERS: u8 = 1;
pub(super) const CONTINUATION: u8 = 9;
pub(super) const END_STREAM: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;

impl Http2FrameHead {
    /// The frame head at the beginning of these bytes, if complete.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let &[high, middle, low, kind, flags, ref id @ ..] = bytes.first_chunk::<HEAD>()?;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        Some(Self { length, kind, flags, stream: u32::from_be_bytes(*id) & 0x7fff_ffff })
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.length as u32).to_be_bytes()[1..]);
        out.extend_from_slice(&[self.kind, self.flags]);
        out.extend_from_slice(&self.stream.to_be_bytes());
    }
}
