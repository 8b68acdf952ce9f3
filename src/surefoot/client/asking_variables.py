"""Variables, by the methods that scripts know of the client. May import: client, core."""

from __future__ import annotations

from typing import Any

import msgspec

from surefoot.client.asking import PAGE, Asking, all_of, part_of
from surefoot.client.schemas.actions import VariableCreate, VariableUpdate, checked_action
from surefoot.core.errors import NotFound
from surefoot.core.wire import Variable, VariableChange

__all__ = ["VariableCalls"]


class VariableCalls(Asking):
    """What can be asked of variables. In flows, `surefoot.variables.Variable` takes fewer words."""

    def create_variable(self, variable: VariableCreate | dict[str, Any]) -> Variable:
        """Make a variable. Raises AlreadyExists if there is one of that name, and BadInput for what cannot be."""
        wanted = checked_action(variable, VariableCreate)
        return self._client.set_variable(wanted.name, wanted.value, tags=wanted.tags)

    def update_variable(self, variable: VariableUpdate | dict[str, Any]) -> Variable:
        """Change a variable. Raises NotFound, and BadInput for what cannot be."""
        wanted = checked_action(variable, VariableUpdate)
        before = self._client.find_variable(wanted.name)
        value = before.value if wanted.value is msgspec.UNSET else wanted.value
        return self._client.set_variable(wanted.name, value, tags=wanted.tags, overwrite=True)

    def read_variable_by_name(self, name: str) -> Variable | None:
        """The variable of that name; None if there is none."""
        try:
            return self._client.find_variable(name)
        except NotFound:
            return None

    def read_variables(self, limit: int | None = None, offset: int = 0) -> list[Variable]:
        """Variables, by name."""
        return part_of(all_of(lambda after: self._client.variables(limit=PAGE, after=after)), limit, offset)

    def read_variable_changes(self, name: str, limit: int | None = None, offset: int = 0) -> list[VariableChange]:
        """What became of a variable, the newest first; also of one that was removed. Raises NotFound."""
        changes = all_of(lambda after: self._client.variable_changes(name, limit=PAGE, after=after))
        return part_of(changes, limit, offset)

    def delete_variable_by_name(self, name: str) -> None:
        """Remove a variable. Raises NotFound, which names the nearest that there is."""
        if not self._client.unset_variable(name):
            self._client.find_variable(name)
