"""Marks on arguments, by the name that users import them from. A door to `surefoot.annotations`."""

from __future__ import annotations

from surefoot.annotations import allow_failure, flatten, freeze, opaque, quote, unmapped

__all__ = ["allow_failure", "flatten", "freeze", "opaque", "quote", "unmapped"]
