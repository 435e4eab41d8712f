//! Selects the bytes of a file for a request: all, some, or none because the client has them (RFC 9110 sections 13 and
//! 14).

use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::BuildHasher as _;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::entry::{Offered, StoredFile};
use super::open::{OpenFile, Patience};
use super::representation::{FileBytes, Representation, seconds_now};
use super::store::Store;
use crate::message::{Body, FileSlice, Headers, KnownHeader, Request, Response};
use crate::protocol::conditional::{Validators, Verdict, allows_range, evaluate, seconds};
use crate::protocol::negotiation::{AcceptedCodings, Coding};
use crate::protocol::range::{Ranges, content_range, part_head, parts_end, ranges};

/// Content that is read from a file while it is sent.
#[derive(Debug)]
pub(crate) struct FileContent {
    pub(crate) file: Arc<OpenFile>,
    pub(crate) path: Arc<Path>,
    /// In the order in which they are sent.
    pub(crate) segments: Vec<FileSegment>,
}

/// A file that a program has opened, and the half-open range of it that is the content.
struct OpenedFile(File, Range<u64>);

impl Response {
    /// The same with the bytes of this half-open range of an open file as its content; the kernel sends them.
    #[must_use]
    pub fn with_open_file(mut self, file: File, range: Range<u64>) -> Self {
        self.rare.get_or_insert_default().special = Some(Box::new(OpenedFile(file, range)));
        self
    }
}

/// A piece of such content.
#[derive(Debug)]
pub(crate) enum FileSegment {
    /// Text around the parts of several ranges.
    Text(Bytes),
    /// A half-open range of the file.
    Range(Range<u64>),
}

/// The reasons why a request gets an error instead.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Excluded {
    /// 412.
    Failed,
    /// 416, of a representation of this length.
    Unsatisfiable(u64),
}

impl FileContent {
    /// The content of an answer that a program has opened by itself.
    pub(crate) fn take_open(response: &mut Response) -> Option<Self> {
        let OpenedFile(file, range) = *response.rare.as_mut()?.special.take()?.downcast().ok()?;
        Some(Self::open(file, range))
    }

