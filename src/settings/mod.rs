//! What an operator can choose, checked before anything starts.
//!
//! Later wins: the defaults below, `config/default.toml` in the working directory, the file named by
//! `--config`, the environment (`SCRIPTORIUM__SERVER__LISTEN`; `DATABASE_URL`). A key that does not exist and
//! a value that makes no sense stop the start, with a message that says which, where, and what is allowed.

mod error;
mod host;
mod layers;
mod listen;
mod rate;
mod rules;
mod value;

use std::{path::Path, path::PathBuf, time::Duration};

pub use crate::telemetry::logging::Format as LogFormat;
pub use error::{Origin, Problem, SettingsError};
pub use host::{AllowedHost, Host};
pub use listen::Listen;
pub use rate::{Network, Rate};
pub use value::{AuthMode, DatabaseUrl, DoorbellWay, Secret};

use layers::{Layers, Reader};
use value::{Bytes, Setting};

/// Reads a duration as settings write it: `50ms`, `30s`, `5m`, `2h`, `1d`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    Duration::from_text(text)
}

/// One item per section, each with its keys, their types, defaults and ranges. `via` names a type that reads
/// the value in another form.
macro_rules! sections {
    ($(
        $(#[$section_doc:meta])*
        $section:ident: $Section:ident {
            $( $(#[$doc:meta])* $key:ident: $type:ty $(as $via:ty)? = $default:expr $(, in $range:expr)?; )+
        }
    )+) => {
        /// Everything that can be set. [`Settings::load`] reads and checks it.
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct Settings { $( $(#[$section_doc])* pub $section: $Section, )+ }

        $(
            $(#[$section_doc])*
            #[derive(Debug, Clone, PartialEq)]
            pub struct $Section { $( $(#[$doc])* pub $key: $type, )+ }

            impl Default for $Section {
                fn default() -> Self {
                    Self { $( $key: $default, )+ }
                }
            }
        )+

        impl Settings {
            /// Every key, as it stands in a file: `section.key`.
            pub const KEYS: &'static [&'static str] = &[
                $( $( concat!(stringify!($section), ".", stringify!($key)), )+ )+
            ];
            pub(crate) const SECTIONS: &'static [&'static str] = &[$( stringify!($section), )+];

            fn read(reader: &mut Reader) -> Self {
                Self { $( $section: $Section { $(
                    $key: sections!(@read reader, concat!(stringify!($section), ".", stringify!($key)),
                        $type, [$($via)?], $default, [$($range)?]),
                )+ }, )+ }
            }
        }
    };
    (@read $reader:ident, $key:expr, $type:ty, [], $default:expr, []) => {
        $reader.take::<$type>($key).unwrap_or_else(|| $default)
    };
    (@read $reader:ident, $key:expr, $type:ty, [], $default:expr, [$range:expr]) => {
        $reader.take_in::<$type>($key, $range).unwrap_or_else(|| $default)
    };
    (@read $reader:ident, $key:expr, $type:ty, [$via:ty], $default:expr, [$range:expr]) => {
        $reader.take_in::<$via>($key, <$via>::from(*$range.start())..=<$via>::from(*$range.end()))
            .map_or_else(|| $default, <$type>::from)
    };
}

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

const fn s(n: u64) -> Duration {
    Duration::from_secs(n)
}

const HOUR: Duration = s(3_600);
const DAY: Duration = s(86_400);
const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;

sections! {
    /// The HTTP server.
    server: Server {
        /// The address to listen on; port 0 takes a free one. A name is resolved at the start, IPv4 first.
        listen: Listen = Listen::from(([127, 0, 0, 1], 8080));
        /// Hosts that clients may ask for, without ports; `*` is any. Empty: where it listens, and with tokens any.
        allowed_hosts: Vec<AllowedHost> = Vec::new();
        /// Origins (`https://example.org`) that may open a WebSocket besides the service's own host; `*` is all.
        allowed_origins: Vec<String> = Vec::new();
        /// Proxies whose `X-Forwarded-For` says where a client is; without them it is who connects.
        trusted_proxies: Vec<Network> = Vec::new();
        /// How long the headers of a request may take to come, also on a connection that is idle; and how long nothing of a
        /// body may come, or nothing of an answer be taken.
        io_timeout: Duration = s(20), in ms(100)..=HOUR;
        /// How long a stop may take before what is left is cut off.
        shutdown_grace: Duration = s(10), in s(0)..=HOUR;
    }

    /// The event log.
    database: Database {
        /// Where it is: `sqlite://path/to/file`, made when absent, or `postgres://user:password@host:port/database`.
        url: DatabaseUrl = DatabaseUrl::new("sqlite://data/scriptorium.db");
        /// Connections for reading. For writing there is one more in SQLite, and in Postgres one for each lane.
        pool: u32 = 4, in 1..=256;
        /// Connections to Postgres that append side by side, each its share of the documents.
        lanes: u32 = 4, in 1..=64;
    }

    /// Who may come in.
    auth: Auth {
        /// `none`: everybody is a guest with every permission. `jwt`: only with a token.
        mode: AuthMode = AuthMode::None;
        /// The shared secret of HS256 tokens, 32 bytes or more.
        hs256_secret: Option<Secret> = None;
        /// A PEM file with the public key of RS256, ES256 or `EdDSA` tokens.
        public_key_file: Option<PathBuf> = None;
        /// A JSON file with a JWK Set; a token's `kid` chooses among its keys. SIGHUP reads it again.
        jwks_file: Option<PathBuf> = None;
        /// What a token's `iss` must be.
        issuer: Option<String> = None;
        /// What a token's `aud` must be or contain.
        audience: Option<String> = None;
        /// How far the clocks of token issuers may be off.
        leeway: Duration = s(0), in s(0)..=HOUR;
        /// How often the log is asked for revocations that came from elsewhere.
        revocations_poll: Duration = s(2), in ms(50)..=HOUR;
        /// The explicit word for mode `none` on an address that others can reach.
        allow_open: bool = false;
    }

    /// What one client or document may take.
    limits: Limits {
        /// One frame from a client, in bytes; a larger one closes the connection with 1009.
        message_bytes: usize as Bytes = MIB, in KIB..=GIB;
        /// A document that comes in by `import`, in bytes; a larger one gets HTTP 413.
        import_bytes: usize as Bytes = 16 * MIB, in KIB..=GIB;
        /// Bodies of requests that are under way or in work, in bytes: half of it for imports, half for all others; one user
        /// has half of a half. More get HTTP 503.
        body_bytes: usize as Bytes = 128 * MIB, in KIB..=64 * GIB;
        /// Lines of a document that comes in as Markdown or HTML, and stretches in them that look alike, together; with
        /// more it gets HTTP 413.
        import_operations: usize = 500_000, in 1..=1_000_000_000;
        /// The length of a document, in UTF-16 units.
        document_length: usize = 10_000_000, in 1..=1_000_000_000;
        /// Operations in one edit.
        edit_components: usize = 10_000, in 1..=10_000_000;
        /// Attributes of one operation.
        attributes: usize = 100, in 0..=100_000;
        /// All attributes of one operation together, in bytes of JSON.
        attribute_bytes: usize as Bytes = 16 * KIB, in 2..=GIB;
        /// Comments of a document, replies included.
        comments: usize = 10_000, in 0..=1_000_000;
        /// All comments of a document and what they quote, in bytes.
        comment_bytes: usize as Bytes = 8 * MIB, in KIB..=GIB;
        /// What may wait for a client that reads slowly, in bytes; with more, it is cut off and resumes.
        outbox_bytes: usize as Bytes = 8 * MIB, in 64 * KIB..=GIB;
        /// Whole documents on their way to clients, in bytes of all connections together; readers of one version share them.
        /// With more, those that come wait.
        sync_bytes: usize as Bytes = 256 * MIB, in MIB..=64 * GIB;
        /// Commands that may wait for one document; with more, its connections are not read from.
        document_inbox: usize = 1_024, in 1..=1_000_000;
        /// Open connections, of any kind; more get HTTP 503.
        connections: usize = 20_000, in 1..=10_000_000;
        /// Open connections of one user; more are closed with 4004.
        connections_per_user: usize = 1_000, in 1..=10_000_000;
        /// New connections from one address; more get HTTP 429.
        address_connections: Option<Rate> = Some(Rate::per_second(1_000, 20_000));
        /// New connections of one user; more are closed with 4004.
        user_connections: Option<Rate> = Some(Rate::per_second(1_000, 20_000));
        /// Messages that are no edits, on one connection; more are refused with `RATE_LIMITED`.
        messages: Option<Rate> = Some(Rate::per_second(200, 2_000));
        /// The same, on all connections of one user.
        user_messages: Option<Rate> = Some(Rate::per_second(1_000, 10_000));
        /// The same, on all connections from one address.
        address_messages: Option<Rate> = Some(Rate::per_second(10_000, 100_000));
        /// Requests over HTTP of one user; more get HTTP 429.
        user_requests: Option<Rate> = Some(Rate::per_second(200, 2_000));
        /// The same, of all from one address, whoever they are.
        address_requests: Option<Rate> = Some(Rate::per_second(2_000, 20_000));
        /// Refusals of messages for their rate, on one connection; one who goes on is closed with 4004.
        refusals: Option<Rate> = Some(Rate::per_second(20, 1_000));
    }

    /// How a dead peer is noticed.
    heartbeat: Heartbeat {
        /// How often the server pings.
        interval: Duration = s(30), in ms(10)..=DAY;
        /// How long a peer may be silent, or take nothing of what waits for it; longer than the interval.
        timeout: Duration = s(75), in ms(20)..=DAY;
    }

    /// Documents.
    documents: Documents {
        /// Whether opening an unknown id gives an empty document.
        auto_create: bool = true;
        /// How many missed events a resuming client may get one by one; with more, it gets the whole document.
        max_resume_events: usize = 10_000, in 0..=10_000_000;
        /// Edits that an open document keeps in memory, for clients that are behind.
        recent_edits: usize = 2_000, in 1..=10_000_000;
        /// Edits that one append to the log may hold.
        batch: usize = 512, in 1..=100_000;
        /// How long a document stays in memory when nobody has it open.
        idle_unload: Duration = s(60), in s(0)..=DAY;
    }

    /// Saved states, which make opening fast. They can always be derived again.
    snapshots: Snapshots {
        /// After how many events one is saved.
        every_events: u64 = 1_000, in 1..=100_000_000;
        /// After how many bytes of events one is saved, if that comes first.
        every_bytes: usize as Bytes = MIB, in KIB..=GIB;
        /// How many are kept per document, the newest.
        keep: u32 = 2, in 1..=1_000;
        /// Of the older ones as many are kept as it takes that so many events lie between two; 0 keeps none.
        history_every: u64 = 2_500, in 0..=100_000_000;
    }

    /// What is kept beside documents. It can always be derived again.
    projections: Projections {
        /// How many events what is kept of a document may be behind before it is folded on; of a large state as many as
        /// take its room, if those are more.
        every_events: u64 = 1_000, in 1..=100_000_000;
        /// How often it is looked what is behind.
        interval: Duration = s(1), in ms(10)..=HOUR;
    }

    /// Who is in a document, and where.
    presence: Presence {
        /// How often one who moves their cursor is told of, and recorded, at most: what comes faster is merged.
        merge_interval: Duration = ms(50), in ms(0)..=s(60);
        /// How long is kept who was where.
        retention: Duration = 7 * DAY, in s(1)..=3_650 * DAY;
    }

    /// This process among those that share a log.
    cluster: Cluster {
        /// Its name among them. A process that comes back under its name knows what it left behind; empty: one is chosen.
        node_id: Option<String> = None;
        /// After how long without a sign of life the others take it for dead, and its people for gone.
        lease: Duration = s(30), in ms(100)..=HOUR;
        /// How often a node looks for itself whether others have written to what is open there, or followed.
        poll: Duration = s(2), in ms(10)..=HOUR;
        /// How nodes on one PostgreSQL tell each other that something was written: `postgres` (`NOTIFY`) or `nats`.
        doorbell: DoorbellWay = DoorbellWay::Postgres;
        /// Where that NATS is: `nats://user:password@host:4222`, `tls://` for TLS, several with commas between.
        nats_url: Option<Secret> = None;
    }

    /// Measurements, at `/metrics`.
    metrics: Measurements {
        /// How often waiting samples are sorted into their buckets.
        upkeep: Duration = s(1), in ms(10)..=s(60);
    }

    /// Logs, on standard error.
    log: Log {
        /// `text` for people, `json` for machines.
        format: LogFormat = LogFormat::Text;
        /// A level (`error`, `warn`, `info`, `debug`, `trace`), or one per module: `info,scriptorium=debug`.
        level: String = "info".to_owned();
    }
}

impl Cluster {
    /// The address of the NATS that nodes ring by, where they do.
    pub fn nats(&self) -> Option<String> {
        let url = self.nats_url.as_ref().filter(|_| self.doorbell == DoorbellWay::Nats)?;
        Some(url.expose().to_owned())
    }
}

impl Settings {
    /// Reads all layers, for the working directory and the environment of this process.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn load(config: Option<&Path>) -> Result<Self, SettingsError> {
        let mut layers = Layers::default();
        layers.add_file_if_present(Path::new("config/default.toml"));
        if let Some(config) = config {
            layers.add_file(config);
        }
        layers.add_environment(std::env::vars_os());
        Self::from_layers(layers)
    }

    fn from_layers(layers: Layers) -> Result<Self, SettingsError> {
        let mut reader = Reader::new(layers);
        let settings = Self::read(&mut reader);
        rules::check(&settings, &mut reader);
        reader.finish().map(|()| settings)
    }
}

#[cfg(test)]
mod tests;
