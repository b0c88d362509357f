-- An erased stream keeps its head and its last event, which says that and when. Nothing is ever added to it again.
ALTER TABLE streams ADD COLUMN erased bigint NOT NULL DEFAULT 0;        -- 1 when it is
