"""What users import from `client.schemas.responses`: records that the client gives. A door; they live elsewhere."""

from __future__ import annotations

from surefoot.core.wire import Limit as GlobalConcurrencyLimitResponse

__all__ = ["GlobalConcurrencyLimitResponse"]
