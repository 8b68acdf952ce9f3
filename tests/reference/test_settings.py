"""Chapters 8.2 and 8.3 of the reference: where settings come from, and which there are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from surefoot.core.errors import NotFound, Refused, SettingsError
from surefoot.core.settings.elsewhere import find_elsewhere
from surefoot.core.settings.layers import unknown_setting
from surefoot.core.settings.profiles import Profiles, create_profile, delete_profile, use_profile
from surefoot.core.settings.sources import find_problems, load_settings
from surefoot.core.settings.table import PREFIX, find_setting, masked, our_name
from surefoot.settings import Settings, get_current_settings, temporary_settings
from tests.reference.rows import row

# Chapter 8.3, group by group.
KNOWN = {
    "": "home profiles_path debug_mode ui_url silence_api_url_misconfiguration",
    "api": "url key auth_string tls_insecure_skip_verify ssl_cert_file enable_http2 request_timeout",
    "cli": "colors prompt wrap_lines",
    "client": "max_retries retry_jitter_factor retry_extra_codes csrf_support_enabled custom_headers "
    "server_version_check_enabled metrics.enabled metrics.port",
    "cloud": "api_url ui_url enable_orchestration_telemetry max_log_size",
    "deployments": "default_work_pool_name default_docker_build_namespace",
    "events": "worker_max_queue_size",
    "experiments": "warn",
    "flows": "heartbeat_frequency default_retries default_retry_delay_seconds",
    "internal": "logging_level",
    "logging": "level config_path extra_loggers log_prints colors markup to_api.enabled to_api.batch_interval "
    "to_api.batch_size to_api.max_log_size to_api.when_missing_flow",
    "plugins": "enabled allow deny setup_timeout_seconds strict safe_mode",
    "results": "default_serializer persist_by_default default_storage_block local_storage_path",
    "runner": "process_limit poll_frequency crash_on_cancellation_failure auto_install_dependencies server.enable "
    "server.host server.port server.log_level server.missed_polls_tolerance",
    "server": "logging_level analytics_enabled metrics_enabled log_retryable_errors register_blocks_on_start "
    "memoize_block_auto_registration memo_store_path deployment_schedule_max_scheduled_runs",
    "server.api": "auth_string host port base_path default_limit keepalive_timeout csrf_protection_enabled "
    "csrf_token_expiration cors_allowed_origins cors_allowed_methods cors_allowed_headers websocket_ping_interval "
    "websocket_ping_timeout max_parameter_size",
    "server.concurrency": "lease_storage initial_deployment_lease_duration maximum_concurrency_slot_wait_seconds",
    "server.database": "connection_url driver host port user name password echo migrate_on_start timeout "
    "connection_timeout migration_timeout",
    "server.database.sqlalchemy": "pool_size pool_recycle pool_timeout max_overflow connect_args.application_name "
    "connect_args.search_path connect_args.statement_cache_size connect_args.prepared_statement_cache_size "
    "connect_args.tls.enabled connect_args.tls.ca_file connect_args.tls.cert_file connect_args.tls.key_file "
    "connect_args.tls.check_hostname",
    "server.deployments": "concurrency_slot_wait_seconds",
    "server.docket": "name url",
    "server.ephemeral": "enabled startup_timeout_seconds",
    "server.events": "stream_out_enabled related_resource_cache_ttl maximum_labels_per_resource "
    "maximum_related_resources maximum_size_bytes expired_bucket_buffer proactive_granularity retention_period "
    "maximum_websocket_backfill websocket_backfill_page_size messaging_broker messaging_cache causal_ordering "
    "maximum_event_name_length",
    "server.flow_run_graph": "max_nodes max_artifacts",
    "server.logs": "stream_out_enabled stream_publishing_enabled",
    "server.services.cancellation_cleanup": "enabled loop_seconds cancelling_timeout_seconds",
    "server.services.db_vacuum": "enabled loop_seconds orphan_cleanup_loop_seconds retention_period batch_size "
    "event_retention_overrides",
    "server.services.event_persister": "enabled batch_size read_batch_size flush_interval queue_max_size "
    "max_flush_retries",
    "server.services.event_logger": "enabled",
    "server.services.foreman": "enabled loop_seconds inactivity_heartbeat_multiple "
    "fallback_heartbeat_interval_seconds deployment_last_polled_timeout_seconds "
    "work_queue_last_polled_timeout_seconds",
    "server.services.late_runs": "enabled loop_seconds after_seconds",
    "server.services.scheduler": "enabled loop_seconds deployment_batch_size max_runs min_runs max_scheduled_time "
    "min_scheduled_time insert_batch_size recent_deployments_loop_seconds",
    "server.services.pause_expirations": "enabled loop_seconds",
    "server.services.repossessor": "enabled loop_seconds",
    "server.services.cleanup_reconciler": "enabled loop_seconds batch_size",
    "server.services.task_run_recorder": "enabled read_batch_size batch_size flush_interval",
    "server.services.triggers": "enabled read_batch_size pg_notify_reconnect_interval_seconds "
    "pg_notify_heartbeat_interval_seconds",
    "server.tasks": "tag_concurrency_slot_wait_seconds max_cache_key_length scheduling.max_scheduled_queue_size "
    "scheduling.max_retry_queue_size scheduling.pending_task_timeout",
    "server.ui": "enabled v2_enabled api_url serve_base static_directory show_promotional_content",
    "server.worker_channel": "cleanup_queue_storage cleanup_lease_seconds cleanup_max_delivery_attempts "
    "cleanup_completed_idempotency_retention_seconds",
    "tasks": "refresh_cache default_no_cache disable_caching default_retries default_retry_delay_seconds "
    "default_persist_result runner.thread_pool_max_workers runner.process_pool_max_workers "
    "scheduling.default_storage_block scheduling.delete_failed_submissions",
    "telemetry": "enable_resource_metrics resource_metrics_interval_seconds",
    "testing": "test_mode unit_test_mode unit_test_loop_debug test_setting",
    "worker": "debug_mode heartbeat_seconds query_seconds prefetch_seconds enable_cancellation "
    "cancellation_poll_seconds webserver.host webserver.port",
    "integrations": "kubernetes.observer.enabled aws.ecs.observer.enabled azure.postgres.managed_identity.enabled",
    "redis": "messaging.host",
}
NAMES = [f"{group}.{name}".strip(".") for group, names in KNOWN.items() for name in names.split()]


def test_the_list_of_known_settings_is_whole() -> None:
    assert len(NAMES) == len(set(NAMES)) >= 220


@pytest.mark.parametrize("name", NAMES, ids=[f"8.3:{name}" for name in NAMES])
def test_every_known_setting_is_here_or_there_is_a_reason(name: str) -> None:
    variable = PREFIX + name.upper().replace(".", "_")
    setting, there = find_setting(name), find_elsewhere(name)
    if setting is not None:
        assert find_setting(variable) is setting
        assert our_name(variable) == name
        return
    assert there is not None
    assert there is find_elsewhere(variable) is find_elsewhere(variable.replace("SUREFOOT_", "PREFECT_", 1))
    assert not there.instead or find_setting(there.instead) is not None
    problem = unknown_setting("here", variable, "1")
    assert "is not a setting of Surefoot, and not needed here: " in problem.what
    assert there.why in problem.what
    assert problem.do == (f"Set {there.instead} instead." if there.instead else "Take it out.")


def test_where_a_setting_of_elsewhere_stands_it_is_said_why_it_is_not_needed(tmp_path: Path) -> None:
    (tmp_path / "surefoot.toml").write_text("[server.api]\nport = 4200\n")
    problems = find_problems({"SUREFOOT_HOME": str(tmp_path), "SUREFOOT_RUNNER_POLL_FREQUENCY": "1"}, str(tmp_path))
    assert len(problems) == 2
    assert "SUREFOOT_RUNNER_POLL_FREQUENCY = '1' is not a setting of Surefoot, and not needed here: " in problems[0]
    assert "surefoot.toml, line 2: server.api.port = 4200 is not a setting of Surefoot, and not needed" in problems[1]
    with pytest.raises(SettingsError, match="not needed here: a process holds a lock"):
        get_current_settings().get("flows.heartbeat_frequency")


def level(place: Path, **environ: str) -> tuple[str, str | None]:
    settings = load_settings({"SUREFOOT_HOME": str(place), **environ}, str(place))
    source = settings.source_of("logging.level")
    return settings.logging.level, source and os.path.basename(source)


@row("8.20")
def test_the_first_place_that_sets_it_counts(row: str, tmp_path: Path) -> None:
    assert level(tmp_path) == ("INFO", None)
    (tmp_path / "profiles.toml").write_text('[profiles.default]\n"logging.level" = "DEBUG"\n')
    assert level(tmp_path)[0] == "DEBUG"
    (tmp_path / "pyproject.toml").write_text('[tool.surefoot.logging]\nlevel = "WARNING"\n')
    assert level(tmp_path) == ("WARNING", "pyproject.toml, [tool.surefoot]")
    (tmp_path / "surefoot.toml").write_text('[logging]\nlevel = "ERROR"\n')
    assert level(tmp_path) == ("ERROR", "surefoot.toml")
    (tmp_path / ".env").write_text("SUREFOOT_LOGGING_LEVEL=CRITICAL\n")
    assert level(tmp_path) == ("CRITICAL", ".env")
    assert level(tmp_path, SUREFOOT_LOGGING_LEVEL="INFO") == ("INFO", "the environment")


@row("8.21")
def test_a_name_is_dotted_or_a_variable_and_a_misspelt_one_is_told(row: str, tmp_path: Path) -> None:
    line = find_setting("tasks.runner.thread_pool_max_workers")
    assert line is not None
    assert line is find_setting("SUREFOOT_TASKS_RUNNER_THREAD_POOL_MAX_WORKERS")
    assert our_name("logging.to_api.max_log_size") == "logging.max_log_size"
    problems = find_problems({"SUREFOOT_HOME": str(tmp_path), "SUREFOOT_LOGING_LEVEL": "x"}, str(tmp_path))
    assert "The nearest valid name is SUREFOOT_LOGGING_LEVEL." in problems[0]
    (tmp_path / "profiles.toml").write_text('[profiles.default]\n"logging.lvel" = "DEBUG"\n')
    with pytest.raises(SettingsError, match=r"The nearest valid name is logging\.level"):
        level(tmp_path)


@row("8.22")
def test_profiles_stand_in_one_file_and_one_is_active(row: str, tmp_path: Path) -> None:
    profiles = use_profile(create_profile(Profiles(str(tmp_path / "profiles.toml")), "dev"), "dev")
    with pytest.raises(Refused, match="Profile 'dev' is the active one"):
        delete_profile(profiles, "dev")
    (tmp_path / "profiles.toml").write_text('[profiles.loud]\n"logging.level" = "DEBUG"\n')
    assert level(tmp_path)[0] == "INFO"
    assert level(tmp_path, SUREFOOT_PROFILE="loud")[0] == "DEBUG"
    with pytest.raises(NotFound, match="There is no profile 'quiet'"):
        level(tmp_path, SUREFOOT_PROFILE="quiet")


@row("8.23")
def test_settings_are_covered_for_a_while(row: str) -> None:
    before = get_current_settings().tasks.default_retries
    with temporary_settings({"tasks.default_retries": 3, "SUREFOOT_CLI_COLORS": "no"}):
        assert (get_current_settings().tasks.default_retries, get_current_settings().cli.colors) == (3, False)
    assert get_current_settings().tasks.default_retries == before
    with pytest.raises(SettingsError, match="cannot be used"), temporary_settings({"tasks.default_retries": "many"}):
        pass


@row("8.24")
def test_settings_are_a_typed_object_that_nobody_changes(row: str) -> None:
    settings = get_current_settings()
    assert isinstance(settings, Settings)
    assert settings.logging.level == settings.get("logging.level")
    with pytest.raises(AttributeError, match="cannot be changed in place"):
        settings.logging.level = "DEBUG"


@row("8.25")
def test_secrets_are_out_of_sight(row: str) -> None:
    for name in ("api.key", "api.auth_string", "ledger.url", "server.database.password"):
        assert masked(name, "hush") == "********"
    assert "hush" not in unknown_setting("here", "SUREFOOT_SERVER_DATABASE_PASSWORD", "hush").what
    with temporary_settings({"api.key": "hush"}):
        assert "hush" not in repr(get_current_settings().api)


@row("8.26")
def test_a_path_may_start_at_the_home(row: str, tmp_path: Path) -> None:
    settings = load_settings({"SUREFOOT_HOME": str(tmp_path)}, str(tmp_path))
    assert settings.results.local_storage_path == str(tmp_path / "storage")
    with pytest.raises(SettingsError, match="cannot be used"):
        level(tmp_path, SUREFOOT_STRICT="1", SUREFOOT_RESULTS_LOCAL_STORAGE_PATH="${ELSEWHERE}/x")
