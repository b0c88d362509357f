//! The handles of every metric, and one method per thing that happens.

use std::{sync::Arc, time::Duration};

use ::metrics::{Counter, Gauge, Histogram, Key, Label as KeyLabel, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::{
    Append, CloseCode, CloseReason, Dialect, ErrorCode, Limited, Outcome, PresenceOutcome, Received, Refusal, Resume,
    Sent,
    declarations::{self as declared, Declaration, Kind},
    labels::Label,
};

static METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

/// The metrics of one application. Cloning shares them.
#[derive(Clone)]
pub struct Metrics(pub(super) Arc<Handles>);

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Metrics that start at zero.
    pub fn new() -> Self {
        Self(Arc::new(Handles::new(Registry::new())))
    }

    /// Everything, in Prometheus text format.
    pub fn render(&self) -> String {
        self.0.registry.exporter.render()
    }

    /// Sorts waiting samples into their buckets. Nothing else does it between two renders, and waiting
    /// samples take memory: call it every few seconds.
    pub fn run_upkeep(&self) {
        self.0.registry.exporter.run_upkeep();
    }

    /// A connection was upgraded.
    pub fn connection_opened(&self, dialect: Dialect) {
        self.0.connections_opened.of(dialect).increment(1);
        self.0.connections_active.of(dialect).increment(1.0);
    }

    /// A connection ended that had been open for `duration`; `code` is the close code, 1006 where there was none.
    pub fn connection_closed(&self, dialect: Dialect, code: u16, reason: CloseReason, duration: Duration) {
        self.0.connections_active.of(dialect).decrement(1.0);
        self.0.connection_duration.of(dialect).record(duration);
        // Dialect x code x reason would be hundreds of series of which few ever happen, and a close is rare:
        // this one counter is looked up each time.
        let labels = [label(dialect), label(CloseCode::of(code)), label(reason)];
        self.0.registry.counter(&declared::CONNECTIONS_CLOSED, labels.to_vec()).increment(1);
    }

    /// A request for a WebSocket was refused before the upgrade.
    pub fn handshake_refused(&self, why: Refusal) {
        self.0.handshakes_refused.of(why).increment(1);
    }

    /// A silent peer was dropped.
    pub fn heartbeat_timeout(&self) {
        self.0.heartbeat_timeouts.increment(1);
    }

    /// A connection came with `since`.
    pub fn resume(&self, outcome: Resume) {
        self.0.resumes.of(outcome).increment(1);
    }

    /// An event came from a client.
    pub fn message_received(&self, kind: Received) {
        self.0.messages_received.of(kind).increment(1);
    }

    /// `count` events went out, one per receiver.
    pub fn messages_sent(&self, kind: Sent, count: u64) {
        self.0.messages_sent.of(kind).increment(count);
    }

    /// An error event went out; `code` is its `error_code`.
    pub fn error_sent(&self, code: &str) {
        self.0.errors_sent.of(ErrorCode::of(code)).increment(1);
    }

    /// A message was refused for its rate. Rare, and looked up each time.
    pub fn rate_limited(&self, limit: Limited) {
        self.0.registry.counter(&declared::RATE_LIMITED, vec![label(limit)]).increment(1);
    }

    /// So many users and tokens are shut out.
    pub fn revocations(&self, count: usize) {
        self.0.registry.gauge(&declared::REVOCATIONS, vec![]).set(float(count));
    }

    /// An append was answered, `took` after it was handed in.
    pub fn log_append(&self, outcome: Append, took: Duration) {
        self.0.log_appends.of(outcome).increment(1);
        self.0.log_append_duration.record(took);
    }

    /// A transaction of `appends` appends with `events` events became durable after `took`.
    pub fn log_commit(&self, appends: usize, events: usize, took: Duration) {
        self.0.log_commit_appends.record(float(appends));
        self.0.log_commit_events.record(float(events));
        self.0.log_commit_duration.record(took);
    }

    /// The write-ahead log has this size now.
    pub fn log_wal_bytes(&self, bytes: u64) {
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; 2^53 bytes are exact")]
        self.0.log_wal_size.set(bytes as f64);
    }

    /// A document handed `edits` edits to the log in one append.
    pub fn batch_size(&self, edits: usize) {
        self.0.batch_edits.record(float(edits));
    }

    /// An ack was handed to its connection, `since_received` after the edit had come.
    pub fn ack_latency(&self, since_received: Duration) {
        self.0.ack_latency.record(since_received);
    }

    /// A message came again and was answered from the log.
    pub fn duplicate(&self) {
        self.0.duplicates.increment(1);
    }

    /// A document was opened.
    pub fn document_opened(&self) {
        self.0.documents_open.increment(1.0);
    }

    /// A document was unloaded.
    pub fn document_closed(&self) {
        self.0.documents_open.decrement(1.0);
    }

    /// A document was read, in `took`, by folding `events` events on top of its snapshot.
    pub fn document_loaded(&self, took: Duration, events: u64) {
        self.0.document_load_duration.record(took);
        self.0.document_load_events.record(float(usize::try_from(events).unwrap_or(usize::MAX)));
    }

    /// A snapshot of `bytes` bytes was written, or not.
    pub fn snapshot_saved(&self, bytes: usize, took: Duration, outcome: Outcome) {
        self.0.snapshots.of(outcome).increment(1);
        self.0.snapshot_duration.record(took);
        self.0.snapshot_size.record(float(bytes));
    }

    /// This happened to `count` presence events.
    pub fn presence(&self, outcome: PresenceOutcome, count: u64) {
        self.0.presence_events.of(outcome).increment(count);
    }

    /// Users have come into a document.
    pub fn users_came(&self, count: usize) {
        self.0.users_present.increment(float(count));
    }

    /// Users have left a document.
    pub fn users_gone(&self, count: usize) {
        self.0.users_present.decrement(float(count));
    }

    /// A connection's outbox was flushed while this much waited in it.
    pub fn outbox_depth(&self, frames: usize, bytes: usize) {
        self.0.outbox_frames.record(float(frames));
        self.0.outbox_size.record(float(bytes));
    }

    /// A document was encoded.
    pub fn sync_encoded(&self) {
        self.0.syncs_encoded.increment(1);
    }

    /// An encoded document is being sent from now on.
    pub fn sync_held(&self, bytes: usize) {
        self.0.sync_bytes.increment(float(bytes));
    }

    /// An encoded document has gone to all who wanted it.
    pub fn sync_let_go(&self, bytes: usize) {
        self.0.sync_bytes.decrement(float(bytes));
    }

    /// A connection was cut off because it read too slowly.
    pub fn slow_consumer(&self) {
        self.0.slow_consumers.increment(1);
    }
}

