//! What the service says about itself: metrics and logs.
//!
//! A [`Metrics`] belongs to one running application. Nothing global is installed, so two applications in
//! one process (tests) count apart. Every handle is made once, at the start: counting costs some
//! nanoseconds and looks nothing up.

mod cluster;
mod declarations;
mod http;
mod labels;
pub mod logging;
mod metrics;
mod projections;

pub use http::HttpRequest;
pub use labels::{
    Append, CloseCode, CloseReason, Dialect, ErrorCode, KeptProjection, Label, Limited, Outcome, PresenceOutcome,
    Received, Refusal, Resume, Rung, Sent, TailRead,
};
pub use metrics::Metrics;
