-- What the fleet keeps beside the ledger and Procrastinate's own tables, version 1.  Its lanes are
-- in the ledger's schema, as the ledger's commits check their epochs.
-- Times are those of PostgreSQL's clock: the clocks of workers do not matter.

CREATE TABLE IF NOT EXISTS fleet_version (
    version     integer NOT NULL
);

INSERT INTO fleet_version SELECT 1 WHERE NOT EXISTS (SELECT FROM fleet_version);

CREATE TABLE IF NOT EXISTS paces (
    institution text PRIMARY KEY,
    tat         timestamptz NOT NULL DEFAULT '-infinity',   -- the first start time not given out yet
    held_until  timestamptz NOT NULL DEFAULT '-infinity',   -- ClassIn asked for a pause until then
    share       float8 NOT NULL DEFAULT 1                   -- of the full rate, after throttling
);

CREATE TABLE IF NOT EXISTS cancellations (
    run         text PRIMARY KEY,
    institution text NOT NULL,
    asked_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE IF NOT EXISTS workers (
    worker      text PRIMARY KEY,
    host        text NOT NULL,
    pid         integer NOT NULL,
    concurrency integer NOT NULL,
    version     text NOT NULL,
    lanes       integer NOT NULL,           -- institutions that it has credentials for
    started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE IF NOT EXISTS audit (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    action      text NOT NULL,
    run         text,
    institution text,
    who         text NOT NULL,
    host        text NOT NULL,
    details     text NOT NULL DEFAULT ''
);
