//! Messages as frames of a WebSocket (RFC 6455, 5.2), ready for the socket.
//!
//! What a server sends is not masked: a frame is the same bytes for everybody who gets it. So it is made once,
//! and frames that follow each other in one buffer are sent as one piece.

use std::ops::Range;

use bytes::Bytes;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const FINAL: u8 = 0x80;
/// The longest header of a frame that is not masked.
const HEADER: usize = 10;

/// A ping that carries nothing.
pub const PING: &[u8] = &[FINAL | 0x9, 0];

/// Bytes of a long message that go into one frame.
const PART: usize = 64 * 1024;

/// Text messages, each one frame, in order.
#[derive(Debug, Clone)]
pub struct Frames {
    bytes: Bytes,
    count: usize,
}

impl Frames {
    /// One message.
    pub fn text(message: &str) -> Self {
        let mut bytes = Vec::with_capacity(HEADER + message.len());
        put_frame(&mut bytes, FINAL | TEXT, message.as_bytes());
        Self { bytes: bytes.into(), count: 1 }
    }

    /// How many messages.
    pub fn count(&self) -> usize {
        self.count
    }

    /// How many bytes on the wire.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// As they go over the wire.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// The messages without their frames.
    pub fn texts(&self) -> impl Iterator<Item = Bytes> {
        let mut rest = self.bytes.clone();
        std::iter::from_fn(move || {
            let payload = payload(&rest)?;
            let mut frame = rest.split_to(payload.end);
            Some(frame.split_off(payload.start))
        })
    }
}

/// Messages of one text each, one after the other in one buffer, of which any run is [`Frames`].
#[derive(Debug, Clone)]
pub struct Series {
    bytes: Bytes,
    /// Where each message ends.
    ends: Vec<usize>,
}

impl Series {
    /// These, in their order.
    pub fn of(messages: impl Iterator<Item = Frames>) -> Self {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for message in messages {
            bytes.extend_from_slice(&message.bytes);
            ends.push(bytes.len());
        }
        bytes.shrink_to_fit();
        Self { bytes: bytes.into(), ends }
    }

    /// Some of them.
    pub fn run(&self, which: Range<usize>) -> Frames {
        let end = |count: usize| count.checked_sub(1).map_or(0, |last| self.ends[last]);
        Frames { bytes: self.bytes.slice(end(which.start)..end(which.end)), count: which.len() }
    }
}

/// A text message that may be long, in frames that are made one at a time: all of them together would be the
/// message a second time.
pub fn in_parts(message: Vec<u8>) -> impl Iterator<Item = Bytes> {
    let count = message.len().div_ceil(PART).max(1);
    (0..count).map(move |part| {
        let payload = &message[part * PART..message.len().min((part + 1) * PART)];
        let kind = if part == 0 { TEXT } else { CONTINUATION };
        let mut bytes = Vec::with_capacity(HEADER + payload.len());
        put_frame(&mut bytes, kind | if part + 1 == count { FINAL } else { 0 }, payload);
        bytes.into()
    })
}

/// A long text message of two pieces in frames that are made one at a time.
pub fn of_two<'a>(begin: &'a Bytes, end: &'a str) -> impl Iterator<Item = Bytes> + 'a {
    let parts = begin.chunks(PART).map(|part| (0, part)).chain([(FINAL, end.as_bytes())]);
    parts.enumerate().map(|(at, (last, payload))| {
        let mut bytes = Vec::with_capacity(HEADER + payload.len());
        put_frame(&mut bytes, last | if at == 0 { TEXT } else { CONTINUATION }, payload);
        bytes.into()
    })
}

/// The frame that closes a connection.
pub fn close(code: u16, reason: &str) -> Bytes {
    let mut bytes = Vec::with_capacity(HEADER + 2 + reason.len());
    put_frame(&mut bytes, FINAL | CLOSE, &[&code.to_be_bytes(), reason.as_bytes()].concat());
    bytes.into()
}

/// Where the frame ends in whose middle a write stopped: `at` itself where that was between two.
pub fn end_of_frame(frames: &[u8], at: usize) -> usize {
    let mut end = 0;
    while end < at {
        match payload(&frames[end..]) {
            Some(payload) => end += payload.end,
            None => return frames.len(),
        }
    }
    end
}

fn put_frame(frames: &mut Vec<u8>, first: u8, payload: &[u8]) {
    frames.push(first);
    let length = payload.len();
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..=125), _) => frames.push(short),
        (_, Ok(medium)) => {
            frames.push(126);
            frames.extend_from_slice(&medium.to_be_bytes());
        }
        (_, Err(_)) => {
            frames.push(127);
            frames.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frames.extend_from_slice(payload);
}

/// Where the payload of the first of our own frames is.
fn payload(frames: &[u8]) -> Option<Range<usize>> {
    let (start, length) = match *frames.get(1)? {
        126 => (4, u64::from(u16::from_be_bytes(frames.get(2..4)?.try_into().ok()?))),
        127 => (10, u64::from_be_bytes(frames.get(2..10)?.try_into().ok()?)),
        short => (2, u64::from(short)),
    };
    Some(start..start + usize::try_from(length).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Around every step of the header.
    const LENGTHS: [usize; 9] = [0, 1, 125, 126, 127, 65_535, 65_536, 65_537, 200_000];

    fn messages() -> Vec<String> {
        LENGTHS.iter().map(|length| "é".repeat(length / 2) + &"x".repeat(length % 2)).collect()
    }

    #[test]
    fn a_run_of_a_series_is_its_messages_in_order() {
        let messages = messages();
        let series = Series::of(messages.iter().map(|message| Frames::text(message)));
        for start in 0..=messages.len() {
            for end in start..=messages.len() {
                let run = series.run(start..end);
                let alone = messages[start..end].iter().map(|message| Frames::text(message).into_bytes());
                assert_eq!(run.count(), end - start);
                assert!(run.texts().eq(messages[start..end].iter().map(String::as_bytes)), "{start}..{end}");
                assert_eq!(run.bytes(), alone.clone().map(|frame| frame.len()).sum::<usize>());
                assert!(run.into_bytes().iter().copied().eq(alone.flatten()), "{start}..{end}");
            }
        }
    }

    #[test]
    fn the_end_of_a_frame_is_found_from_anywhere_in_it() {
        let lengths = [0, 125, 126, 300, 65_536];
        let frames: Vec<_> = lengths.map(|length| Frames::text(&"x".repeat(length)).into_bytes()).into();
        let all = frames.concat();
        let (mut start, mut end) = (0, 0);
        assert_eq!(end_of_frame(&all, 0), 0);
        for frame in frames {
            end += frame.len();
            for at in start + 1..=end {
                assert_eq!(end_of_frame(&all, at), end, "{at}");
            }
            start = end;
        }
    }
}
