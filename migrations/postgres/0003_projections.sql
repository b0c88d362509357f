-- Projections that are kept: what is folded from a document's events beside the document itself. docs/events.md says
-- how. Always derivable again, so any row of both tables may be deleted at any time.

-- One row per generation of a projection. A new one is built beside the one in use, and takes its place when it has
-- caught up with the log.
CREATE TABLE projections (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name     text   COLLATE "C" NOT NULL,               -- with the form of its states: blame.1
    position bigint NOT NULL,                           -- what the feed has up to here is in it, but for streams not gone through yet
    building text   COLLATE "C",                        -- the streams have been gone through up to this name; NULL when all have been
    in_use   bigint NOT NULL                            -- 1 when it has caught up
);
CREATE UNIQUE INDEX projections_being_built ON projections (name) WHERE in_use = 0;

-- States, each as of an event. A row never changes: of one place there is only one state.
CREATE TABLE kept (
    projection bigint NOT NULL REFERENCES projections (id),
    stream     bigint NOT NULL REFERENCES streams (id),
    seq        bigint NOT NULL,
    size       bigint NOT NULL,                         -- of the content, in bytes
    content    text   NOT NULL,
    PRIMARY KEY (projection, stream, seq)
);