/// One handle per value of a label.
pub(super) struct Per<L, H> {
    handles: Box<[H]>,
    label: std::marker::PhantomData<L>,
}

impl<L: Label, H> Per<L, H> {
    pub(super) fn of(&self, label: L) -> &H {
        &self.handles[label.index()]
    }
}

pub(super) struct Handles {
    pub(super) cluster: super::cluster::Handles,
    pub(super) http_active: Gauge,
    pub(super) projections: super::projections::Handles,
    pub(super) registry: Registry,
    connections_opened: Per<Dialect, Counter>,
    connections_active: Per<Dialect, Gauge>,
    connection_duration: Per<Dialect, Histogram>,
    handshakes_refused: Per<Refusal, Counter>,
    heartbeat_timeouts: Counter,
    resumes: Per<Resume, Counter>,
    messages_received: Per<Received, Counter>,
    messages_sent: Per<Sent, Counter>,
    errors_sent: Per<ErrorCode, Counter>,
    log_appends: Per<Append, Counter>,
    log_append_duration: Histogram,
    log_commit_duration: Histogram,
    log_commit_appends: Histogram,
    log_commit_events: Histogram,
    log_wal_size: Gauge,
    batch_edits: Histogram,
    ack_latency: Histogram,
    duplicates: Counter,
    documents_open: Gauge,
    document_load_duration: Histogram,
    document_load_events: Histogram,
    snapshots: Per<Outcome, Counter>,
    snapshot_duration: Histogram,
    snapshot_size: Histogram,
    presence_events: Per<PresenceOutcome, Counter>,
    users_present: Gauge,
    outbox_frames: Histogram,
    outbox_size: Histogram,
    syncs_encoded: Counter,
    sync_bytes: Gauge,
    slow_consumers: Counter,
}

