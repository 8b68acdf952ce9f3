"""Exit codes, and the one line that a mistake is."""

import click
import pytest

from surefoot.cli.mistakes import Exit, exit_code, report
from surefoot.core import errors
from tests.cli.conftest import Surefoot
from tests.reference.rows import at


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.BadInput("x"), 2),
        (errors.ParameterTypeError("x"), 2),
        (errors.SettingsError("x"), 2),
        (errors.EntrypointError("x"), 2),
        (errors.Ambiguous("x"), 2),
        (errors.NotFound("x"), 4),
        (errors.Refused("x"), 3),
        (errors.WouldDeadlock("x"), 3),
        (errors.LedgerBusy("x"), 5),
        (errors.HomeUnwritable("x"), 5),
        (errors.LedgerTooNew("x"), 5),
        (errors.CrashedRun("x"), 1),
        (errors.Defect("x"), 70),
        (ZeroDivisionError("x"), 70),
        (KeyboardInterrupt(), 130),
        (errors.TerminationSignal(15), 143),
        (click.UsageError("x"), 2),
        (click.Abort(), 130),
    ],
)
def test_each_error_has_its_exit_code(error: BaseException, code: int) -> None:
    assert exit_code(error) == code


def test_every_error_of_the_tree_has_a_code_of_its_own_branch() -> None:
    kinds = [kind for name in errors.__all__ if issubclass(kind := getattr(errors, name), errors.SurefootError)]
    codes = {kind: exit_code(kind("x")) for kind in kinds}
    assert {kind for kind, code in codes.items() if code is Exit.DEFECT} == {errors.Defect, errors.SurefootError}


def test_a_mistake_is_one_line_with_what_do_and_slug(capsys: pytest.CaptureFixture[str]) -> None:
    code = report(errors.NotFound("No run goes\n  by 'x'.", do="List them: `surefoot flow-run ls`."), debug=False)
    assert code == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "Error: No run goes by 'x'. List them: `surefoot flow-run ls`. [not-found]\n"


def test_an_error_of_ours_asks_to_be_reported(capsys: pytest.CaptureFixture[str]) -> None:
    report(KeyError("x"), debug=False)
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "defect of Surefoot" in err
    assert "--debug" in err


def test_debug_shows_the_traceback_before_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise errors.Refused("No.")
    except errors.Refused as error:
        report(error, debug=True)
    err = capsys.readouterr().err
    assert err.startswith("Traceback (most recent call last)")
    assert err.endswith("Error: No. [refused]\n")


def test_ctrl_c_needs_no_words(capsys: pytest.CaptureFixture[str]) -> None:
    report(KeyboardInterrupt(), debug=False)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        at("A:command, an unknown setting", "config set nope.x=1", 2, "nope.x = '1' is not a setting"),
        at("A:command, a value that cannot be used", "config set logging.level=LOUD", 2, "'LOUD' cannot be used"),
        at("A:command, the active profile deleted", "profile delete default", 3, "'default' is the active one"),
        at("A:command, a profile that is not there", "profile use nope", 4, "There is no profile 'nope'"),
        at("A:command, an id that is none", "flow-run inspect not-an-id", 4, "No flow run goes by 'not-an-id'"),
        at("A:command, an unknown command", "nonsense", 2, "No such command 'nonsense'"),
    ],
)
def test_what_people_mistype_has_its_exit_code(
    surefoot: Surefoot, home: object, words: str, code: int, says: str
) -> None:
    result = surefoot(*words.split())
    assert (result.exit_code, says in result.stderr) == (code, True), result.stderr
    assert result.stdout == ""
