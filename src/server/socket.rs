//! The two halves of a connection's socket. Only the writer writes: it owns the half for it. What tungstenite
//! has to say of itself while it reads (pongs, the answer to a close) goes into the outbox like all the rest,
//! so that no frame can end up inside another.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, ReadHalf, WriteHalf};
use tokio_tungstenite::WebSocketStream;

use crate::{
    live::{Item, Outbox},
    protocol::frames,
};

/// Where messages of the client come from.
pub(super) type Incoming = WebSocketStream<Reading>;
/// Where frames go.
pub(super) type Outgoing = WriteHalf<TokioIo<Upgraded>>;

/// What tungstenite takes for a socket.
pub(super) struct Reading {
    pub(super) half: ReadHalf<TokioIo<Upgraded>>,
    pub(super) outbox: Arc<Outbox>,
}

impl AsyncRead for Reading {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.half).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Reading {
    /// Takes it all, always: what tungstenite hands over at once are whole frames.
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, frames: &[u8]) -> Poll<io::Result<usize>> {
        self.outbox.push(Item::Control(Bytes::copy_from_slice(frames)));
        Poll::Ready(Ok(frames.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What is being written: pieces of whole frames, of which the first may be partly gone.
#[derive(Debug, Default)]
pub(super) struct Unsent {
    pieces: VecDeque<Bytes>,
    /// How much of the first piece is gone; less than all of it.
    gone: usize,
    /// How much was ever written.
    written: u64,
}

impl Unsent {
    /// Adds one or more whole frames.
    pub(super) fn add(&mut self, frames: Bytes) {
        if !frames.is_empty() {
            self.pieces.push_back(frames);
        }
    }

    /// Drops everything but the rest of the frame that has been begun.
    pub(super) fn finish_frame(&mut self) {
        self.pieces.truncate(1);
        if let Some(piece) = self.pieces.front_mut() {
            piece.truncate(frames::end_of_frame(piece, self.gone));
            if self.gone == piece.len() {
                self.clear();
            }
        }
    }

    /// Forgets what there is, and gives back its room.
    pub(super) fn clear(&mut self) {
        *self = Self { written: self.written, ..Self::default() };
    }

    /// How many bytes were ever written.
    pub(super) const fn written(&self) -> u64 {
        self.written
    }
}

impl Buf for Unsent {
    fn remaining(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum::<usize>() - self.gone
    }

    fn has_remaining(&self) -> bool {
        !self.pieces.is_empty()
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| &piece[self.gone..])
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut gone = self.gone;
        let filled = slices.iter_mut().zip(&self.pieces).map(|(slice, piece)| {
            *slice = IoSlice::new(&piece[std::mem::take(&mut gone)..]);
        });
        filled.count()
    }

    fn advance(&mut self, count: usize) {
        self.gone += count;
        self.written += count as u64;
        while let Some(piece) = self.pieces.front()
            && self.gone >= piece.len()
        {
            self.gone -= piece.len();
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use tokio_tungstenite::tungstenite::{
        Message, Utf8Bytes,
        protocol::{
            CloseFrame, Role,
            frame::{
                Frame,
                coding::{Data, OpCode},
            },
        },
    };

    use super::*;
    use crate::protocol::frames::Frames;

    /// Around every step of a frame's header, and beyond what one frame takes.
    const LENGTHS: [usize; 9] = [0, 1, 125, 126, 127, 65_535, 65_536, 65_537, 300_000];

    fn by_tungstenite(frame: Frame) -> Vec<u8> {
        let mut bytes = Vec::new();
        frame.format(&mut bytes).unwrap();
        bytes
    }

    /// What a client reads.
    async fn read(bytes: Vec<u8>) -> Vec<Message> {
        let (near, mut far) = tokio::io::duplex(64);
        let write = async move { tokio::io::AsyncWriteExt::write_all(&mut far, &bytes).await.unwrap() };
        let client = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
        let read = client.take_while(|message| std::future::ready(message.is_ok())).map(Result::unwrap).collect();
        tokio::join!(write, read).1
    }

    #[test]
    fn our_frames_are_those_of_tungstenite() {
        for length in LENGTHS {
            let text = "x".repeat(length);
            let theirs = by_tungstenite(Frame::message(text.clone(), OpCode::Data(Data::Text), true));
            assert!(Frames::text(&text).into_bytes() == theirs, "{length}");
        }
        assert_eq!(frames::PING, by_tungstenite(Frame::ping("")));
        for (code, reason) in [(1000, ""), (1008, "slow_consumer"), (4003, "token_expired")] {
            let frame = CloseFrame { code: code.into(), reason: Utf8Bytes::from_static(reason) };
            assert_eq!(frames::close(code, reason), by_tungstenite(Frame::close(Some(frame))));
        }
    }

    #[tokio::test]
    async fn a_client_reads_what_was_said() {
        let texts = LENGTHS.map(|length| "x".repeat(length));
        let series = frames::Series::of(texts.iter().map(|text| Frames::text(text)));
        let expected = texts.clone().map(Message::from).to_vec();
        assert!(read(series.run(0..texts.len()).into_bytes().into()).await == expected);
        let in_parts: Vec<u8> =
            texts.clone().into_iter().map(String::into_bytes).flat_map(frames::in_parts).flatten().collect();
        assert!(read(in_parts).await == expected);
        let of_two = texts.iter().flat_map(|text| {
            let (begin, end) = text.split_at(text.len() * 2 / 3);
            frames::of_two(&Bytes::copy_from_slice(begin.as_bytes()), end).collect::<Vec<_>>()
        });
        assert!(read(of_two.flatten().collect()).await == expected);
    }

    fn unsent(texts: &[&[&str]]) -> (Unsent, Vec<u8>) {
        let mut unsent = Unsent::default();
        for piece in texts {
            let series = frames::Series::of(piece.iter().map(|text| Frames::text(text)));
            unsent.add(series.run(0..piece.len()).into_bytes());
        }
        let all = unsent.pieces.iter().flatten().copied().collect();
        (unsent, all)
    }

    fn rest(unsent: &Unsent) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 8];
        let filled = unsent.chunks_vectored(&mut slices);
        slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect()
    }

    const TEXTS: &[&[&str]] = &[&["a", "bcd"], &[], &["", "efg", "h"], &["i"]];

    #[test]
    fn however_a_write_is_cut_the_rest_is_what_has_not_gone() {
        let (_, all) = unsent(TEXTS);
        for first in 0..=all.len() {
            for second in first..=all.len() {
                let (mut unsent, _) = unsent(TEXTS);
                unsent.advance(first);
                unsent.advance(second - first);
                assert_eq!(rest(&unsent), all[second..], "{first} {second}");
                assert_eq!(unsent.remaining(), all.len() - second);
                assert_eq!(unsent.has_remaining(), second < all.len());
                assert!(all[second..].starts_with(unsent.chunk()));
                assert_eq!(unsent.chunk().is_empty(), second == all.len());
            }
        }
    }

    #[test]
    fn a_frame_that_was_begun_is_finished_and_nothing_else() {
        let (_, all) = unsent(TEXTS);
        let mut ends = vec![0];
        for text in TEXTS.iter().copied().flatten() {
            ends.push(ends[ends.len() - 1] + 2 + text.len());
        }
        for gone in 0..=all.len() {
            let (mut unsent, _) = unsent(TEXTS);
            unsent.advance(gone);
            unsent.finish_frame();
            let end = *ends.iter().find(|end| **end >= gone).unwrap();
            assert_eq!(rest(&unsent), all[gone..end], "{gone}");
            assert_eq!(unsent.remaining(), end - gone);
        }
    }
}
