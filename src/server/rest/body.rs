//! Bodies of requests: in which form they are accepted, and how they are read.

use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, header};
use mime::Mime;
use tokio::time::{Instant, timeout_at};

use crate::server::{
    problem::{Code, Problem},
    quota::Held,
};

use super::bad;

/// Bytes a second with which a body has to come and an answer has to be taken, on average and after a first grace.
pub(in crate::server) const SLOWEST: usize = 8 << 10;

/// What some editors put before a text to say that it is UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Whether the headers announce a body that can be read: neither compressed nor in another charset than UTF-8.
pub(super) fn check_form(headers: &HeaderMap) -> Result<(), Problem> {
    let codings = headers.get_all(header::CONTENT_ENCODING).into_iter().map(|it| it.to_str().unwrap_or("?"));
    if let Some(coding) = codings.flat_map(|all| all.split(',')).map(str::trim).find(|it| !is_identity(it)) {
        let detail = format!("the body must be sent as it is, without `Content-Encoding: {coding}`");
        return Err(Problem::new(Code::UnsupportedMediaType, detail));
    }
    let charset = content_type(headers).and_then(|kind| kind.get_param(mime::CHARSET).map(|it| it.to_string()));
    match charset {
        // ASCII is part of UTF-8.
        Some(name) if !["utf-8", "utf8", "us-ascii"].contains(&name.to_ascii_lowercase().as_str()) => {
            Err(Problem::new(Code::UnsupportedMediaType, format!("the body must be UTF-8, not `{name}`")))
        }
        Some(_) | None => Ok(()),
    }
}

fn is_identity(coding: &str) -> bool {
    coding.is_empty() || coding.eq_ignore_ascii_case("identity")
}

/// A body with the room that it takes, which is given back with its last copy.
struct Whole {
    bytes: Vec<u8>,
    _room: Held,
}