    fn open(file: File, range: Range<u64>) -> Self {
        let path = Path::new("an open file");
        Self { file: Arc::new(OpenFile::new(file)), path: path.into(), segments: vec![FileSegment::Range(range)] }
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> u64 {
        let lengths = self.segments.iter().map(|segment| match segment {
            FileSegment::Text(text) => text.len() as u64,
            FileSegment::Range(range) => range.end - range.start,
        });
        lengths.sum()
    }
}

/// The part of a representation that a request asks for.
enum FileChoice {
    Whole,
    Parts(Vec<Range<u64>>),
    NotModified,
}

/// A file as the answer to a request.
pub(crate) enum FileAnswer {
    /// The response, and the content if it is not in the response.
    Ready(Response, Option<Box<FileContent>>),
    /// A coding that must be made first, by [`Entry::make`], which takes time.
    ToMake(Response, Coding),
}

/// Checks whether this request gets an error. Called before hooks see the answer.
pub(crate) fn check(request: &Request, response: &Response, entry: &StoredFile) -> Result<(), Excluded> {
    let choice = match slice_of(response) {
        Some(slice) => {
            let slice = entry.identity().slice(slice.start, slice.end.unwrap_or(u64::MAX));
            choose(request, response, slice.validators(), &slice)
        }
        None => {
            let asks = asks_for_range(Some(request));
            let (representation, tag) = entry.preview(accepted(Some(request), response), asks);
            let etag = Some(tag.as_bytes()).filter(|tag| !tag.is_empty());
            let validators = Validators { etag, ..representation.validators() };
            choose(request, response, validators, representation)
        }
    };
    choice.map(|_| ())
}

/// Turns an answer with this file into the response that is sent.
pub(crate) fn answer(
    request: Option<&Request>,
    response: Response,
    entry: &Arc<StoredFile>,
    store: &Store,
    patience: Patience,
) -> Result<FileAnswer, Excluded> {
    if patience == Patience::Any && request.is_some_and(|request| entry.wants_digest(request.query())) {
        entry.digest();
    }
    let selected = match slice_of(&response) {
        Some(slice) => {
            let representation = entry.identity().slice(slice.start, slice.end.unwrap_or(u64::MAX));
            select(request, response, &representation)
        }
        None => match (entry.offer(accepted(request, &response), asks_for_range(request)), patience) {
            (Offered::Ready(representation), _) => select(request, response, &representation),
            (Offered::ToMake(coding), Patience::Now) => return Ok(FileAnswer::ToMake(response, coding)),
            (Offered::ToMake(coding), Patience::Any) => {
                let representation = entry.make(coding);
                store.keep(entry);
                select(request, response, &representation)
            }
        },
    };
    selected.map(|(mut response, content)| {
        let is_good = matches!(response.status, 200 | 206 | 304);
        if is_good && request.is_some_and(|request| entry.is_named_by(request.query())) {
            response.headers.remove("Cache-Control");
            response.headers.push_checked(b"Cache-Control", b"public, max-age=31536000, immutable");
        }
        FileAnswer::Ready(response, content)
    })
}

/// The slice of the file that the handler has chosen, if any.
fn slice_of(response: &Response) -> Option<&FileSlice> {
    match &response.body {
        Body::File(slice) if !slice.is_whole() => Some(slice),
        _ => None,
    }
}

/// The codings that are allowed for this answer.
fn accepted(request: Option<&Request>, response: &Response) -> AcceptedCodings {
    let headers = &response.headers;
    let is_plain = response.status == 200
        && headers.known(KnownHeader::ContentEncoding).is_none()
        && !headers.all_known(KnownHeader::CacheControl).any(forbids_transform);
    match request {
        Some(request) if is_plain => AcceptedCodings::parse(request.headers().all_known(KnownHeader::AcceptEncoding)),
        _ => AcceptedCodings::default(),
    }
}

fn asks_for_range(request: Option<&Request>) -> bool {
    request.is_some_and(|request| request.headers().known(KnownHeader::Range).is_some())
}

/// Whether this value of Cache-Control holds `no-transform` (RFC 9111 section 5.2.2.6).
pub(crate) fn forbids_transform(value: &[u8]) -> bool {
    value.split(|&byte| byte == b',').any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
}

/// Turns an answer with a representation into status, fields and content; the content is in the response's body or
/// beside it. Fields that the answer has already are kept.
fn select(
    request: Option<&Request>,
    mut response: Response,
    representation: &Representation,
) -> Result<(Response, Option<Box<FileContent>>), Excluded> {
    let choice = match request {
        Some(request) => choose(request, &response, representation.validators(), representation)?,
        None => FileChoice::Whole,
    };
    add_fields(&mut response.headers, &representation.headers, response.status == 200);
    let length = representation.length;
    let parts = match choice {
        FileChoice::Whole => return Ok(with_content(response, representation, vec![FileSegment::Range(0..length)])),
        FileChoice::NotModified => {
            response.status = 304;
            response.body = Body::Empty;
            // Section 15.4.5: fields that describe the content are removed, since there is none.
            for field in ["Content-Type", "Content-Encoding", "Accept-Ranges"] {
                response.headers.remove(field);
            }
            return Ok((response, None));
        }
        FileChoice::Parts(parts) => parts,
    };
    response.status = 206;
    if let [part] = &parts[..] {
        response.headers.replace_checked(
            KnownHeader::ContentRange,
            b"Content-Range",
            content_range(part, length).as_bytes(),
        );
        return Ok(with_content(response, representation, vec![FileSegment::Range(part.clone())]));
    }
    let boundary = boundary();
    let media_type = response.headers.known(KnownHeader::ContentType).unwrap_or_default().to_vec();
    let mut segments = Vec::with_capacity(2 * parts.len() + 1);
    for part in &parts {
        segments.push(FileSegment::Text(part_head(&boundary, &media_type, part, length).into()));
        segments.push(FileSegment::Range(part.clone()));
    }
    segments.push(FileSegment::Text(parts_end(&boundary).into()));
    let together = format!("multipart/byteranges; boundary={boundary}");
    response.headers.replace_checked(KnownHeader::ContentType, b"Content-Type", together.as_bytes());
    Ok(with_content(response, representation, segments))
}

fn choose(
    request: &Request,
    response: &Response,
    of_file: Validators<'_>,
    representation: &Representation,
) -> Result<FileChoice, Excluded> {
    // Section 13.2.1: preconditions matter only if the answer would be a success; ranges only if it is 200.
    if response.status != 200 || !matches!(request.method(), "GET" | "HEAD") {
        return Ok(FileChoice::Whole);
    }
    let asks = |known: KnownHeader| {
        use KnownHeader::{IfMatch, IfModifiedSince, IfNoneMatch, IfUnmodifiedSince, Range};
        matches!(known, IfMatch | IfModifiedSince | IfNoneMatch | IfUnmodifiedSince | Range)
    };
    if !request.headers().known_fields().any(|(known, _)| asks(known)) {
        return Ok(FileChoice::Whole);
    }
    // Validators that the handler has set take precedence.
    let own = |known: KnownHeader| response.headers.known(known);
    let validators = Validators {
        etag: own(KnownHeader::ETag).or(of_file.etag),
        modified: own(KnownHeader::LastModified).map_or(of_file.modified, seconds),
    };
    match evaluate(request, &validators) {
        Verdict::Proceed => {}
        Verdict::NotModified => return Ok(FileChoice::NotModified),
        Verdict::Failed => return Err(Excluded::Failed),
    }
    // Section 14.2: ranges are defined for GET alone.
    let mut asked = request.headers().all_known(KnownHeader::Range);
    let (Some(value), None) = (asked.next(), asked.next()) else { return Ok(FileChoice::Whole) };
    if request.method() != "GET" || !representation.offers_ranges || !allows_range(request, &validators, seconds_now())
    {
        return Ok(FileChoice::Whole);
    }
    match ranges(value, representation.length) {
        Ranges::Whole => Ok(FileChoice::Whole),
        Ranges::Some(parts) => Ok(FileChoice::Parts(parts)),
        Ranges::Unsatisfiable => Err(Excluded::Unsatisfiable(representation.length)),
    }
}

/// Adds the file's fields that the answer lacks; validators only to a success.
fn add_fields(headers: &mut Headers, of_file: &Headers, succeeds: bool) {
    if headers.is_empty() && succeeds {
        headers.clone_from(of_file);
        return;
    }
    for (name, value) in of_file.iter() {
        let known = KnownHeader::of(name.as_bytes());
        let is_validator = matches!(known, KnownHeader::ETag | KnownHeader::LastModified | KnownHeader::AcceptRanges);
        if (succeeds || !is_validator) && !headers.contains(name) {
            headers.push_checked(name.as_bytes(), value);
        }
    }
}

/// Adds the segments of a representation; their positions count from its start.
fn with_content(
    mut response: Response,
    representation: &Representation,
    segments: Vec<FileSegment>,
) -> (Response, Option<Box<FileContent>>) {
    if representation.length == 0 {
        // HEAD gets the same length (RFC 9110 section 8.6).
        response.headers.replace_checked(KnownHeader::ContentLength, b"Content-Length", b"0");
    }
    let start = representation.start;
    let within = |range: &Range<u64>| start + range.start..start + range.end;
    match &representation.content {
        FileBytes::Memory(bytes) => {
            let slice = |range: &Range<u64>| {
                let range = within(range);
                bytes.slice(range.start as usize..range.end as usize)
            };
            response.body = Body::Bytes(match &segments[..] {
                [FileSegment::Range(range)] => slice(range),
                segments => segments
                    .iter()
                    .fold(Vec::new(), |mut all, segment| {
                        all.extend_from_slice(match segment {
                            FileSegment::Text(text) => text,
                            FileSegment::Range(range) => &bytes[range_of(&within(range))],
                        });
                        all
                    })
                    .into(),
            });
            (response, None)
        }
        FileBytes::File(file) => {
            let segments = segments.into_iter().map(|segment| match segment {
                FileSegment::Range(range) => FileSegment::Range(within(&range)),
                text => text,
            });
            let (file, path) = (Arc::clone(file), Arc::clone(&representation.path));
            (response, Some(Box::new(FileContent { file, path, segments: segments.collect() })))
        }
    }
}

fn range_of(range: &Range<u64>) -> Range<usize> {
    range.start as usize..range.end as usize
}

/// A separator that no file contains: a random number of 128 bits.
fn boundary() -> String {
    let random = || RandomState::new().hash_one(0);
    format!("{:016x}{:016x}", random(), random())
}