impl Handles {
    fn new(registry: Registry) -> Self {
        let of = &registry;
        of.gauge(&declared::BUILD_INFO, vec![KeyLabel::new("version", env!("CARGO_PKG_VERSION"))]).set(1.0);
        Self {
            cluster: super::cluster::Handles::new(of),
            http_active: of.gauge(&declared::HTTP_ACTIVE, vec![]),
            projections: super::projections::Handles::new(of),
            connections_opened: of.per(|labels| of.counter(&declared::CONNECTIONS_OPENED, labels)),
            connections_active: of.per(|labels| of.gauge(&declared::CONNECTIONS_ACTIVE, labels)),
            connection_duration: of.per(|labels| of.histogram(&declared::CONNECTION_DURATION, labels)),
            handshakes_refused: of.per(|labels| of.counter(&declared::HANDSHAKES_REFUSED, labels)),
            heartbeat_timeouts: of.counter(&declared::HEARTBEAT_TIMEOUTS, vec![]),
            resumes: of.per(|labels| of.counter(&declared::RESUMES, labels)),
            messages_received: of.per(|labels| of.counter(&declared::MESSAGES_RECEIVED, labels)),
            messages_sent: of.per(|labels| of.counter(&declared::MESSAGES_SENT, labels)),
            errors_sent: of.per(|labels| of.counter(&declared::ERRORS_SENT, labels)),
            log_appends: of.per(|labels| of.counter(&declared::LOG_APPENDS, labels)),
            log_append_duration: of.histogram(&declared::LOG_APPEND_DURATION, vec![]),
            log_commit_duration: of.histogram(&declared::LOG_COMMIT_DURATION, vec![]),
            log_commit_appends: of.histogram(&declared::LOG_COMMIT_APPENDS, vec![]),
            log_commit_events: of.histogram(&declared::LOG_COMMIT_EVENTS, vec![]),
            log_wal_size: of.gauge(&declared::LOG_WAL_SIZE, vec![]),
            batch_edits: of.histogram(&declared::BATCH_EDITS, vec![]),
            ack_latency: of.histogram(&declared::ACK_LATENCY, vec![]),
            duplicates: of.counter(&declared::DUPLICATES, vec![]),
            documents_open: of.gauge(&declared::DOCUMENTS_OPEN, vec![]),
            document_load_duration: of.histogram(&declared::DOCUMENT_LOAD_DURATION, vec![]),
            document_load_events: of.histogram(&declared::DOCUMENT_LOAD_EVENTS, vec![]),
            snapshots: of.per(|labels| of.counter(&declared::SNAPSHOTS, labels)),
            snapshot_duration: of.histogram(&declared::SNAPSHOT_DURATION, vec![]),
            snapshot_size: of.histogram(&declared::SNAPSHOT_SIZE, vec![]),
            presence_events: of.per(|labels| of.counter(&declared::PRESENCE_EVENTS, labels)),
            users_present: of.gauge(&declared::USERS_PRESENT, vec![]),
            outbox_frames: of.histogram(&declared::OUTBOX_FRAMES, vec![]),
            outbox_size: of.histogram(&declared::OUTBOX_SIZE, vec![]),
            syncs_encoded: of.counter(&declared::SYNCS_ENCODED, vec![]),
            sync_bytes: of.gauge(&declared::SYNC_BYTES, vec![]),
            slow_consumers: of.counter(&declared::SLOW_CONSUMERS, vec![]),
            registry,
        }
    }
}

