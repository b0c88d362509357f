-- The event log. docs/events.md says what the texts hold and how to read them.

-- One row per stream, with its head: the place, version and time of its last event.
CREATE TABLE streams (
    id          INTEGER PRIMARY KEY,
    name        TEXT    NOT NULL UNIQUE,    -- document:ID
    seq         INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL            -- microseconds since 1970-01-01T00:00:00Z, as everywhere
) STRICT;

-- Append only. The rowid orders all events of all streams; the two unique indexes are the referee for
-- whoever writes. More indexes would cost more than the rest of an insert.
CREATE TABLE events (
    position    INTEGER PRIMARY KEY,
    stream      INTEGER NOT NULL REFERENCES streams (id),
    seq         INTEGER NOT NULL,           -- 1, 2, 3, … in its stream, without gaps
    version     INTEGER NOT NULL,           -- of the document after it
    message_id  TEXT    NOT NULL,
    recorded_at INTEGER NOT NULL,
    body        TEXT    NOT NULL,           -- JSON on one line: what a fold reads
    cause       TEXT    NOT NULL,           -- JSON: everything else
    UNIQUE (stream, seq),
    UNIQUE (stream, message_id)
) STRICT;

-- Folded documents. Always derivable again, so any row may be deleted at any time.
CREATE TABLE snapshots (
    stream        INTEGER NOT NULL REFERENCES streams (id),
    seq           INTEGER NOT NULL,
    version       INTEGER NOT NULL,
    last_modified INTEGER,
    content       TEXT    NOT NULL,
    PRIMARY KEY (stream, seq)
) STRICT;

-- Written by whoever wants to know whether the database can be written.
CREATE TABLE write_checks (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    checks INTEGER NOT NULL
) STRICT;
