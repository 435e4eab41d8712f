//! Forms without a request, for fuzzers and tests of this project: content in pieces of any size, parts out.

use super::multipart::{MultipartEvent, MultipartReader};
use super::urlencoded::UrlencodedReader;
use crate::error::Refusal;
use crate::message::FormLimits;

/// A field, or a file by its name, with its content.
pub type TestPart = (String, Option<String>, Vec<u8>);

/// Reads a form that arrives in pieces of `step` bytes.
///
/// # Errors
/// As `Form::parse`.
pub fn read_in_pieces(
    content_type: &[u8],
    content: &[u8],
    step: usize,
    limits: &FormLimits,
) -> Result<Vec<TestPart>, Refusal> {
    let mut parts = Vec::<TestPart>::new();
    if content_type.to_ascii_lowercase().starts_with(b"multipart") {
        let mut reader = MultipartReader::new(content_type, limits)?;
        in_pieces(content, step, |input, _| {
            while let Some(event) = reader.receive(input)? {
                match event {
                    MultipartEvent::Part(head) => parts.push((head.name, head.filename, Vec::new())),
                    MultipartEvent::Content(bytes) => {
                        parts.last_mut().into_iter().for_each(|part| part.2.extend(bytes))
                    }
                    MultipartEvent::PartEnd | MultipartEvent::End => {}
                }
            }
            Ok(())
        })?;
        reader.finish()?;
    } else {
        let mut reader = UrlencodedReader::new(limits);
        in_pieces(content, step, |input, is_all| {
            while let Some((name, value)) = reader.receive(input, is_all)? {
                parts.push((name, None, value.into_bytes()));
            }
            Ok(())
        })?;
    }
    Ok(parts)
}

fn in_pieces(
    content: &[u8],
    step: usize,
    mut take: impl FnMut(&mut &[u8], bool) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let (mut held, mut come) = (Vec::new(), 0);
    for piece in content.chunks(step.max(1)) {
        held.extend_from_slice(piece);
        come += piece.len();
        let mut rest = &held[..];
        take(&mut rest, come == content.len())?;
        held = rest.to_vec();
    }
    Ok(())
}
