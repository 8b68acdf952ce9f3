"""The public door to the loggers of runs, under the name that Prefect's users import them by. May import: logging."""

from __future__ import annotations

from surefoot.logging import disable_run_logger, flow_run_logger, get_logger, get_run_logger, task_run_logger

__all__ = ["disable_run_logger", "flow_run_logger", "get_logger", "get_run_logger", "task_run_logger"]
