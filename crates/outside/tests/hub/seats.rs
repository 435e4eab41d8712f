//! A worker's end of a seat, for the tests: sends frames to a core, and decodes those that come back.

use outside::hub::{Frame, FrameKind, FrameReader, HubCore, SeatNumber};

/// A frame with memory of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) kind: FrameKind,
    pub(crate) id: u64,
    pub(crate) epoch: u64,
    pub(crate) number: u64,
    pub(crate) topic: String,
    pub(crate) has_gap: bool,
    pub(crate) payload: Vec<u8>,
}

impl Told {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.payload.clone()).unwrap()
    }
}

/// One seat of a core.
pub(crate) struct TestSeat {
    pub(crate) number: SeatNumber,
    reader: FrameReader,
}

impl TestSeat {
    pub(crate) fn new(core: &mut HubCore) -> Self {
        Self { number: core.add_seat(), reader: FrameReader::default() }
    }

    pub(crate) fn send(&self, core: &mut HubCore, frame: Frame<'_>) {
        core.receive(self.number, &frame.to_bytes()).unwrap();
    }

    pub(crate) fn publish(&self, core: &mut HubCore, topic: &str, text: &str) {
        let frame = Frame { is_text: true, payload: text.as_bytes(), ..Frame::new(FrameKind::Publish, topic) };
        self.send(core, frame);
    }

    pub(crate) fn set_interest(&self, core: &mut HubCore, topic: &str, subscribers: u64) {
        self.send(core, Frame { number: subscribers, ..Frame::new(FrameKind::Interest, topic) });
    }

    /// Takes at most so many bytes of what waits; the frames that are complete.
    pub(crate) fn take(&mut self, core: &mut HubCore, most: usize) -> Vec<Told> {
        let mut bytes = Vec::new();
        while bytes.len() < most {
            let slices = core.slices(self.number);
            let some: Vec<u8> =
                slices.iter().flat_map(|slice| slice.iter().copied()).take(most - bytes.len()).collect();
            if some.is_empty() {
                break;
            }
            core.advance(self.number, some.len());
            bytes.extend(some);
        }
        let mut told = Vec::new();
        let on_frame = |frame: &Frame<'_>| {
            told.push(Told {
                kind: frame.kind,
                id: frame.id,
                epoch: frame.epoch,
                number: frame.number,
                topic: frame.topic.to_owned(),
                has_gap: frame.has_gap,
                payload: frame.payload.to_vec(),
            });
        };
        self.reader.receive(&bytes, on_frame).unwrap();
        told
    }

    pub(crate) fn take_all(&mut self, core: &mut HubCore) -> Vec<Told> {
        self.take(core, usize::MAX)
    }
}
