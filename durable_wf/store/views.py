"""The SQL views of log.db: what people may build on with any SQL tool.

Owns: `v_runs`, `v_tasks`, `v_attempts`; names and columns are kept from version to version.
Must never: be used by durable_wf itself.
Read next: `schema.py`.

Times are ISO-8601 UTC with microseconds. A task stands in `v_tasks` once it has an event of its
own; those that a run closed before they ever started are counted in `v_runs` only.
"""

from __future__ import annotations


def _iso(column: str) -> str:
    return (
        f"strftime('%Y-%m-%dT%H:%M:%S', {column} / 1000000, 'unixepoch')"
        f" || printf('.%06dZ', {column} % 1000000)"
    )


RUNS = f"""CREATE VIEW v_runs AS SELECT
    run_id, workflow, status, total, pending, running, waiting, succeeded, failed, skipped,
    cancelled, {_iso("created_at")} AS created_at, {_iso("started_at")} AS started_at,
    {_iso("ended_at")} AS ended_at, {_iso("wake_at")} AS wake_at, engine, cause, tags,
    origin, origin_n, root
FROM runs"""  # noqa: S608  made of constants

ATTEMPTS = f"""CREATE VIEW v_attempts AS SELECT
    runs.run_id, s.task, s.attempt,
    CASE e.kind WHEN 'AttemptSucceeded' THEN 'succeeded' WHEN 'AttemptFailed' THEN 'failed'
        WHEN 'AttemptReturned' THEN 'returned' WHEN 'AttemptDisproved' THEN 'disproved'
        ELSE 'running' END AS status,
    json_extract(e.body, '$.fault.kind') AS fault,
    json_extract(e.body, '$.fault.message') AS message,
    {_iso("s.at")} AS announced_at, {_iso("e.at")} AS ended_at,
    json_extract(e.body, '$.wall_us') / 1e6 AS wall_s,
    json_extract(e.body, '$.cpu_us') / 1e6 AS cpu_s,
    json_extract(e.body, '$.rss_kib') AS rss_kib,
    json_extract(s.body, '$.worker') AS worker
FROM events AS s
JOIN runs USING (run)
LEFT JOIN events AS e ON e.seq = (
    SELECT min(seq) FROM events
    WHERE run = s.run AND n > s.n AND task = s.task AND attempt = s.attempt
        AND kind IN ('AttemptSucceeded', 'AttemptFailed', 'AttemptReturned', 'AttemptDisproved'))
WHERE s.kind = 'AttemptStarted'"""  # noqa: S608

TASKS = f"""CREATE VIEW v_tasks AS
WITH last AS (
    SELECT run, task, max(n) AS n, max(attempt) AS attempts, min(at) AS first_at
    FROM events WHERE run > 0 AND task <> '' GROUP BY run, task)
SELECT
    runs.run_id, last.task,
    CASE e.kind WHEN 'AttemptStarted' THEN 'running' WHEN 'AttemptSucceeded' THEN 'succeeded'
        WHEN 'AttemptFailed' THEN 'faulted' WHEN 'AttemptRefused' THEN 'faulted'
        WHEN 'TaskRetryScheduled' THEN 'waiting' WHEN 'TaskWaiting' THEN 'waiting'
        WHEN 'TaskEscalated' THEN 'waiting' WHEN 'OperatorDecided' THEN 'waiting'
        WHEN 'TaskFailed' THEN 'failed' WHEN 'TaskSkipped' THEN 'skipped'
        WHEN 'TaskFellBack' THEN 'succeeded' WHEN 'TaskCompleted' THEN 'succeeded'
        WHEN 'TaskImported' THEN 'succeeded' WHEN 'TaskCancelled' THEN 'cancelled'
        ELSE 'pending' END AS status,
    last.attempts, {_iso("last.first_at")} AS started_at, {_iso("e.at")} AS changed_at
FROM last
JOIN events AS e ON e.run = last.run AND e.n = last.n
JOIN runs ON runs.run = last.run"""  # noqa: S608

ALL: tuple[str, ...] = (RUNS, ATTEMPTS, TASKS)

# Views of version 1, as they were released.

_RUNS_1 = f"""CREATE VIEW v_runs AS SELECT
    run_id, workflow, status, total, pending, running, waiting, succeeded, failed, skipped,
    cancelled, {_iso("created_at")} AS created_at, {_iso("started_at")} AS started_at,
    {_iso("ended_at")} AS ended_at, {_iso("wake_at")} AS wake_at, engine, cause, tags
FROM runs"""  # noqa: S608  made of constants

_ATTEMPTS_1 = f"""CREATE VIEW v_attempts AS SELECT
    runs.run_id, s.task, s.attempt,
    CASE e.kind WHEN 'AttemptSucceeded' THEN 'succeeded' WHEN 'AttemptFailed' THEN 'failed'
        WHEN 'AttemptReturned' THEN 'returned' ELSE 'running' END AS status,
    json_extract(e.body, '$.fault.kind') AS fault,
    json_extract(e.body, '$.fault.message') AS message,
    {_iso("s.at")} AS announced_at, {_iso("e.at")} AS ended_at,
    json_extract(e.body, '$.wall_us') / 1e6 AS wall_s,
    json_extract(e.body, '$.cpu_us') / 1e6 AS cpu_s,
    json_extract(e.body, '$.rss_kib') AS rss_kib,
    json_extract(s.body, '$.worker') AS worker
FROM events AS s
JOIN runs USING (run)
LEFT JOIN events AS e ON e.seq = (
    SELECT min(seq) FROM events
    WHERE run = s.run AND n > s.n AND task = s.task AND attempt = s.attempt
        AND kind IN ('AttemptSucceeded', 'AttemptFailed', 'AttemptReturned'))
WHERE s.kind = 'AttemptStarted'"""  # noqa: S608

_TASKS_1 = f"""CREATE VIEW v_tasks AS
WITH last AS (
    SELECT run, task, max(n) AS n, max(attempt) AS attempts, min(at) AS first_at
    FROM events WHERE run > 0 AND task <> '' GROUP BY run, task)
SELECT
    runs.run_id, last.task,
    CASE e.kind WHEN 'AttemptStarted' THEN 'running' WHEN 'AttemptSucceeded' THEN 'succeeded'
        WHEN 'AttemptFailed' THEN 'faulted' WHEN 'TaskRetryScheduled' THEN 'waiting'
        WHEN 'TaskFailed' THEN 'failed' WHEN 'TaskSkipped' THEN 'skipped'
        WHEN 'TaskFellBack' THEN 'succeeded' WHEN 'TaskCancelled' THEN 'cancelled'
        ELSE 'pending' END AS status,
    last.attempts, {_iso("last.first_at")} AS started_at, {_iso("e.at")} AS changed_at
FROM last
JOIN events AS e ON e.run = last.run AND e.n = last.n
JOIN runs ON runs.run = last.run"""  # noqa: S608

ALL_1: tuple[str, ...] = (_RUNS_1, _ATTEMPTS_1, _TASKS_1)
