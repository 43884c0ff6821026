//! Frames of a client (RFC 6455, section 5), from bytes as they come; no I/O.
//!
//! A message is copied once, into memory of just its size, and unmasked there. Nothing is kept of a
//! connection that sends nothing.

use bytes::{Bytes, BytesMut};

/// Memory taken for a message before any of it has come.
const FIRST_BYTES: usize = 16 << 10;
/// Longest payload of a control frame: RFC 6455, section 5.5.
const MAX_CONTROL_BYTES: usize = 125;
/// Longest head: two bytes, eight of length, four of mask.
const MAX_HEAD_BYTES: usize = 14;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// What a client said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A binary message, all its fragments together.
    Message(Bytes),
    /// Wants the same bytes back.
    Ping(Bytes),
    /// A frame that brings nothing yet: a pong, or a fragment before the last.
    Nothing,
    /// Says good-bye.
    Close,
}

/// What a client must not send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a packet is too long")]
    TooLong,
    #[error("a text message came where packets are binary messages")]
    Text,
    #[error("not a WebSocket frame: reserved bits or an unknown opcode")]
    Reserved,
    #[error("not a WebSocket frame of a client: it is not masked")]
    NotMasked,
    #[error("a control frame is too long or in fragments")]
    Control,
    #[error("a fragment came out of order")]
    Fragment,
}

/// Reads frames. After an error it must not be used again.
#[derive(Debug)]
pub(crate) struct Frames {
    max_message: usize,
    head: [u8; MAX_HEAD_BYTES],
    head_bytes: usize,
    /// The frame whose payload is being read.
    frame: Option<Frame>,
    /// The data message being put together.
    message: BytesMut,
    /// A data message has begun and not ended.
    in_message: bool,
    control: BytesMut,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: u8,
    is_final: bool,
    mask: [u8; 4],
    /// Payload still to come.
    rest: usize,
}

impl Frames {
    /// For messages up to a number of bytes.
    pub(crate) fn new(max_message: usize) -> Self {
        Self {
            max_message,
            head: [0; MAX_HEAD_BYTES],
            head_bytes: 0,
            frame: None,
            message: BytesMut::new(),
            in_message: false,
            control: BytesMut::new(),
        }
    }

    /// Takes bytes from the front of `input` up to the next event; `None` once they are used up.
    pub(crate) fn next(&mut self, input: &mut &[u8]) -> Result<Option<Event>, FrameError> {
        let mut frame = match self.frame.take() {
            Some(frame) => frame,
            None => match self.read_head(input)? {
                Some(frame) => frame,
                None => return Ok(None),
            },
        };
        let (payload, others) = input.split_at(input.len().min(frame.rest));
        *input = others;
        let target = if frame.opcode & 8 == 0 {
            &mut self.message
        } else {
            &mut self.control
        };
        append_unmasked(target, payload, frame.mask);
        frame.mask.rotate_left(payload.len() % 4);
        frame.rest -= payload.len();
        if frame.rest > 0 {
            self.frame = Some(frame);
            return Ok(None);
        }
        Ok(Some(self.complete(frame)))
    }

    fn complete(&mut self, frame: Frame) -> Event {
        match frame.opcode {
            CLOSE => Event::Close,
            PING => Event::Ping(self.control.split().freeze()),
            PONG => {
                self.control.clear();
                Event::Nothing
            }
            _ => {
                self.in_message = !frame.is_final;
                if self.in_message {
                    return Event::Nothing;
                }
                Event::Message(std::mem::take(&mut self.message).freeze())
            }
        }
    }

