"""Writing artifacts down: what was drafted becomes a fact of the run around, in whatever process or thread that is.

What is small stands in the fact; what is large, or no text, goes to the storage of the run's results first. May import:
core, journal, results, engine.
"""

from __future__ import annotations

import re
import sys
import warnings
from typing import Any, Final, NamedTuple
from uuid import UUID

from surefoot.core.artifacts import ENDINGS
from surefoot.core.clock import read_clock
from surefoot.core.errors import ArtifactNotStored, BadInput
from surefoot.core.facts import ArtifactWritten
from surefoot.core.ids import new_id, to_text
from surefoot.core.settings import Settings
from surefoot.core.sizes import told_size
from surefoot.engine.scope import current
from surefoot.engine.session import Session, Unrecorded, session
from surefoot.engine.sketching import sketcher
from surefoot.results import contents
from surefoot.results.objects import object_path
from surefoot.results.persistence import default_storage
from surefoot.results.refusals import refusal

__all__ = ["ArtifactTypeError", "ArtifactValueError", "Draft", "change", "check_key", "record"]

_KEY: Final = re.compile(r"[a-z0-9_-]+")
_KEY_MAX: Final = 255
_DESCRIPTION_MAX: Final = 65_536
_INLINE_MAX: Final = 256 << 10  # bytes that stand in the fact
_INLINE_SUM_MAX: Final = 64 << 20  # and of one process: the journal's room is for what happens to runs
_SMALL: Final = 4 << 10  # what goes on to stand there


class ArtifactTypeError(BadInput, TypeError):
    """What was to be an artifact has the wrong type."""


class ArtifactValueError(BadInput, ValueError):
    """What was to be an artifact cannot be one."""


class Draft(NamedTuple):
    """An artifact that is not written down yet."""

    type: str
    media_type: str
    content: bytes
    is_apart: bool = False  # whatever its size: it is for other programs to open


class _Written:
    """What this process has written: how much into facts, and at which instant last, so that none comes twice."""

    inline_bytes = 0
    last_us = 0
    has_warned = False


def record(draft: Draft, key: str | None, description: str | None) -> UUID:
    """Write an artifact down. Its id.

    Raises ArtifactValueError and ArtifactTypeError for what cannot be one, and ArtifactNotStored.
    """
    check_key(key)
    _check_description(description)
    artifact_id = new_id()
    if sketcher() is not None:  # the flow is being drawn: nothing happens
        return UUID(bytes=artifact_id)
    execution, found = current(), _session()
    _check_size(draft, found.settings)
    if execution is None:
        _warn_once()
    if isinstance(found.recorder, Unrecorded):
        return UUID(bytes=artifact_id)
    data: bytes | None = draft.content
    place, crc = None, 0
    if draft.is_apart or not _fits(len(draft.content)):
        data = None
        place, crc = _stored(artifact_id, draft, _storage(found))
    flow = None if execution is None else execution.flow
    at_us, mono_us = _instants()
    found.recorder.run(
        ArtifactWritten(
            artifact_id,
            draft.type,
            at_us,
            mono_us,
            False,
            key,
            description,
            draft.media_type,
            data,
            place,
            len(draft.content),
            crc,
            None if flow is None else flow.run_id,
            execution.run_id if execution is not None and execution.is_task else None,
        )
    )
    return UUID(bytes=artifact_id)


def change(artifact_id: UUID | str, draft: Draft, description: str | None) -> UUID:
    """Write down what an artifact shows from now on. Raises ArtifactTypeError for what is no id."""
    try:
        found_id = artifact_id if isinstance(artifact_id, UUID) else UUID(artifact_id)
    except (ValueError, TypeError, AttributeError):
        raise ArtifactTypeError(
            f"artifact_id is {artifact_id!r}, which is no id.", do="Pass what create_progress_artifact() gave."
        ) from None
    _check_description(description)
    found = _session()
    if sketcher() is None:
        at_us, mono_us = _instants()
        found.recorder.run(
            ArtifactWritten(
                found_id.bytes,
                draft.type,
                at_us,
                mono_us,
                is_change=True,
                description=description,
                media_type=draft.media_type,
                data=draft.content,
                size=len(draft.content),
            )
        )
    return found_id


def _session() -> Session:
    execution = current()
    return session() if execution is None else execution.session


def check_key(key: Any) -> None:
    """Refuse what can be no key of artifacts. Raises ArtifactTypeError and ArtifactValueError."""
    if key is None:
        return
    if not isinstance(key, str):
        raise ArtifactTypeError(f"key is {key!r}.", do='Pass a text: key="report".')
    if _KEY.fullmatch(key) is None or len(key) > _KEY_MAX:
        near = re.sub(r"[^a-z0-9_-]+", "-", key.lower()).strip("-")[:_KEY_MAX] or "report"
        raise ArtifactValueError(
            f"The key {key[:100]!r} is none: it has at most {_KEY_MAX} lower-case letters, digits, '-' and '_'.",
            do=f"Use key={near!r}.",
        )


def _check_description(description: Any) -> None:
    if description is None:
        return
    if not isinstance(description, str):
        raise ArtifactTypeError(f"description is of type {type(description).__name__}.", do="Pass a text.")
    if len(description) > _DESCRIPTION_MAX:
        raise ArtifactValueError(
            f"description has {len(description):,} characters, and {_DESCRIPTION_MAX:,} is the most.",
            do="Put what is long into the artifact itself.",
        )


def _check_size(draft: Draft, settings: Settings) -> None:
    most = settings.get("artifacts.max_bytes")
    if len(draft.content) > most:
        raise ArtifactValueError(
            f"The {draft.type} artifact has {told_size(len(draft.content))}, and {told_size(most)} is the most.",
            do="Store it as a file and make a link to it, or raise SUREFOOT_ARTIFACTS_MAX_BYTES.",
        )


def _fits(size: int) -> bool:
    """Whether so much may stand in a fact."""
    if size > _INLINE_MAX or (size > _SMALL and _Written.inline_bytes + size > _INLINE_SUM_MAX):
        return False
    _Written.inline_bytes += size
    return True


def _storage(found: Session) -> str:
    """Where it goes: to the run's own storage, if whoever reads it in another process can find it there."""
    execution = current()
    own = None if execution is None else execution.persistence.storage
    is_found = own is not None and not own.startswith(("memory://", "storage://"))
    return own if own is not None and is_found else default_storage(found.settings)


def _stored(artifact_id: bytes, draft: Draft, storage: str) -> tuple[str, int]:
    name = f"{contents.ARTIFACTS}/{to_text(artifact_id)}.{ENDINGS.get(draft.media_type, 'bin')}"
    try:
        return contents.write(storage, name, draft.content)
    except OSError as error:
        why, do = refusal(error, object_path(storage, name))
        raise ArtifactNotStored(
            f"The {draft.type} artifact could not be stored in {storage}: {why}.",
            do=f"{do}, or name another storage in result_storage or SUREFOOT_RESULTS_DEFAULT_STORAGE.",
        ) from error


def _instants() -> tuple[int, int]:
    at_us, mono_us = read_clock()
    _Written.last_us = at_us = max(at_us, _Written.last_us + 1)  # the later of two changes is the newer
    return at_us, mono_us


def _warn_once() -> None:
    if not _Written.has_warned:
        _Written.has_warned = True
        line = "An artifact was made outside of a flow or task run, so it belongs to none."
        warnings.warn(line, UserWarning, stacklevel=_users_level())


def _users_level() -> int:
    """How far up the code is that made the artifact: the first that is not ours."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] == "surefoot":
        level, frame = level + 1, frame.f_back
    return level
