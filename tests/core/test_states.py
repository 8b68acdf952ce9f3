"""The table of transitions, walked pair by pair with every name, against the page that it was designed on."""

import itertools

import pytest

from surefoot.core.states import FINAL, LEGAL, NAMES, StateType, default_name, is_final, is_legal

ANY = "any name"

# As the design has it, written down a second time on purpose: from -> to -> under which names.
DESIGNED: dict[str, dict[str, set[str] | str]] = {
    "-": {"SCHEDULED": ANY, "PENDING": ANY},
    "SCHEDULED": {
        "SCHEDULED": {"Late"},
        "PENDING": ANY,
        "RUNNING": {"Retrying"},
        "CANCELLING": ANY,
        "CANCELLED": ANY,
        "CRASHED": ANY,
    },
    "SCHEDULED as AwaitingRetry": {
        "SCHEDULED": {"Late", "AwaitingConcurrencySlot"},
        "PENDING": ANY,
        "RUNNING": {"Retrying"},
        "CANCELLING": ANY,
        "CANCELLED": ANY,
        "CRASHED": ANY,
    },
    "SCHEDULED as AwaitingConcurrencySlot": {
        "SCHEDULED": {"Late"},
        "PENDING": ANY,
        "RUNNING": ANY,
        "CANCELLING": ANY,
        "CANCELLED": ANY,
        "CRASHED": ANY,
    },
    "PENDING": {
        "PENDING": ANY,  # but under another name than before
        "SCHEDULED": ANY,
        "RUNNING": ANY,
        "COMPLETED": {"Cached", "Skipped"},
        "FAILED": {"NotReady"},
        "CANCELLING": ANY,
        "CANCELLED": ANY,
        "CRASHED": ANY,
    },
    "RUNNING": {
        "RUNNING": {"Retrying"},
        "SCHEDULED": {"AwaitingRetry", "AwaitingConcurrencySlot"},
        "COMPLETED": ANY,
        "FAILED": ANY,
        "PAUSED": ANY,
        "CANCELLING": ANY,
        "CANCELLED": ANY,
        "CRASHED": ANY,
    },
    "PAUSED": {
        "RUNNING": ANY,
        "SCHEDULED": {"Resuming"},
        "COMPLETED": ANY,
        "FAILED": ANY,
        "CANCELLING": ANY,
        "CANCELLED": ANY,
        "CRASHED": ANY,
    },
    "CANCELLING": {"COMPLETED": ANY, "FAILED": ANY, "CANCELLED": ANY, "CRASHED": ANY},
    "COMPLETED": {"COMPLETED": {"RolledBack"}},
    "COMPLETED as Staged": {"COMPLETED": ANY},  # but not once more
    "FAILED": {},
    "CANCELLED": {},
    "CRASHED": {},
    "CRASHED as Lost": dict.fromkeys(StateType.__members__, ANY),
}

STARTS: list[tuple[StateType | None, str | None]] = [
    (None, None),
    *((kind, name) for kind, names in NAMES.items() for name in (*names, "Of my own")),
]
ENDS = [(kind, name) for kind, names in NAMES.items() for name in (*names, "Of my own")]


def designed(before: StateType | None, before_name: str | None, after: StateType, after_name: str) -> bool:
    special = f"{before} as {before_name}"
    row = "-" if before is None else special if special in DESIGNED else before.value
    names = DESIGNED[row].get(after.value, set())
    if before is after and before_name == after_name and (before is StateType.PENDING or before_name == "Staged"):
        return False
    return names == ANY or after_name in names


@pytest.mark.parametrize(("before", "before_name"), STARTS)
def test_every_pair_is_legal_or_refused_as_designed(before: StateType | None, before_name: str | None) -> None:
    for after, after_name in ENDS:
        wanted = designed(before, before_name, after, after_name)
        assert is_legal(before, before_name, after, after_name) is wanted, f"{before_name} -> {after_name}"


def test_the_table_has_a_row_for_every_type_and_one_for_the_creation() -> None:
    assert set(LEGAL) == {None, *StateType}


def test_a_final_state_is_left_in_its_epoch_by_a_presumed_crash_a_rollback_and_a_commit_alone() -> None:
    leavers = {
        (name, after_name)
        for (before, name), (after, after_name) in itertools.product(STARTS, ENDS)
        if before in FINAL and is_legal(before, name, after, after_name)
    }
    assert {name for name, after_name in leavers if after_name != "RolledBack"} == {"Lost", "Staged"}


def test_every_run_can_end_from_wherever_it_is() -> None:
    for before, name in STARTS:
        if before is not None and before not in FINAL:
            ends = [(after, after_name) for after, after_name in ENDS if is_final(after)]
            assert any(is_legal(before, name, *end) for end in ends), name


def test_final_types_are_these_four() -> None:
    assert {kind.value for kind in StateType if is_final(kind)} == {"CANCELLED", "COMPLETED", "FAILED", "CRASHED"}


def test_every_type_has_a_usual_name_and_no_name_stands_on_two_types() -> None:
    assert {kind: default_name(kind) for kind in StateType} == {kind: kind.value.capitalize() for kind in StateType}
    names = list(itertools.chain.from_iterable(NAMES.values()))
    assert len(names) == len(set(names))


def test_a_type_is_its_own_text() -> None:
    assert f"{StateType.FAILED}" == "FAILED"
    assert StateType("FAILED") is StateType.FAILED
