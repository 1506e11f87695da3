"""Many institutions on many machines: who sends for whom, and how fast, kept in PostgreSQL.

A lane is all sending for one institution; one worker at a time drains it, in slices of up to a
minute.  Procrastinate hands lanes to workers; a lease with an epoch decides who may send.
Institutions go by their canonical name, such as `https://api.eeo.cn 1000082`.

    schema      tables, and their version
    database    connections that survive a restart of PostgreSQL
    leases      the right to a lane
    shared_pace start times of requests, leased from one row per institution
    jobs        Procrastinate: one waiting job per lane; what was lost is made again
    worker      the process that drains lanes
    control     pause, resume, cancel
    fleet_status  workers, lanes, paces, the oldest wait
    audit       who did what, when, from where
    metrics     counters for Prometheus

It needs the packages of `bulkcast[fleet]`, so nothing else imports it unless a database is given.
"""