/// The exporter's recorder, used directly: installing it would make it global.
pub(super) struct Registry {
    recorder: PrometheusRecorder,
    exporter: PrometheusHandle,
}

impl Registry {
    fn new() -> Self {
        let mut builder = PrometheusBuilder::new();
        for metric in declared::ALL {
            if let Kind::Histogram(buckets) = metric.kind {
                builder = builder
                    .set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets)
                    .expect("every histogram is declared with buckets");
            }
        }
        let recorder = builder.build_recorder();
        for metric in declared::ALL {
            let (name, unit) = (metric.name.into(), Some(metric.unit));
            match metric.kind {
                Kind::Counter => recorder.describe_counter(name, unit, metric.help.into()),
                Kind::Gauge => recorder.describe_gauge(name, unit, metric.help.into()),
                Kind::Histogram(_) => recorder.describe_histogram(name, unit, metric.help.into()),
            }
        }
        Self { exporter: recorder.handle(), recorder }
    }

    pub(super) fn counter(&self, metric: &Declaration, labels: Vec<KeyLabel>) -> Counter {
        self.recorder.register_counter(&key(metric, labels), &METADATA)
    }

    pub(super) fn gauge(&self, metric: &Declaration, labels: Vec<KeyLabel>) -> Gauge {
        self.recorder.register_gauge(&key(metric, labels), &METADATA)
    }

    pub(super) fn histogram(&self, metric: &Declaration, labels: Vec<KeyLabel>) -> Histogram {
        self.recorder.register_histogram(&key(metric, labels), &METADATA)
    }

    #[expect(clippy::unused_self, reason = "reads like the others where it is called")]
    pub(super) fn per<L: Label, H>(&self, register: impl Fn(Vec<KeyLabel>) -> H) -> Per<L, H> {
        let handles = L::ALL.iter().map(|value| register(vec![label(*value)])).collect();
        Per { handles, label: std::marker::PhantomData }
    }
}

fn key(metric: &Declaration, labels: Vec<KeyLabel>) -> Key {
    debug_assert!(labels.iter().map(KeyLabel::key).eq(metric.labels.iter().copied()), "{} as declared", metric.name);
    Key::from_parts(metric.name, labels)
}

fn label<L: Label>(value: L) -> KeyLabel {
    KeyLabel::from_static_parts(L::NAME, value.value())
}

