-- The event log. docs/events.md says what the texts hold and how to read them.

-- One row per stream, with its head: the place, version and time of its last event. Who appends to a stream locks
-- its row first. The row changes with each append and no index knows what changes, so room is left in the page.
CREATE TABLE streams (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text   COLLATE "C" NOT NULL UNIQUE,     -- document:ID
    seq         bigint NOT NULL,
    version     bigint NOT NULL,
    recorded_at bigint NOT NULL                         -- microseconds since 1970-01-01T00:00:00Z, as everywhere
) WITH (fillfactor = 50);

-- Append only. The position is taken while the stream's row is locked: within a stream it grows as the seq does. Of
-- different streams a higher one may be committed first. The two unique indexes are the referee for whoever writes.
-- The stream is not declared as a reference: the one statement that inserts here takes it from the row it has locked,
-- and to look it up again for each event would prove what is known already.
CREATE TABLE events (
    position    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream      bigint NOT NULL,
    seq         bigint NOT NULL,                        -- 1, 2, 3, … in its stream, without gaps
    version     bigint NOT NULL,                        -- of the document after it
    message_id  text   COLLATE "C" NOT NULL,
    recorded_at bigint NOT NULL,
    body        text   NOT NULL,                        -- JSON on one line: what a fold reads
    cause       text   NOT NULL,                        -- JSON: everything else
    UNIQUE (stream, seq),
    UNIQUE (stream, message_id)
);

-- Folded documents. Always derivable again, so any row may be deleted at any time.
CREATE TABLE snapshots (
    stream        bigint NOT NULL REFERENCES streams (id),
    seq           bigint NOT NULL,
    version       bigint NOT NULL,
    last_modified bigint,
    content       text   NOT NULL,
    PRIMARY KEY (stream, seq)
);

-- Written by whoever wants to know whether the database can be written.
CREATE TABLE write_checks (
    id     bigint PRIMARY KEY CHECK (id = 1),
    checks bigint NOT NULL
);
