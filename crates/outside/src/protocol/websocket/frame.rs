//! Frames of the base protocol (RFC 6455 section 5): heads in both directions, and the mask.
//!
//! Faults of a head itself are found here; whether the frame is allowed at its position is decided by the receiver.

use super::failure::Failure;

/// The kind of a frame; the values are those of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    pub(crate) const fn is_control(self) -> bool {
        self as u8 & 8 != 0
    }
}

/// The kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageKind {
    /// UTF-8.
    Text,
    /// Bytes.
    Binary,
}

impl From<MessageKind> for Opcode {
    fn from(kind: MessageKind) -> Self {
        match kind {
            MessageKind::Text => Self::Text,
            MessageKind::Binary => Self::Binary,
        }
    }
}

/// The head of a frame from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHead {
    pub(crate) opcode: Opcode,
    /// Whether this is the last frame of its message.
    pub(crate) fin: bool,
    /// Whether the bit of permessage-deflate is set (RFC 7692 section 6).
    pub(crate) rsv1: bool,
    pub(crate) mask: [u8; 4],
    /// Bytes of payload; below 2^63.
    pub(crate) length: u64,
}

/// Two bytes, eight of length, four of mask.
pub(crate) const MAX_HEAD: usize = 14;

/// Bytes of payload of a control frame at most (RFC 6455 section 5.5).
pub(crate) const MAX_CONTROL_PAYLOAD: usize = 125;

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const MASKED: u8 = 0x80;

/// Reads the head at the start of `input`, and returns its length too; `None` if it is not complete.
///
/// A fault is reported at the first byte that shows it.
pub(crate) fn decode_frame_head(input: &[u8]) -> Result<Option<(FrameHead, usize)>, Failure> {
    let Some(&first) = input.first() else { return Ok(None) };
    let opcode = match first & 0x0f {
        0 => Opcode::Continuation,
        1 => Opcode::Text,
        2 => Opcode::Binary,
        8 => Opcode::Close,
        9 => Opcode::Ping,
        10 => Opcode::Pong,
        _ => return Err(Failure::protocol("a reserved opcode")),
    };
    if first & 0x30 != 0 {
        return Err(Failure::protocol("a reserved bit is set"));
    }
    let fin = first & FIN != 0;
    if opcode.is_control() && !fin {
        return Err(Failure::protocol("a fragmented control frame"));
    }
    let Some(&second) = input.get(1) else { return Ok(None) };
    if second & MASKED == 0 {
        return Err(Failure::protocol("a frame without a mask"));
    }
    let short = second & 0x7f;
    if opcode.is_control() && usize::from(short) > MAX_CONTROL_PAYLOAD {
        return Err(Failure::protocol("a control frame of more than 125 bytes"));
    }
    let rest = &input[2..];
    let (length, rest) = match short {
        126 => {
            let Some((bytes, rest)) = rest.split_first_chunk() else { return Ok(None) };
            (u64::from(u16::from_be_bytes(*bytes)), rest)
        }
        127 => {
            let Some((bytes, rest)) = rest.split_first_chunk() else { return Ok(None) };
            (u64::from_be_bytes(*bytes), rest)
        }
        short => (u64::from(short), rest),
    };
    // The shortest form is the only one (section 5.2).
    if short == 126 && length < 126 || short == 127 && length <= 0xffff {
        return Err(Failure::protocol("a length that is longer than it needs to be"));
    }
    if length >> 63 != 0 {
        return Err(Failure::protocol("a length of 2^63 or more"));
    }
    let Some((mask, rest)) = rest.split_first_chunk() else { return Ok(None) };
    let head = FrameHead { opcode, fin, rsv1: first & RSV1 != 0, mask: *mask, length };
    Ok(Some((head, input.len() - rest.len())))
}

/// Removes the mask in place (section 5.3), and returns the mask for the bytes behind this piece.
pub(crate) fn unmask(piece: &mut [u8], mask: [u8; 4]) -> [u8; 4] {
    let narrow = u32::from_le_bytes(mask);
    let wide = u64::from(narrow) << 32 | u64::from(narrow);
    let xor = |word: &mut [u8; 8]| *word = (u64::from_le_bytes(*word) ^ wide).to_le_bytes();
    let (blocks, rest) = piece.as_chunks_mut::<32>();
    for block in blocks {
        block.as_chunks_mut::<8>().0.iter_mut().for_each(xor);
    }
    let (words, rest) = rest.as_chunks_mut::<8>();
    words.iter_mut().for_each(xor);
    let mut next = narrow;
    for byte in rest {
        *byte ^= next as u8;
        next = next.rotate_right(8);
    }
    next.to_le_bytes()
}

