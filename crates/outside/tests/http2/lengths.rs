//! An answer keeps to the length in its head, or its stream is reset (RFC 9113 section 8.1.1).

use bytes::Bytes;
use outside::message::{BodyStream, Pull};
use outside::{Error, Request, Response};

use outside_test_support::http2::wire::{
    Client, DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, block, frame, get, request,
};
use outside_test_support::server::Running;

const INTERNAL_ERROR: u32 = 2;

/// Pieces, and perhaps a failure behind them.
struct Pieces(std::vec::IntoIter<&'static str>, bool);

impl BodyStream for Pieces {
    fn pull(&mut self) -> Pull {
        match self.0.next() {
            Some(piece) => Pull::Piece(Bytes::from_static(piece.as_bytes())),
            None if self.1 => Pull::Failed(Error::new("nothing more")),
            None => Pull::End,
        }
    }
}

#[test]
fn a_declared_length_is_kept() {
    for (pieces, fails, sent, said) in [
        (vec!["four", "", "more"], false, "fourmore", None),
        (vec!["four"], false, "four", Some("ends 4 bytes before its Content-Length")),
        (vec![], false, "", Some("ends 8 bytes before its Content-Length")),
        (vec!["four", "five!"], false, "four", Some("is longer than its Content-Length says")),
        (vec!["four", "more", "!"], false, "fourmore", Some("is longer than its Content-Length says")),
        (vec!["four"], true, "four", Some("nothing more")),
    ] {
        let server = Running::start_h2c(|_| {});
        let given = pieces.clone();
        server.set_route("/", move |_: &Request| {
            let pieces = Pieces(given.clone().into_iter(), fails);
            Response::new(200).with_header("Content-Length", "8").with_stream(Box::new(pieces))
        });
        let mut client = Client::connect(server.address);
        client.send(&request(1, "/"));
        let head = client.frame_of(1);
        if head.kind == RST_STREAM && sent.is_empty() {
            // The head was still waiting to be written.
            assert_eq!(head.code(), INTERNAL_ERROR);
            continue;
        }
        // Index 28 of the static table with a digit in the Huffman code (RFC 7541 appendices A and B).
        assert!(head.payload.windows(4).any(|field| field == [0x0f, 13, 0x81, 0x7b]), "{head:02x?}");
        let mut content = Vec::new();
        let is_whole = loop {
            let frame = client.frame_of(1);
            match frame.kind {
                DATA => content.extend_from_slice(&frame.payload),
                RST_STREAM => assert_eq!(frame.code(), INTERNAL_ERROR),
                _ => panic!("{frame:?}"),
            }
            if frame.kind == RST_STREAM || frame.ends_stream() {
                break frame.kind == DATA;
            }
        };
        assert_eq!((String::from_utf8(content).unwrap().as_str(), is_whole), (sent, said.is_none()), "{pieces:?}");
        said.into_iter().for_each(|said| drop(server.log.wait_for(said)));
        // HEAD gets the same head and no content.
        let mut fields = get("/");
        fields[0].1 = "HEAD";
        client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 3, &block(&fields)));
        assert!(client.frame_of(3).ends_stream());
    }
}