    /// Reads the head of a frame, of which there may be only a part yet.
    fn read_head(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, FrameError> {
        loop {
            let needed = match self.head_bytes {
                0 | 1 => 2,
                _ => head_length(self.head[1]),
            };
            let more = (needed - self.head_bytes).min(input.len());
            let (bytes, others) = input.split_at(more);
            *input = others;
            self.head[self.head_bytes..self.head_bytes + more].copy_from_slice(bytes);
            self.head_bytes += more;
            if self.head_bytes < needed {
                return Ok(None);
            }
            if self.head_bytes == 2 {
                // Before waiting for the rest: nothing of what is refused here has a rest.
                self.check_start()?;
            }
            if self.head_bytes == head_length(self.head[1]) {
                self.head_bytes = 0;
                return self.parse_head().map(Some);
            }
        }
    }

    fn check_start(&self) -> Result<(), FrameError> {
        let (first, second) = (self.head[0], self.head[1]);
        let opcode = first & 0x0f;
        if first & 0x70 != 0 {
            return Err(FrameError::Reserved);
        }
        match opcode {
            TEXT => return Err(FrameError::Text),
            CONTINUATION if !self.in_message => return Err(FrameError::Fragment),
            BINARY if self.in_message => return Err(FrameError::Fragment),
            CONTINUATION | BINARY => {}
            CLOSE | PING | PONG if first & 0x80 == 0 || second & 0x7f > 125 => {
                return Err(FrameError::Control);
            }
            CLOSE | PING | PONG => {}
            _ => return Err(FrameError::Reserved),
        }
        if second & 0x80 == 0 {
            return Err(FrameError::NotMasked);
        }
        Ok(())
    }

    fn parse_head(&mut self) -> Result<Frame, FrameError> {
        let length = head_length(self.head[1]);
        let bytes = &self.head[2..length - 4];
        let length_field = bytes
            .iter()
            .fold(0, |sum, &byte| sum << 8 | u64::from(byte));
        let rest = match self.head[1] & 0x7f {
            126 | 127 => usize::try_from(length_field).unwrap_or(usize::MAX),
            short => usize::from(short),
        };
        let mut mask = [0; 4];
        mask.copy_from_slice(&self.head[length - 4..length]);
        let opcode = self.head[0] & 0x0f;
        if opcode & 8 == 0 {
            if rest > self.max_message - self.message.len() {
                return Err(FrameError::TooLong);
            }
            // As much as an honest message needs; of a long one, as much as has come.
            self.message.reserve(rest.min(FIRST_BYTES));
        } else {
            debug_assert!(
                rest <= MAX_CONTROL_BYTES,
                "checked with the first two bytes"
            );
            self.control.clear();
        }
        Ok(Frame {
            opcode,
            is_final: self.head[0] & 0x80 != 0,
            mask,
            rest,
        })
    }
}

/// Bytes of the head, by its second byte.
fn head_length(second: u8) -> usize {
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    match second & 0x7f {
        126 => 4 + mask,
        127 => 10 + mask,
        _ => 2 + mask,
    }
}

/// RFC 6455, section 5.3.
fn append_unmasked(target: &mut BytesMut, payload: &[u8], mask: [u8; 4]) {
    let start = target.len();
    target.extend_from_slice(payload);
    let wide = u64::from_ne_bytes([
        mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3],
    ]);
    let mut chunks = target[start..].chunks_exact_mut(8);
    for chunk in &mut chunks {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        chunk.copy_from_slice(&(u64::from_ne_bytes(word) ^ wide).to_ne_bytes());
    }
    for (byte, mask) in chunks.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const MAX: usize = 70_000;

    /// A frame as clients send it.
    fn frame(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            length @ 0..=125 => frame.push(0x80 | length as u8),
            length @ 126..=0xffff => {
                frame.push(0x80 | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            length => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b));
        frame
    }

    fn all(bytes: &[u8], step: usize) -> Result<Vec<Event>, FrameError> {
        let mut frames = Frames::new(MAX);
        let mut events = Vec::new();
        for mut part in bytes.chunks(step.max(1)) {
            while let Some(event) = frames.next(&mut part)? {
                events.push(event);
            }
            assert!(part.is_empty(), "all is used up");
        }
        Ok(events)
    }

