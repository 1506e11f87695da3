-- The ledger, version 1.  Times are Unix seconds of this computer's clock.
-- `crc` columns hold CRC-32 over the row's other columns; see codec.py.
-- Requests are numbered in sending order, so that what is written together lies together.

CREATE TABLE runs (
    id          INTEGER PRIMARY KEY,
    run         TEXT NOT NULL UNIQUE,
    root_url    TEXT NOT NULL,
    sid         TEXT NOT NULL,
    created_at  REAL NOT NULL,
    header      TEXT NOT NULL,      -- JSON of a RunHeader
    crc         INTEGER NOT NULL,
    finished_at REAL,
    stop        TEXT,               -- JSON of a Stop; null where the run went through
    purged_at   REAL,               -- when what its rows held was taken away
    end_crc     INTEGER NOT NULL    -- over the three before it
) STRICT;

CREATE TABLE requests (             -- frozen when the run begins
    run_id      INTEGER NOT NULL REFERENCES runs (id),
    seq         INTEGER NOT NULL,   -- sending order
    key         TEXT NOT NULL,
    rows        TEXT NOT NULL,      -- the sheet's rows that share it: 5,9
    n_rows      INTEGER NOT NULL,
    target      TEXT NOT NULL,      -- the classroom: ["activityId",25096094]
    frozen      TEXT NOT NULL,      -- JSON of the rest of a Request; empty once it is purged
    crc         INTEGER NOT NULL,
    PRIMARY KEY (run_id, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX requests_by_target ON requests (target);   -- has a newer run set it since?

CREATE TABLE boots (                -- each time a computer was started
    id          INTEGER PRIMARY KEY,
    boot        TEXT NOT NULL UNIQUE,   -- the system's own name for it; empty where it has none
    crc         INTEGER NOT NULL
) STRICT;

CREATE TABLE attempts (
    run_id      INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    number      INTEGER NOT NULL,
    stamp       REAL NOT NULL,      -- the intent: on disk before the request's first byte leaves
    ahead_s     REAL NOT NULL,      -- how far the stamp it bore was ahead of ClassIn's clock
    boot        INTEGER REFERENCES boots (id),
    tick        REAL,               -- the same moment in seconds since then, which nobody sets
    crc         INTEGER NOT NULL,
    ended       REAL,               -- null for the last one, whose end is the outcome
    code        TEXT,
    ambiguous   INTEGER,
    end_crc     INTEGER,            -- over the three before it
    PRIMARY KEY (run_id, seq, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX attempts_by_stamp ON attempts (stamp);

CREATE TABLE outcomes (             -- how requests ended; replaced when a resumed one ends again
    run_id      INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    status      TEXT NOT NULL,
    attempts    INTEGER NOT NULL,   -- those with a greater number are not over
    outcome     TEXT NOT NULL,      -- JSON of an Outcome
    crc         INTEGER NOT NULL,
    PRIMARY KEY (run_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE settled (              -- rows that needed no request, and what was found in rows
    run_id      INTEGER NOT NULL REFERENCES runs (id),
    row         INTEGER NOT NULL,
    status      TEXT,               -- null where a request decides
    outcome     TEXT,               -- JSON of an Outcome
    issues      TEXT NOT NULL,      -- JSON list of Issues
    crc         INTEGER NOT NULL,
    PRIMARY KEY (run_id, row)
) STRICT, WITHOUT ROWID;

CREATE TABLE acknowledged (         -- what took effect, or may have, in the order it was learned
    id          INTEGER PRIMARY KEY,
    institution TEXT NOT NULL,      -- root URL and SID
    target      TEXT NOT NULL,      -- ["activityId",25096094]
    run         TEXT NOT NULL,      -- by name: this stays when a run is purged
    seq         INTEGER NOT NULL,   -- the request that holds what was set, if it is still there
    at          REAL NOT NULL,
    sure        INTEGER NOT NULL    -- 0 where nobody confirmed it
) STRICT;

CREATE INDEX acknowledged_by_target ON acknowledged (target, institution);

CREATE TRIGGER acknowledge AFTER INSERT ON outcomes     -- so that neither stands without the other
WHEN NEW.status IN ('applied', 'unconfirmed') OR EXISTS (
    SELECT 1 FROM attempts WHERE run_id = NEW.run_id AND seq = NEW.seq AND ambiguous
)
BEGIN
    INSERT INTO acknowledged (institution, target, run, seq, at, sure)
    SELECT
        root_url || ' ' || sid,
        target,
        run,
        NEW.seq,
        COALESCE(
            json_extract(NEW.outcome, '$[4]'),
            (SELECT MAX(stamp) FROM attempts WHERE run_id = NEW.run_id AND seq = NEW.seq),
            created_at
        ),
        NEW.status = 'applied'
    FROM runs JOIN requests ON run_id = id
    WHERE id = NEW.run_id AND seq = NEW.seq;
END;
