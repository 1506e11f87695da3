-- The ledger on PostgreSQL, version 1: the tables of schema.sql, and those that several computers
-- need.  Later versions come in files of their own, applied in turn.  Times in double precision are
-- Unix seconds; moments in timestamptz are of the database's own clock, by which ages are counted.

CREATE TABLE ledger_version (version integer NOT NULL);
INSERT INTO ledger_version VALUES (1);

CREATE TABLE runs (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run         text NOT NULL UNIQUE,
    root_url    text NOT NULL,
    sid         text NOT NULL,
    created_at  double precision NOT NULL,
    header      text NOT NULL,
    crc         bigint NOT NULL,
    finished_at double precision,
    stop        text,
    purged_at   double precision,
    end_crc     bigint NOT NULL
);

CREATE INDEX runs_open ON runs (root_url, sid) WHERE finished_at IS NULL;

CREATE TABLE requests (
    run_id      bigint NOT NULL REFERENCES runs (id),
    seq         integer NOT NULL,
    key         text NOT NULL,
    rows        text NOT NULL,
    n_rows      integer NOT NULL,
    target      text NOT NULL,
    frozen      text NOT NULL,
    crc         bigint NOT NULL,
    PRIMARY KEY (run_id, seq)
);

CREATE INDEX requests_by_target ON requests (target);

CREATE TABLE attempts (
    run_id      bigint NOT NULL,
    seq         integer NOT NULL,
    number      integer NOT NULL,
    stamp       double precision NOT NULL,
    ahead_s     double precision NOT NULL,
    boot        bigint,             -- no computer's own clock is believed here
    tick        double precision,
    crc         bigint NOT NULL,
    ended       double precision,
    code        text,
    ambiguous   integer,
    end_crc     bigint,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run_id, seq, number)
);

CREATE INDEX attempts_by_moment ON attempts (recorded_at);

CREATE TABLE outcomes (
    run_id      bigint NOT NULL,
    seq         integer NOT NULL,
    status      text NOT NULL,
    attempts    integer NOT NULL,
    outcome     text NOT NULL,
    crc         bigint NOT NULL,
    PRIMARY KEY (run_id, seq)
);

CREATE TABLE settled (
    run_id      bigint NOT NULL REFERENCES runs (id),
    row         integer NOT NULL,
    status      text,
    outcome     text,
    issues      text NOT NULL,
    crc         bigint NOT NULL,
    PRIMARY KEY (run_id, row)
);

CREATE TABLE acknowledged (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    institution text NOT NULL,
    target      text NOT NULL,
    run         text NOT NULL,
    seq         integer NOT NULL,
    at          double precision NOT NULL,
    sure        integer NOT NULL
);

CREATE INDEX acknowledged_by_target ON acknowledged (target, institution);

CREATE TABLE sheets (               -- the copy of a run's sheet; gone once the run is purged
    run_id      bigint PRIMARY KEY REFERENCES runs (id),
    content     bytea NOT NULL
);

CREATE TABLE lanes (                -- who may send for an institution
    institution text PRIMARY KEY,   -- as `canonical` spells it
    epoch       bigint NOT NULL DEFAULT 0,  -- one more each time somebody takes the lane
    worker      text,
    expires_at  timestamptz NOT NULL DEFAULT '-infinity',
    paused      boolean NOT NULL DEFAULT false,
    memory      text NOT NULL DEFAULT '{}'  -- what one slice of sending leaves for the next
);

-- SQLite's function of this name, for the paths that the ledger uses: $[2].run
-- PostgreSQL decodes the whole document and refuses NUL and halves of surrogate pairs, which a cell
-- or ClassIn may have: they are left out, and an escaped backslash before them is none of theirs.
CREATE FUNCTION json_extract(document text, path text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN document ~ '\\u(0000|[dD][89a-fA-F])'
        THEN regexp_replace(document, '(\\[^u])|\\u(0000|[dD][89a-fA-F][0-9a-fA-F]{2})', '\1', 'g')
        ELSE document
    END::json #>> string_to_array(
        trim(BOTH ',' FROM regexp_replace(path, '[^0-9a-z_]+', ',', 'g')), ','
    )
$$;

CREATE FUNCTION acknowledge() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status IN ('applied', 'unconfirmed') OR EXISTS (
        SELECT 1 FROM attempts
        WHERE run_id = NEW.run_id AND seq = NEW.seq AND ambiguous = 1
    ) THEN
        INSERT INTO acknowledged (institution, target, run, seq, at, sure)
        SELECT
            root_url || ' ' || sid,
            target,
            run,
            NEW.seq,
            COALESCE(
                CAST(json_extract(NEW.outcome, '$[4]') AS double precision),
                (SELECT MAX(stamp) FROM attempts WHERE run_id = NEW.run_id AND seq = NEW.seq),
                created_at
            ),
            CAST(NEW.status = 'applied' AS integer)
        FROM runs JOIN requests ON run_id = id
        WHERE id = NEW.run_id AND seq = NEW.seq;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER acknowledge_first AFTER INSERT ON outcomes
FOR EACH ROW EXECUTE FUNCTION acknowledge();

-- A commit that was repeated, because its answer was lost, acknowledges nothing twice; what a purge
-- erases is no news either.
CREATE TRIGGER acknowledge_again AFTER UPDATE ON outcomes FOR EACH ROW
WHEN (NEW.outcome IS DISTINCT FROM OLD.outcome AND (NEW.status, NEW.attempts) <> (OLD.status, OLD.attempts))
EXECUTE FUNCTION acknowledge();
