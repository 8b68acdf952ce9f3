"""Reading the ledger: each function takes a connection from `Ledger.read` and answers with records of core.wire.

Lists are paged by key: `after` of one page goes into the next call, and page 1,000 costs what page 1 does.
May import: core, tables, dialects, history.
"""

from surefoot.ledger.queries.artifacts import (
    artifact_content,
    artifacts_among,
    count_artifacts,
    find_artifact,
    latest_artifacts,
    list_artifacts,
)
from surefoot.ledger.queries.assets import asset_id, find_asset, lineage_of, list_assets, list_materializations
from surefoot.ledger.queries.chosen import above, asked_again
from surefoot.ledger.queries.counts import count_task_runs
from surefoot.ledger.queries.earlier import earlier_runs_of, last_unsuccessful, nothing_left, retryable_of
from surefoot.ledger.queries.failures import list_failures
from surefoot.ledger.queries.find import find_flow_run, find_run, find_task_run, flow_run_id_of
from surefoot.ledger.queries.flow_runs import list_flow_runs
from surefoot.ledger.queries.flows import list_flows
from surefoot.ledger.queries.limits import (
    Standing,
    find_limit,
    granted_since,
    limited_tags,
    lines_in_use,
    list_limit_places,
    list_limits,
    standing_of,
    told_standing,
    waiting_of,
    watched_in,
)
from surefoot.ledger.queries.logs import list_logs
from surefoot.ledger.queries.open_runs import outermost_open_of
from surefoot.ledger.queries.results import find_result, list_results
from surefoot.ledger.queries.states import list_states
from surefoot.ledger.queries.task_runs import list_task_runs
from surefoot.ledger.queries.variables import (
    find_variable,
    list_variable_changes,
    list_variables,
    no_variable,
    variable_values,
)
from surefoot.ledger.queries.why import explain

__all__ = [
    "Standing",
    "above",
    "artifact_content",
    "artifacts_among",
    "asked_again",
    "asset_id",
    "count_artifacts",
    "count_task_runs",
    "earlier_runs_of",
    "explain",
    "find_artifact",
    "find_asset",
    "find_flow_run",
    "find_limit",
    "find_result",
    "find_run",
    "find_task_run",
    "find_variable",
    "flow_run_id_of",
    "granted_since",
    "last_unsuccessful",
    "latest_artifacts",
    "limited_tags",
    "lineage_of",
    "lines_in_use",
    "list_artifacts",
    "list_assets",
    "list_failures",
    "list_flow_runs",
    "list_flows",
    "list_limit_places",
    "list_limits",
    "list_logs",
    "list_materializations",
    "list_results",
    "list_states",
    "list_task_runs",
    "list_variable_changes",
    "list_variables",
    "no_variable",
    "nothing_left",
    "outermost_open_of",
    "retryable_of",
    "standing_of",
    "told_standing",
    "variable_values",
    "waiting_of",
    "watched_in",
]
