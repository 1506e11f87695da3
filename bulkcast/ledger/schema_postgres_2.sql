-- The ledger on PostgreSQL: what version 2 adds to version 1.

CREATE TABLE remarks (              -- what workers remarked while they sent; erased by a purge
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id      bigint NOT NULL REFERENCES runs (id),
    remark      text NOT NULL,      -- JSON of a Text: a template and its arguments
    crc         bigint NOT NULL,
    UNIQUE (run_id, crc)            -- of the run and the remark: the same one is stored once
);

ALTER TABLE lanes ADD COLUMN left_at timestamptz;  -- when its memory was left, by this clock

-- Version 1 left them there.
DELETE FROM sheets USING runs WHERE id = run_id AND purged_at IS NOT NULL;

UPDATE ledger_version SET version = 2;