/// Appends a whole frame from the server: unmasked and final, its payload right behind its head.
pub(crate) fn encode_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    // Exactly as much: a frame that is sent unchanged is then shared without another allocation.
    out.reserve_exact(frame_head_length(payload.len()) + payload.len());
    encode_frame_head(out, opcode, false, payload.len());
    out.extend_from_slice(payload);
}

/// Appends the head of such a frame; `compressed` sets the bit of permessage-deflate.
#[inline]
pub(crate) fn encode_frame_head(out: &mut Vec<u8>, opcode: Opcode, compressed: bool, length: usize) {
    let first = FIN | opcode as u8 | if compressed { RSV1 } else { 0 };
    match length {
        0..=125 => out.extend_from_slice(&[first, length as u8]),
        126..=0xffff => {
            let [high, low] = (length as u16).to_be_bytes();
            out.extend_from_slice(&[first, 126, high, low]);
        }
        _ => {
            out.extend_from_slice(&[first, 127]);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// The longest head of a frame without a mask.
pub(crate) const MAX_SERVER_HEAD: usize = 10;

/// Bytes of the head of a server's frame with a payload of this length.
pub(crate) const fn frame_head_length(length: usize) -> usize {
    match length {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_in() {
        let head = |bytes: &[u8]| decode_frame_head(bytes).unwrap();
        let text = FrameHead { opcode: Opcode::Text, fin: true, rsv1: false, mask: [1, 2, 3, 4], length: 5 };
        assert_eq!(head(&[0x81, 0x85, 1, 2, 3, 4, b'x']), Some((text, 6)));
        let part = FrameHead { fin: false, rsv1: true, length: 126, ..text };
        assert_eq!(head(&[0x41, 0xfe, 0, 126, 1, 2, 3, 4]), Some((part, 8)));
        let long = FrameHead { opcode: Opcode::Binary, length: 0x1_0000, ..text };
        let bytes = [0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4];
        assert_eq!(head(&bytes), Some((long, MAX_HEAD)));
        for end in 0..MAX_HEAD {
            assert_eq!(head(&bytes[..end]), None, "{end}");
        }
    }

    #[test]
    fn faults_show_at_the_byte_that_holds_them() {
        let table: &[(&[u8], &str)] = &[
            (&[0x91], "a reserved bit is set"),
            (&[0xa2], "a reserved bit is set"),
            (&[0x83], "a reserved opcode"),
            (&[0x87], "a reserved opcode"),
            (&[0x8b], "a reserved opcode"),
            (&[0x8f], "a reserved opcode"),
            (&[0x08], "a fragmented control frame"),
            (&[0x09], "a fragmented control frame"),
            (&[0x81, 0x05], "a frame without a mask"),
            (&[0x89, 0xfe], "a control frame of more than 125 bytes"),
            (&[0x88, 0xff], "a control frame of more than 125 bytes"),
            (&[0x81, 0xfe, 0, 125], "a length that is longer than it needs to be"),
            (&[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff], "a length that is longer than it needs to be"),
            (&[0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0], "a length of 2^63 or more"),
        ];
        for (bytes, reason) in table {
            assert_eq!(decode_frame_head(bytes), Err(Failure::protocol(reason)), "{bytes:x?}");
            assert_eq!(decode_frame_head(&bytes[..bytes.len() - 1]), Ok(None), "{bytes:x?} without its last byte");
        }
    }

    #[test]
    fn the_mask_goes_on_where_it_stopped() {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        let text: Vec<u8> = (0..100).collect();
        let masked: Vec<u8> = text.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        for cut in 0..text.len() {
            let mut bytes = masked.clone();
            let (first, second) = bytes.split_at_mut(cut);
            let next = unmask(first, mask);
            unmask(second, next);
            assert_eq!(bytes, text, "{cut}");
        }
    }

    #[test]
    fn heads_out_are_as_short_as_they_can_be() {
        for (length, head) in [
            (0, &[0x82, 0][..]),
            (125, &[0x82, 125]),
            (126, &[0x82, 126, 0, 126]),
            (0xffff, &[0x82, 126, 0xff, 0xff]),
            (0x1_0000, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut out = Vec::new();
            encode_frame(&mut out, Opcode::Binary, &vec![7; length]);
            assert_eq!(out[..head.len()], *head);
            assert_eq!(out.len(), head.len() + length);
            assert_eq!(frame_head_length(length), head.len());
        }
        // RFC 6455 section 5.7.
        let mut out = Vec::new();
        encode_frame(&mut out, Opcode::Text, b"Hello");
        encode_frame(&mut out, Opcode::Ping, b"Hello");
        assert_eq!(out, b"\x81\x05Hello\x89\x05Hello");
    }
}
