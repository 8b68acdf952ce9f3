"""The harness under the name that tests written for other engines import it by. A door. May import: testing."""

from __future__ import annotations

from surefoot.testing.harness import test_harness
from surefoot.testing.harness import test_harness as surefoot_test_harness

__all__ = ["surefoot_test_harness", "test_harness"]