#[expect(clippy::cast_precision_loss, reason = "a sample is a float; counts and sizes below 2^53 are exact")]
fn float(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use ::metrics::Unit;

    use super::*;
    use crate::telemetry::{KeptProjection, Rung, TailRead};

    /// Lets everything happen once.
    fn busy() -> Metrics {
        let metrics = Metrics::new();
        let took = Duration::from_millis(3);
        metrics.connection_opened(Dialect::Document);
        metrics.connection_opened(Dialect::Document);
        metrics.connection_closed(Dialect::Document, 4003, CloseReason::Unauthorized, took);
        metrics.handshake_refused(Refusal::ForbiddenOrigin);
        metrics.heartbeat_timeout();
        metrics.rate_limited(Limited::User);
        metrics.http_request().answered(("/v1/documents", "GET"), 404, took);
        metrics.revocations(3);
        metrics.resume(Resume::TooOld);
        metrics.message_received(Received::DocumentEdit);
        metrics.messages_sent(Sent::Broadcast, 7);
        metrics.error_sent("INVALID_OPERATION");
        metrics.log_append(Append::Stale, took);
        metrics.log_commit(2, 30, took);
        metrics.log_wal_bytes(4_096);
        metrics.batch_size(15);
        metrics.ack_latency(took);
        metrics.duplicate();
        metrics.document_opened();
        metrics.document_loaded(took, 12);
        metrics.snapshot_saved(900, took, Outcome::Ok);
        metrics.presence(PresenceOutcome::Merged, 2);
        metrics.users_came(1);
        metrics.outbox_depth(3, 700);
        metrics.sync_encoded();
        metrics.sync_held(70_000);
        metrics.slow_consumer();
        metrics.rung(Rung::Many);
        metrics.doorbell_heard(true);
        metrics.tail_read(TailRead::LostRace);
        metrics.taken_in(2, took);
        metrics.projection(KeptProjection::Blame, 3, 1);
        metrics
    }

    #[test]
    fn every_declared_metric_is_rendered_with_its_help_and_type_and_nothing_else_is() {
        let rendered = busy().render();
        for metric in declared::ALL {
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram(_) => "histogram",
            };
            assert!(rendered.contains(&format!("# HELP {} {}\n", metric.name, metric.help)), "{}", metric.name);
            assert!(rendered.contains(&format!("# TYPE {} {kind}\n", metric.name)), "{}", metric.name);
        }
        assert_eq!(rendered.matches("# TYPE ").count(), declared::ALL.len(), "{rendered}");
        assert!(!rendered.contains(" summary\n"));
    }

    #[test]
    fn names_say_their_unit_and_counters_end_in_total() {
        for metric in declared::ALL {
            let suffix = [(Unit::Seconds, "_seconds"), (Unit::Bytes, "_bytes"), (Unit::Count, "")]
                .into_iter()
                .find_map(|(unit, suffix)| (unit == metric.unit).then_some(suffix))
                .expect("metrics count in base units");
            assert!(metric.name.starts_with("scriptorium_") && metric.name.ends_with(suffix), "{}", metric.name);
            assert_eq!(metric.name.ends_with("_total"), matches!(metric.kind, Kind::Counter), "{}", metric.name);
        }
    }

    #[test]
    fn the_operators_page_lists_every_metric() {
        let page = include_str!("../../docs/operations.md");
        for metric in declared::ALL {
            let row = page.lines().find(|line| line.starts_with(&format!("| `{}` | ", metric.name)));
            let row = row.unwrap_or_else(|| panic!("{} is missing", metric.name));
            assert!(row.contains(metric.help), "{row}");
            assert!(metric.labels.iter().all(|label| row.contains(&format!("`{label}`"))), "{row}");
        }
    }

    #[test]
    fn each_thing_is_counted_under_its_own_labels() {
        let rendered = busy().render();
        for line in [
            r#"scriptorium_connections_opened_total{dialect="document"} 2"#,
            r#"scriptorium_connections_active{dialect="document"} 1"#,
            r#"scriptorium_connections_closed_total{dialect="document",code="4003",reason="unauthorized"} 1"#,
            r#"scriptorium_messages_sent_total{kind="broadcast"} 7"#,
            r#"scriptorium_errors_sent_total{code="INVALID_OPERATION"} 1"#,
            r#"scriptorium_errors_sent_total{code="OTHER"} 0"#,
            r#"scriptorium_http_requests_total{route="/v1/documents",method="GET",status="4xx"} 1"#,
            r#"scriptorium_http_request_duration_seconds_count{route="/v1/documents",method="GET"} 1"#,
            "scriptorium_http_requests_active 0",
            r#"scriptorium_ack_latency_seconds_bucket{le="0.002"} 0"#,
            r#"scriptorium_ack_latency_seconds_bucket{le="0.004"} 1"#,
            "scriptorium_log_wal_bytes 4096",
        ] {
            assert!(rendered.lines().any(|l| l == line), "{line} is missing in\n{rendered}");
        }
    }

    #[test]
    fn two_applications_in_one_process_count_apart() {
        let (one, other) = (Metrics::new(), Metrics::new());
        one.duplicate();
        assert!(one.render().contains("scriptorium_duplicates_total 1"));
        assert!(other.render().contains("scriptorium_duplicates_total 0"));
    }

    #[test]
    fn a_close_code_of_the_clients_own_does_not_make_a_series() {
        assert_eq!(CloseCode::of(1012), CloseCode::Restarting);
        assert_eq!(CloseCode::of(4999), CloseCode::Other);
        assert_eq!(ErrorCode::of("made up"), ErrorCode::Other);
    }
}
