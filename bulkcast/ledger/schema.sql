-- The ledger, version 1.  Times are Unix seconds of this computer's clock.
-- `crc` columns hold CRC-32 over the row's other frozen columns; see store.py.

CREATE TABLE runs (
    run         TEXT PRIMARY KEY,
    root_url    TEXT NOT NULL,
    sid         TEXT NOT NULL,
    created_at  REAL NOT NULL,
    header      TEXT NOT NULL,      -- JSON: sheet, layout, options, parent, counts of rows and requests
    crc         INTEGER NOT NULL,
    finished_at REAL,
    stop        TEXT                -- JSON of a Stop; null where the run went through
) STRICT, WITHOUT ROWID;

CREATE TABLE requests (
    run         TEXT NOT NULL REFERENCES runs (run),
    seq         INTEGER NOT NULL,   -- sending order
    key         TEXT NOT NULL,
    frozen      TEXT NOT NULL,      -- JSON of a Request: rows, target, body, locks_at, after
    crc         INTEGER NOT NULL,
    n_rows      INTEGER NOT NULL,
    status      TEXT,               -- null until it has ended
    outcome     TEXT,               -- JSON of an Outcome
    outcome_crc INTEGER,
    PRIMARY KEY (run, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE settled (              -- rows that needed no request, and what was found in rows
    run         TEXT NOT NULL REFERENCES runs (run),
    row         INTEGER NOT NULL,
    status      TEXT,               -- null where a request decides
    outcome     TEXT,               -- JSON of an Outcome
    issues      TEXT NOT NULL,      -- JSON list of Issues
    crc         INTEGER NOT NULL,
    PRIMARY KEY (run, row)
) STRICT, WITHOUT ROWID;

CREATE TABLE attempts (
    run         TEXT NOT NULL,
    key         TEXT NOT NULL,
    number      INTEGER NOT NULL,
    stamp       REAL NOT NULL,      -- the intent: on disk before the request's first byte leaves
    ended       REAL,               -- null while it is under way, or for ever after a crash
    code        TEXT,
    ambiguous   INTEGER,
    PRIMARY KEY (run, key, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX attempts_by_stamp ON attempts (stamp);
