"""Settings that users know from elsewhere and that have no meaning here: why, and what there is instead.

One table for the error of an unknown setting, for `surefoot config validate` and `migrate`, and for the settings page.
May import: the standard library.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

__all__ = ["ELSEWHERE", "Elsewhere", "find_elsewhere"]

_NO_SERVER: Final = "there is no server to start; runs are recorded on disk, or in the database of `ledger.url`"
_NO_HTTP: Final = "nothing is asked over HTTP; runs are recorded on the local disk"
_NOBODY: Final = "Surefoot talks to nobody but what its user configured"
_NO_WORKERS: Final = "a flow runs in the process that calls it; there are no workers and runners in this version"
_NO_DEPLOYMENTS: Final = "there are no deployments and work pools in this version"
_NO_SCHEDULES: Final = "there are no schedules in this version"
_NO_EVENTS: Final = "there are no events and automations in this version"
_NO_LIMITS: Final = "there are no limits across processes in this version"
_DEATH: Final = "a process holds a lock for as long as it lives, so its death is seen at once and without heartbeats"
_FOLDED: Final = "whoever reads folds first what was recorded; no service has to do it"
_ONE_URL: Final = "the database is named by one URL"
_NO_BLOCKS: Final = "there are no blocks; name a folder or a URL"
_NO_MODE: Final = "a test needs no mode, only a home of its own: SUREFOOT_HOME"
_LOGGING: Final = "logging is Python's own: call `logging.config` in your script"
_LOGS: Final = "log lines are appended to the journal on disk; none are sent in batches"


class Elsewhere(NamedTuple):
    """Why a setting is not needed here, and the one to set instead, if any. `same`: it takes the same values."""

    why: str
    instead: str = ""
    same: bool = False

    @property
    def do(self) -> str:
        """What to do with it."""
        return f"Set {self.instead} instead." if self.instead else "Take it out."


def _renamed(path: str) -> Elsewhere:
    return Elsewhere("it is called otherwise", path, True)


# Dotted names as users know them, older ones among them; `.*` is a whole group. The longest that fits counts.
ELSEWHERE: Final = {
    "ui_url": Elsewhere("there are no web pages in this version that it could lead to"),
    "silence_api_url_misconfiguration": Elsewhere("`api.url` is checked where it is read, and no more is said of it"),
    "api.tls_insecure_skip_verify": Elsewhere(_NO_HTTP),
    "api.ssl_cert_file": Elsewhere(_NO_HTTP),
    "api.enable_http2": Elsewhere(_NO_HTTP),
    "api.request_timeout": Elsewhere(_NO_HTTP),
    "client.*": Elsewhere(_NO_HTTP),
    "cloud.*": Elsewhere(_NOBODY),
    "deployments.*": Elsewhere(_NO_DEPLOYMENTS),
    "events.*": Elsewhere("what happens goes to the journal on disk", "journal.runs_budget_bytes"),
    "experiments.*": Elsewhere("what is there is finished; nothing is on trial that a warning could be about"),
    "flows.heartbeat_frequency": Elsewhere(_DEATH),
    "internal.*": Elsewhere("Surefoot keeps no log of itself; what concerns a run is in the run's log"),
    "logging.config_path": Elsewhere(_LOGGING),
    "logging.filters.*": Elsewhere(_LOGGING),
    "logging.formatters.*": Elsewhere(_LOGGING),
    "logging.handlers.*": Elsewhere(_LOGGING),
    "logging.loggers.*": Elsewhere(_LOGGING),
    "logging.root.*": Elsewhere(_LOGGING),
    "logging.markup": Elsewhere("log lines are shown as they were written, brackets and all"),
    "logging.internal_level": Elsewhere("Surefoot keeps no log of itself; what concerns a run is in the run's log"),
    "logging.server_level": Elsewhere(_NO_SERVER),
    "logging.to_api.*": Elsewhere(_LOGS),
    "logging.to_api.max_log_size": _renamed("logging.max_log_size"),
    "logging.to_api.when_missing_flow": Elsewhere("a line that is logged outside of a run goes where Python sends it"),
    "plugins.*": Elsewhere("nothing is loaded at the start that could set the environment; set it yourself"),
    "results.default_storage_block": Elsewhere(
        "there are no blocks; name a folder or a URL", "results.default_storage"
    ),
    "default_result_storage_block": Elsewhere(_NO_BLOCKS, "results.default_storage"),
    "local_storage_path": _renamed("results.local_storage_path"),
    "flow.default_retries": _renamed("flows.default_retries"),
    "flow.default_retry_delay_seconds": _renamed("flows.default_retry_delay_seconds"),
    "task.default_retries": _renamed("tasks.default_retries"),
    "task.default_retry_delay_seconds": _renamed("tasks.default_retry_delay_seconds"),
    "task_runner.thread_pool_max_workers": _renamed("tasks.runner.thread_pool_max_workers"),
    "runner.*": Elsewhere(_NO_WORKERS),
    "worker.*": Elsewhere(_NO_WORKERS),
    "server.*": Elsewhere(_NO_SERVER),
    "server.analytics_enabled": Elsewhere(_NOBODY),
    "server.deployment_schedule_max_scheduled_runs": Elsewhere(_NO_SCHEDULES),
    "server.memo_store_path": Elsewhere("there are no blocks to register"),
    "server.memoize_block_auto_registration": Elsewhere("there are no blocks to register"),
    "server.register_blocks_on_start": Elsewhere("there are no blocks to register"),
    "server.concurrency.*": Elsewhere(_NO_LIMITS),
    "server.deployments.*": Elsewhere(_NO_DEPLOYMENTS),
    "server.database.*": Elsewhere(_ONE_URL, "ledger.url"),
    "server.database.echo": Elsewhere("SQL is shown nowhere; `surefoot db stats` tells what the ledger holds"),
    "server.database.migrate_on_start": Elsewhere("the ledger is upgraded where it is opened, or says how"),
    "server.database.migration_timeout": Elsewhere("an upgrade takes the time that it takes, and can be broken off"),
    "server.database.timeout": Elsewhere("it is said of writes", "ledger.busy_timeout_seconds"),
    "server.database.sqlalchemy.*": Elsewhere("each process has one connection or few, not a pool to tune"),
    "server.events.*": Elsewhere(_NO_EVENTS),
    "server.events.retention_period": Elsewhere("runs and their log lines are kept by age", "retention.runs_days"),
    "server.services.*": Elsewhere("there is no service to run"),
    "server.services.cancellation_cleanup.*": Elsewhere("a request to cancel reaches the process itself; " + _DEATH),
    "server.services.cleanup_reconciler.*": Elsewhere(_NO_WORKERS),
    "server.services.db_vacuum.*": Elsewhere("a process that ends cleans up if that is due", "ledger.fold_at_exit"),
    "server.services.db_vacuum.retention_period": Elsewhere("it is a number of days", "retention.runs_days"),
    "server.services.event_logger.*": Elsewhere(_NO_EVENTS),
    "server.services.event_persister.*": Elsewhere(_FOLDED),
    "server.services.foreman.*": Elsewhere(_NO_WORKERS),
    "server.services.late_runs.*": Elsewhere(_NO_SCHEDULES),
    "server.services.pause_expirations.*": Elsewhere("runs cannot be paused in this version"),
    "server.services.repossessor.*": Elsewhere(_NO_LIMITS),
    "server.services.scheduler.*": Elsewhere(_NO_SCHEDULES),
    "server.services.task_run_recorder.*": Elsewhere(_FOLDED),
    "server.services.triggers.*": Elsewhere(_NO_EVENTS),
    "server.tasks.*": Elsewhere("there is no queue of background tasks in this version"),
    "server.tasks.max_cache_key_length": Elsewhere("a cache key is hashed where it is stored"),
    "server.tasks.tag_concurrency_slot_wait_seconds": Elsewhere(_NO_LIMITS),
    "server.ui.*": Elsewhere("there are no web pages in this version"),
    "server.ui.show_promotional_content": Elsewhere("there is nothing to sell"),
    "server.worker_channel.*": Elsewhere(_NO_WORKERS),
    "tasks.scheduling.*": Elsewhere("there are no background tasks in this version"),
    "telemetry.*": Elsewhere("nothing is measured behind your back; " + _NOBODY),
    "testing.*": Elsewhere(_NO_MODE),
    "test_mode": Elsewhere(_NO_MODE),
    "unit_test_mode": Elsewhere(_NO_MODE),
    "integrations.*": Elsewhere("there are no integration packages; call the library that they wrap in a task"),
    "redis.*": Elsewhere("nothing is passed on by a message broker"),
    "api.services.*": Elsewhere("there is no service to run"),
    "api.database.*": Elsewhere(_ONE_URL, "ledger.url"),
    "api.default_limit": Elsewhere(_NO_SERVER),
    "api.block.*": Elsewhere("there are no blocks to register"),
    "sqlalchemy.*": Elsewhere("each process has one connection or few, not a pool to tune"),
    "ui.*": Elsewhere("there are no web pages in this version"),
}


def find_elsewhere(name: str) -> Elsewhere | None:
    """What there is to say of a setting's name, dotted or as in the environment; None of one that nobody knows.

    >>> find_elsewhere("SUREFOOT_SERVER_DATABASE_CONNECTION_URL").instead, find_elsewhere("logging.lvel")
    ('ledger.url', None)
    """
    wanted = _flat(re.sub(r"^(SUREFOOT|PREFECT)_", "", name))
    fitting = [known for known in _FLAT if wanted == known or (known.endswith("_") and f"{wanted}_".startswith(known))]
    return _FLAT[max(fitting, key=len)] if fitting else None


def _flat(name: str) -> str:
    return name.upper().replace(".", "_").removesuffix("*")


_FLAT: Final = {_flat(name): there for name, there in ELSEWHERE.items()}