impl AsRef<[u8]> for Whole {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// How long the headers say that the body is.
pub(super) fn announced(headers: &HeaderMap) -> usize {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    length.unwrap_or_default()
}

/// All of a body, if it is not longer than the limit. Room is taken for what has come, not for what is announced, which
/// costs nothing to say. `patience` is how long nothing may come.
pub(super) async fn read<B: Buf>(
    body: impl Stream<Item = Result<B, warp::Error>> + Send,
    (limit, announced): (usize, usize),
    mut room: Held,
    patience: Duration,
) -> Result<Bytes, Problem> {
    let (mut body, mut bytes, began) = (std::pin::pin!(body), Vec::new(), Instant::now());
    loop {
        let slowest = Duration::from_secs((bytes.len() / SLOWEST) as u64);
        let latest = (Instant::now() + patience).min(began + patience + slowest);
        let Some(part) = timeout_at(latest, body.next()).await.map_err(|_| too_slow(patience))? else { break };
        let mut part = part.map_err(|error| bad(format!("the body could not be read: {error}")))?;
        if bytes.len() + part.remaining() > limit {
            return Err(Problem::new(Code::BodyTooLarge, format!("the body may have {limit} bytes")));
        }
        if !room.grow(part.remaining()) {
            return Err(no_room());
        }
        // Not more than is needed, and not again and again as it grows.
        bytes.reserve_exact(if bytes.is_empty() { announced.min(limit) } else { 0 });
        while part.has_remaining() {
            let piece = part.chunk();
            bytes.extend_from_slice(piece);
            let length = piece.len();
            part.advance(length);
        }
    }
    Ok(Bytes::from_owner(Whole { bytes, _room: room }))
}

pub(super) fn no_room() -> Problem {
    Problem::new(Code::Busy, "too many bytes of requests are under way (`limits.body_bytes`); try again later")
}

fn too_slow(patience: Duration) -> Problem {
    let detail = format!("the body came too slowly: nothing for {patience:?}, or less than {SLOWEST} bytes a second");
    Problem::new(Code::RequestTimeout, detail)
}

/// The media type of a body, where it is given and well-formed.
pub(super) fn content_type(headers: &HeaderMap) -> Option<Mime> {
    headers.get(header::CONTENT_TYPE)?.to_str().ok()?.parse().ok()
}

/// A body without the byte order mark that it may begin with.
pub(super) fn without_mark(mut body: Bytes) -> Bytes {
    if body.starts_with(BYTE_ORDER_MARK) {
        body.advance(BYTE_ORDER_MARK.len());
    }
    body
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{domain::UserId, server::quota::Quota};

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_body_is_plain_utf_8() {
        for kind in
            ["text/plain", "text/html; charset=UTF-8", "text/html;charset=\"utf8\"", "a/b; charset=us-ascii", "?"]
        {
            assert_eq!(check_form(&headers(&[("content-type", kind)])), Ok(()), "{kind}");
        }
        for coding in ["", "identity", "Identity, identity"] {
            assert_eq!(check_form(&headers(&[("content-encoding", coding)])), Ok(()), "{coding}");
        }
        for (name, value, named) in [
            ("content-type", "text/html; charset=iso-8859-1", "`iso-8859-1`"),
            ("content-type", "application/json; charset=\"UTF-16\"", "`utf-16`"),
            ("content-encoding", "gzip", "`Content-Encoding: gzip`"),
            ("content-encoding", "identity, br", "`Content-Encoding: br`"),
        ] {
            let problem = check_form(&headers(&[(name, value)])).unwrap_err();
            assert_eq!(problem.code, Code::UnsupportedMediaType);
            assert!(problem.detail.to_lowercase().contains(&named.to_lowercase()), "{value}: {}", problem.detail);
        }
    }

    #[test]
    fn one_byte_order_mark_at_the_start_is_dropped() {
        assert_eq!(without_mark("\u{feff}{}".into()), "{}");
        assert_eq!(without_mark("\u{feff}\u{feff}".into()), "\u{feff}");
        assert_eq!(without_mark("{}\u{feff}".into()), "{}\u{feff}");
        assert_eq!(without_mark(Bytes::new()), "");
    }

    /// Pieces of a body, each after a pause of so many seconds; then it never ends.
    fn slow(pieces: Vec<(u64, usize)>) -> impl Stream<Item = Result<Bytes, warp::Error>> {
        let pieces = futures_util::stream::iter(pieces).then(|(pause, length)| async move {
            tokio::time::sleep(Duration::from_secs(pause)).await;
            Ok(Bytes::from(vec![b'x'; length]))
        });
        pieces.chain(futures_util::stream::pending())
    }

    async fn code_of(pieces: Vec<(u64, usize)>, limit: usize, quota: &Arc<Quota>) -> (Code, u64) {
        let (room, began) = (quota.nothing(&UserId::parse("ann").unwrap()).unwrap(), Instant::now());
        let read = read(slow(pieces), (limit, 0), room, Duration::from_secs(20)).await;
        (read.unwrap_err().code, began.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_given_up_when_it_stops_and_when_it_trickles() {
        let quota = Quota::new(1 << 20, 1 << 20);
        assert_eq!(code_of(vec![], 10, &quota).await, (Code::RequestTimeout, 20), "nothing at all");
        assert_eq!(code_of(vec![(19, 1), (19, 1)], 10, &quota).await, (Code::RequestTimeout, 20), "hardly anything");
        let bytes = SLOWEST * 10;
        let steady = vec![(10, bytes), (10, bytes), (10, bytes)];
        assert_eq!(code_of(steady, 1 << 20, &quota).await, (Code::RequestTimeout, 50), "it comes, and then stops");
        let trickle = (0..1_000).map(|_| (1, SLOWEST / 2)).collect();
        assert_eq!(code_of(trickle, 1 << 30, &quota).await, (Code::RequestTimeout, 39), "half as fast as it must be");
        assert_eq!(code_of(vec![(1, 11)], 10, &quota).await, (Code::BodyTooLarge, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_holds_its_room_until_its_last_copy_is_gone() {
        let (quota, ann) = (Quota::new(100, 100), UserId::parse("ann").unwrap());
        let whole = || futures_util::stream::iter([Ok::<_, warp::Error>(Bytes::from(vec![b'x'; 60]))]);
        let take = || read(whole(), (100, 60), quota.nothing(&ann).unwrap(), Duration::from_secs(20));
        let body = without_mark(take().await.unwrap());
        let copy = body.clone();
        assert_eq!(body.len(), 60);
        drop(body);
        assert_eq!(take().await.unwrap_err().code, Code::Busy);
        drop(copy);
        assert!(take().await.is_ok());
    }
}