    #[test]
    fn the_example_of_the_rfc() {
        // Section 5.7, as a binary message: "Hello" with the mask 37 fa 21 3d.
        let bytes = [
            0x82, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
        ];
        let hello = Event::Message(Bytes::from_static(b"Hello"));
        assert_eq!(all(&bytes, 100), Ok(vec![hello]));
    }

    #[test]
    fn what_clients_must_not_send_is_named() {
        let mask = [1, 2, 3, 4];
        let long = vec![0; 126];
        let cases: [(Vec<u8>, FrameError); 10] = [
            (vec![0x82, 0x01], FrameError::NotMasked),
            (frame(0x81, b"text", mask), FrameError::Text),
            (frame(0xc2, b"", mask), FrameError::Reserved),
            (frame(0x83, b"", mask), FrameError::Reserved),
            (frame(0x8b, b"", mask), FrameError::Reserved),
            (frame(0x09, b"", mask), FrameError::Control),
            (frame(0x89, &long, mask), FrameError::Control),
            (frame(0x80, b"", mask), FrameError::Fragment),
            (
                [frame(0x02, b"a", mask), frame(0x82, b"b", mask)].concat(),
                FrameError::Fragment,
            ),
            (frame(0x82, &vec![0; MAX + 1], mask), FrameError::TooLong),
        ];
        for (bytes, error) in cases {
            assert_eq!(all(&bytes, 1000), Err(error));
        }
    }

    #[test]
    fn fragments_count_together() {
        let mask = [9; 4];
        let half = vec![7; MAX / 2];
        let fits = [frame(0x02, &half, mask), frame(0x80, &half, mask)].concat();
        assert_eq!(all(&fits, 4096).map(|events| events.len()), Ok(2));
        let over = [
            frame(0x02, &half, mask),
            frame(0x00, &half, mask),
            frame(0x80, b"x", mask),
        ];
        assert_eq!(all(&over.concat(), 4096), Err(FrameError::TooLong));
    }

    #[test]
    fn announced_bytes_take_no_memory() {
        let mut frames = Frames::new(usize::MAX);
        let mut head: &[u8] = &[0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4];
        assert_eq!(frames.next(&mut head), Ok(None));
        assert!(frames.message.capacity() <= 2 * FIRST_BYTES);
    }

    proptest! {
        #[test]
        fn messages_survive_any_cut(
            messages in vec((vec(any::<u8>(), 0..300), any::<[u8; 4]>(), 0usize..4), 1..6),
            step in 1usize..400,
        ) {
            let mut bytes = Vec::new();
            let mut expected = Vec::new();
            for (payload, mask, fragments) in messages {
                let parts: Vec<&[u8]> = payload.chunks(payload.len() / (fragments + 1) + 1).collect();
                let last = parts.len().saturating_sub(1);
                if parts.is_empty() {
                    bytes.extend(frame(0x82, b"", mask));
                }
                for (number, part) in parts.iter().enumerate() {
                    let opcode = if number == 0 { BINARY } else { CONTINUATION };
                    let end = if number == last { 0x80 } else { 0 };
                    bytes.extend(frame(end | opcode, part, mask));
                    if number < last {
                        expected.push(Event::Nothing);
                        // Control frames may come between fragments.
                        bytes.extend(frame(0x89, b"ping", mask));
                        bytes.extend(frame(0x8a, b"pong", mask));
                        expected.push(Event::Ping(Bytes::from_static(b"ping")));
                        expected.push(Event::Nothing);
                    }
                }
                expected.push(Event::Message(payload.into()));
            }
            bytes.extend(frame(0x88, b"\x03\xe8", [0; 4]));
            expected.push(Event::Close);
            prop_assert_eq!(all(&bytes, step), Ok(expected));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..600), step in 1usize..50) {
            let _ = all(&bytes, step);
        }
    }
}
