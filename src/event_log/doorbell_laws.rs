//! What every log must do for nodes that share it. Part of the suite.

use futures_util::FutureExt;

use super::{
    AppendError, EventLog, Ring,
    suite::{append, fill, stream},
};
use crate::domain::Seq;

pub(super) async fn the_heads_of_many_streams_are_asked_for_at_once(log: EventLog) {
    fill(&log, &stream("a"), 3).await;
    fill(&log, &stream("b"), 1).await;
    let mut heads = log.heads(&[stream("b"), stream("nobody"), stream("a")]).await.unwrap();
    heads.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    let a = log.head(&stream("a")).await.unwrap().unwrap();
    let b = log.head(&stream("b")).await.unwrap().unwrap();
    assert_eq!(heads, [(stream("a"), a), (stream("b"), b)]);
    assert_eq!(log.heads(&[]).await.unwrap(), []);
}

/// For logs whose database can tell.
pub(super) async fn who_listens_hears_which_stream_has_moved_and_how_far(log: EventLog) {
    let (mut doorbell, mut count) = (log.doorbell(), 0);
    // It may take a while until it hears, and it may begin by saying that anything may have moved.
    let heard = loop {
        count += 1;
        fill(&log, &stream("a"), count).await;
        match doorbell.next().now_or_never() {
            Some(Ring::Stream(name, seq)) => break (name, seq),
            Some(Ring::Wanted(..) | Ring::Many) | None => tokio::task::yield_now().await,
        }
    };
    assert!(heard.0 == stream("a") && heard.1 <= Seq(count), "{heard:?}");
    let refused = log.append(append(&stream("a"), 0, &["stale"])).await;
    assert!(matches!(refused, Err(AppendError::Stale { .. })));
    fill(&log, &stream("b"), 1).await;
    let mut last = heard.1;
    loop {
        match doorbell.next().await {
            Ring::Stream(name, seq) if name == stream("a") => {
                assert!(last <= seq && seq <= Seq(count), "{seq} after {last}");
                last = seq;
            }
            ring @ (Ring::Stream(..) | Ring::Wanted(..) | Ring::Many) => {
                assert_eq!(ring, Ring::Stream(stream("b"), Seq(1)));
                break;
            }
        }
    }
    assert_eq!(last, Seq(count), "every move was heard, and none that did not happen");
}
