-- Processes that share this log, each life of one a row, and where they have people. What a life that ended without a
-- goodbye leaves here tells whoever finds it who has to be marked as gone.

CREATE TABLE nodes (
    node        TEXT    NOT NULL,
    incarnation INTEGER NOT NULL,           -- which of its lives; a later one has a higher number
    lease       INTEGER NOT NULL,           -- a life that has not grown its beats for so many microseconds is over
    beats       INTEGER NOT NULL,
    PRIMARY KEY (node, incarnation)
) STRICT, WITHOUT ROWID;

CREATE TABLE node_streams (
    node        TEXT    NOT NULL,
    incarnation INTEGER NOT NULL,
    stream      TEXT    NOT NULL,           -- presence:ID of a document where this life has people
    PRIMARY KEY (node, incarnation, stream)
) STRICT, WITHOUT ROWID;
