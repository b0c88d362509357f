//! Every metric, once: its name, what it means, what it counts in, its labels and its buckets.

use metrics::Unit;

/// What a metric is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Counter,
    Gauge,
    /// With the upper bounds of its buckets. Without buckets the exporter would render a summary, and
    /// its quantiles are wrong.
    Histogram(&'static [f64]),
}

/// A metric's declaration.
#[derive(Debug, Clone, Copy)]
pub(super) struct Declaration {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) unit: Unit,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
}

/// 100 µs to 10 s: a commit, an append, the way from a client to its ack.
const LATENCY: &[f64] =
    &[0.0001, 0.000_25, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1.0, 2.5, 10.0];
/// A second to a day.
const SESSION: &[f64] = &[1.0, 10.0, 60.0, 300.0, 1_800.0, 3_600.0, 14_400.0, 86_400.0];
const COUNT: &[f64] =
    &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0, 2_048.0, 4_096.0, 16_384.0, 65_536.0];
/// 256 B to 64 MiB.
const SIZE: &[f64] =
    &[256.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0, 67_108_864.0];

macro_rules! declare {
    ($($constant:ident: $kind:expr, $unit:ident, $name:literal, [$($label:literal),*], $help:literal;)+) => {
        $(pub(super) const $constant: Declaration = Declaration {
            name: concat!("scriptorium_", $name), kind: $kind, unit: Unit::$unit, labels: &[$($label),*], help: $help,
        };)+
        /// Every metric that there is.
        pub(super) const ALL: &[Declaration] = &[$($constant),+];
    };
}

use Kind::{Counter, Gauge, Histogram};

