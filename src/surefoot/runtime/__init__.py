"""What code may ask about the run that it is in: `flow_run`, `task_run`, `deployment`. Outside of runs too.

    from surefoot.runtime import flow_run

    flow_run.name, flow_run.parameters

Each attribute is looked up when it is asked for, so it is that of the run that asks, in any thread, task and process.
In tests an environment variable answers instead: `SUREFOOT__RUNTIME__FLOW_RUN__NAME=monday`. May import: core, engine.
"""

from __future__ import annotations

import surefoot.runtime.deployment as deployment
import surefoot.runtime.flow_run as flow_run
import surefoot.runtime.task_run as task_run

__all__ = ["deployment", "flow_run", "task_run"]
