"""The tree of errors: as drawn, each with words and a way out, the same object's worth in another process."""

import importlib
import inspect
import pickle
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import surefoot
from surefoot import exceptions
from surefoot.core import errors
from surefoot.core.errors import (
    BadInput,
    NotReadyRun,
    RunError,
    SurefootError,
    TerminationSignal,
)

PAGE = Path(surefoot.__file__).parents[2] / "docs" / "errors.md"


def tree(root: type[BaseException]) -> Iterator[type[SurefootError]]:
    for kind in root.__subclasses__():
        if issubclass(kind, SurefootError):
            yield kind
            yield from tree(kind)


def import_everything() -> None:
    for module in pkgutil.walk_packages(surefoot.__path__, "surefoot."):
        if not module.name.endswith(("__main__", ".migrations.env")) and ".versions." not in module.name:
            importlib.import_module(module.name)


PUBLIC: list[type[SurefootError]] = [
    SurefootError,
    *(kind for kind in tree(SurefootError) if kind.__module__ == errors.__name__),
]


def test_the_tree_is_drawn_as_it_is() -> None:
    drawn: list[tuple[str, str]] = []
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^([\s│├└─]*)([A-Z]\w+)(\s{2,}|$)", line)
        if found is None or line.lstrip().startswith("TerminationSignal"):
            continue
        depth, name = len(found[1]), found[2]
        while above and above[-1][0] >= depth:
            above.pop()
        drawn.append((name, above[-1][1] if above else "Exception"))
        above.append((depth, name))
    real = {(kind.__name__, kind.__bases__[0].__name__) for kind in PUBLIC}
    assert set(drawn) == real
    assert len(drawn) == len(real)


def test_every_error_is_exported_to_users_or_known_not_to_be() -> None:
    assert set(errors.__all__) == {kind.__name__ for kind in PUBLIC} | {"Skip", "TerminationSignal"}
    assert set(exceptions.__all__) == set(errors.__all__) - {"Defect"}


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.__name__)
def test_an_error_survives_the_way_to_another_process(kind: type[SurefootError]) -> None:
    error = kind("Flow 'load' has no name.", do="Pass name=...")
    error.run_name = "calm-otter"  # type: ignore[attr-defined]
    assert str(error) == "Flow 'load' has no name. Pass name=..."
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert (str(again), again.what, again.do) == (str(error), error.what, error.do)
    assert vars(again)["run_name"] == "calm-otter"
    assert str(kind("It is so.")) == "It is so."
    assert str(kind()) == ""


def test_a_termination_survives_the_way_too_and_is_no_exception_to_catch_by_accident() -> None:
    again = pickle.loads(pickle.dumps(TerminationSignal(15)))
    assert (again.signal, str(again)) == (15, "terminated by signal 15")
    assert not isinstance(again, Exception)


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.__name__)
def test_every_error_has_a_docstring_and_a_slug_of_its_own(kind: type[SurefootError]) -> None:
    assert inspect.getdoc(kind)
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.slug)
    assert [other for other in PUBLIC if other.slug == kind.slug] == [kind]


def test_errors_elsewhere_are_kinds_of_these_and_bring_no_slug() -> None:
    import_everything()
    elsewhere = [kind for kind in tree(SurefootError) if kind.__module__.startswith("surefoot") and kind not in PUBLIC]
    assert elsewhere  # the refinements that are a TypeError or a ValueError as well
    for kind in elsewhere:
        assert "slug" not in vars(kind), kind
        assert kind.slug in {known.slug for known in PUBLIC}, kind


def test_every_slug_has_its_section_and_every_section_a_slug() -> None:
    sections = dict(re.findall(r"^## (\S+)\n((?:(?!^## ).*\n?)*)", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert set(sections) == {kind.slug for kind in PUBLIC}
    for slug, text in sections.items():
        assert "**What it means.**" in text, slug
        assert "**What to do.**" in text, slug


def test_slugs_are_never_renamed() -> None:
    # Programs and bookmarks hold on to these: a new error adds a line here, no line is ever changed or removed.
    assert {kind.__name__: kind.slug for kind in PUBLIC} == SLUGS


def test_what_a_user_would_catch_catches_them() -> None:
    wanted: dict[str, type[BaseException]] = {
        "ParameterTypeError": TypeError,
        "ParameterBindError": TypeError,
        "InvalidNameError": ValueError,
        "MissingContextError": RuntimeError,
        "TaskRunTimeoutError": TimeoutError,
        "FlowRunTimeoutError": TimeoutError,
        "LedgerBusy": TimeoutError,
        "HomeUnwritable": OSError,
        "CacheUnavailable": OSError,
        "HashError": TypeError,
        "MemoryLimitExceeded": MemoryError,
        "NotFound": LookupError,
        "UnpicklableArgument": TypeError,
        "UnpicklableResult": TypeError,
    }
    for name, kind in wanted.items():
        assert issubclass(getattr(errors, name), kind), name
    assert issubclass(NotReadyRun, RunError)
    assert not issubclass(RunError, BadInput)


SLUGS = {
    "AcquireConcurrencySlotTimeoutError": "slots-timeout",
    "AlreadyExists": "already-exists",
    "Ambiguous": "ambiguous",
    "ArtifactNotStored": "artifact-not-stored",
    "AssetCheckFailed": "asset-check",
    "BadInput": "bad-input",
    "CacheUnavailable": "cache-unavailable",
    "CancelledRun": "cancelled-run",
    "ChildDied": "child-died",
    "ConcurrencySlotAcquisitionError": "slots",
    "ConcurrencySlotLostError": "slots-lost",
    "ConfigurationError": "configuration",
    "CrashedRun": "crashed-run",
    "Defect": "defect",
    "EntrypointError": "entrypoint",
    "FailedRun": "failed-run",
    "FlowRunTimeoutError": "flow-run-timeout",
    "HashError": "hash",
    "HomeUnwritable": "home-unwritable",
    "InvalidNameError": "invalid-name",
    "LedgerBusy": "ledger-busy",
    "LedgerDamaged": "ledger-damaged",
    "LedgerTooNew": "ledger-too-new",
    "LockNotHeld": "lock-not-held",
    "LockedByOther": "locked-by-other",
    "MappingLengthMismatch": "mapping-length-mismatch",
    "MappingMissingIterable": "mapping-missing-iterable",
    "MemoryLimitExceeded": "memory-limit",
    "MissingContextError": "missing-context",
    "MissingFlowError": "missing-flow",
    "MissingResult": "missing-result",
    "NotFound": "not-found",
    "NotReadyRun": "not-ready",
    "ParameterBindError": "parameter-bind",
    "ParameterTypeError": "parameter-type",
    "PausedRun": "paused-run",
    "Refused": "refused",
    "ReservedArgumentError": "reserved-argument",
    "ResultNotStored": "result-not-stored",
    "RunError": "run-error",
    "SettingsError": "settings",
    "SurefootError": "error",
    "TaskRunTimeoutError": "task-run-timeout",
    "TemplateError": "template",
    "TooDeep": "too-deep",
    "Unavailable": "unavailable",
    "UnfinishedRun": "unfinished-run",
    "UnpicklableArgument": "unpicklable-argument",
    "UnpicklableResult": "unpicklable-result",
    "UnspecifiedFlowError": "unspecified-flow",
    "VisualizationError": "visualization",
    "WouldDeadlock": "would-deadlock",
}