declare! {
    BUILD_INFO: Gauge, Count, "build_info", ["version"], "Always 1; the label says which version runs.";
    CONNECTIONS_OPENED: Counter, Count, "connections_opened_total", ["dialect"], "WebSocket connections opened.";
    CONNECTIONS_ACTIVE: Gauge, Count, "connections_active", ["dialect"], "WebSocket connections open now.";
    CONNECTIONS_CLOSED: Counter, Count, "connections_closed_total", ["dialect", "code", "reason"],
        "WebSocket connections closed, by close code and cause.";
    CONNECTION_DURATION: Histogram(SESSION), Seconds, "connection_duration_seconds", ["dialect"],
        "How long closed connections had been open.";
    HANDSHAKES_REFUSED: Counter, Count, "handshakes_refused_total", ["reason"],
        "Requests for a WebSocket that were refused before the upgrade.";
    HEARTBEAT_TIMEOUTS: Counter, Count, "heartbeat_timeouts_total", [], "Peers dropped because they had been silent.";
    RESUMES: Counter, Count, "resumes_total", ["outcome"], "Connections that asked to go on where they had been.";
    MESSAGES_RECEIVED: Counter, Count, "messages_received_total", ["kind"], "Events from clients.";
    MESSAGES_SENT: Counter, Count, "messages_sent_total", ["kind"], "Events to clients, one per receiver.";
    ERRORS_SENT: Counter, Count, "errors_sent_total", ["code"], "Error events to clients.";
    RATE_LIMITED: Counter, Count, "rate_limited_total", ["of"], "Messages, and requests over HTTP, refused for their rate, by whose limit it was.";
    HTTP_REQUESTS: Counter, Count, "http_requests_total", ["route", "method", "status"],
        "Requests over HTTP, by the form of their address and the class of their answer; no WebSockets.";
    HTTP_DURATION: Histogram(LATENCY), Seconds, "http_request_duration_seconds", ["route", "method"],
        "From a request to the head of its answer; a stream goes on after that.";
    HTTP_ACTIVE: Gauge, Count, "http_requests_active", [], "Requests over HTTP whose answer has not begun.";
    REVOCATIONS: Gauge, Count, "revocations_active", [], "Users and tokens that are shut out now.";
    LOG_APPENDS: Counter, Count, "log_appends_total", ["outcome"], "Appends to the event log.";
    LOG_APPEND_DURATION: Histogram(LATENCY), Seconds, "log_append_duration_seconds", [],
        "From handing an append to the log to its answer, waiting included.";
    LOG_COMMIT_DURATION: Histogram(LATENCY), Seconds, "log_commit_duration_seconds", [],
        "One transaction of the log, from begin to durable.";
    LOG_COMMIT_APPENDS: Histogram(COUNT), Count, "log_commit_appends", [], "Appends that shared one transaction.";
    LOG_COMMIT_EVENTS: Histogram(COUNT), Count, "log_commit_events", [], "Events in one transaction.";
    LOG_WAL_SIZE: Gauge, Bytes, "log_wal_bytes", [], "Size of the write-ahead log file.";
    BATCH_EDITS: Histogram(COUNT), Count, "document_batch_edits", [], "Edits of one document in one append.";
    ACK_LATENCY: Histogram(LATENCY), Seconds, "ack_latency_seconds", [],
        "From receiving an edit to handing its ack to the connection.";
    DUPLICATES: Counter, Count, "duplicates_total", [], "Messages that had been committed before and were answered again.";
    DOCUMENTS_OPEN: Gauge, Count, "documents_open", [], "Documents held in memory.";
    DOCUMENT_LOAD_DURATION: Histogram(LATENCY), Seconds, "document_load_duration_seconds", [],
        "Opening a document: reading its snapshot and the events after it.";
    DOCUMENT_LOAD_EVENTS: Histogram(COUNT), Count, "document_load_events", [],
        "Events folded on top of the snapshot when a document was opened.";
    SNAPSHOTS: Counter, Count, "snapshots_total", ["outcome"], "Snapshots written.";
    SNAPSHOT_DURATION: Histogram(LATENCY), Seconds, "snapshot_duration_seconds", [], "Writing one snapshot.";
    SNAPSHOT_SIZE: Histogram(SIZE), Bytes, "snapshot_size_bytes", [], "Size of one stored snapshot.";
    PRESENCE_EVENTS: Counter, Count, "presence_events_total", ["outcome"],
        "What clients said of themselves, and what became of it; who came and who went is logged only.";
    USERS_PRESENT: Gauge, Count, "users_present", [], "Users in open documents, once per document.";
    OUTBOX_FRAMES: Histogram(COUNT), Count, "outbox_flush_frames", [], "Frames that waited for a connection at a flush.";
    OUTBOX_SIZE: Histogram(SIZE), Bytes, "outbox_flush_bytes", [], "Bytes that waited for a connection at a flush.";
    SYNCS_ENCODED: Counter, Count, "syncs_encoded_total", [],
        "Whole documents encoded for clients, short ones aside: readers of one version share them.";
    SYNC_BYTES: Gauge, Bytes, "sync_bytes", [], "Bytes of encoded documents that clients are taking now.";
    SLOW_CONSUMERS: Counter, Count, "slow_consumers_total", [], "Connections cut off because they read too slowly.";
    PROJECTION_BEHIND: Gauge, Count, "projection_behind_positions", ["projection"],
        "Positions of the feed that a kept projection has not looked at.";
    PROJECTION_LEFT: Gauge, Count, "projection_documents_left", ["projection"],
        "Documents still to be gone through by a projection that is being built.";
    RINGS: Counter, Count, "cluster_rings_total", ["kind"], "Signs that other nodes may have written, by how they came.";
    DOORBELL_HEARD: Gauge, Count, "cluster_doorbell_heard", [],
        "1 while the doorbell is heard; 0 while it is not, or there is none.";
    TAIL_READS: Counter, Count, "cluster_tail_reads_total", ["why"],
        "Times that the end of an open document was read from the log.";
    TAIL_EVENTS: Counter, Count, "cluster_tail_events_total", [], "Events of others taken in from the log.";
    TURNS_LEFT: Histogram(LATENCY), Seconds, "cluster_turns_left_seconds", [],
        "How long a document waited for another node to write to it first.";
    DELIVERY_LAG: Histogram(LATENCY), Seconds, "cluster_delivery_lag_seconds", [],
        "From the time an event of another node was recorded, by its clock, to its delivery here.";
}
