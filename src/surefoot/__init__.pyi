from surefoot import runtime as runtime
from surefoot._version import __version__ as __version__
from surefoot.annotations import allow_failure as allow_failure
from surefoot.annotations import flatten as flatten
from surefoot.annotations import quote as quote
from surefoot.annotations import unmapped as unmapped
from surefoot.client.orchestration import get_client as get_client
from surefoot.context import tags as tags
from surefoot.exceptions import Skip as Skip
from surefoot.flows import Flow as Flow
from surefoot.flows import flow as flow
from surefoot.futures import Future as Future
from surefoot.logging import get_run_logger as get_run_logger
from surefoot.states import State as State
from surefoot.tasks import Task as Task
from surefoot.tasks import exponential_backoff as exponential_backoff
from surefoot.tasks import task as task
from surefoot.transactions import Transaction as Transaction

__all__: list[str]
