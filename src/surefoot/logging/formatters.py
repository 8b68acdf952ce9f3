"""The public door to the formatter of JSON, under the name that Prefect's users import it by. May import: logging."""

from __future__ import annotations

from surefoot.logging import JsonFormatter

__all__ = ["JsonFormatter"]
