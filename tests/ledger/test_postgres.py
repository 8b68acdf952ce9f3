"""What is peculiar to a ledger on PostgreSQL: how it is reached, held, refused, shared, and what its text can hold."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError

from surefoot.core.errors import BadInput, LedgerBusy, Unavailable
from surefoot.core.facts import FlowRunCreated, LogWritten, StateEntered
from surefoot.core.ids import new_id
from surefoot.core.states import COMPLETED, FAILED, PENDING, RUNNING
from surefoot.core.wire import FlowFilter, FlowRunFilter, LogFilter
from surefoot.ledger import Ledger, queries
from tests.ledger.builders import T0, Pen, a_flow_run, a_task_run, dump
from tests.places import Databases, Ledgers
from tools.postgres import Cluster, NoPostgres

SECRET = "hush-hush"


@pytest.fixture
def url(server: Databases) -> str:
    return server.taken()


def _run(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg", "postgres"])
def test_a_ledger_is_opened_by_any_name_of_the_scheme(url: str, scheme: str) -> None:
    with Ledger.open(url.replace("postgresql", scheme, 1)) as ledger:
        assert ledger.open_writers() == []


def test_what_a_file_holds_and_what_a_server_holds_is_the_same(url: str, tmp_path: Path) -> None:
    pen = Pen()
    flow_run = a_flow_run(pen, "naïve-otter", tags=("a", "b\\u0000"), description="日本").enter(RUNNING)
    for number in range(40):
        task_run = a_task_run(pen, flow_run, f"task-{number}").enter(RUNNING)
        task_run.log("a\tline\n\\N", flow_run=flow_run)
        task_run.enter(FAILED, message='it "failed"\r\n\\') if number % 3 else task_run.enter(COMPLETED)
    with Ledger.open(url) as server, Ledger.open(tmp_path / "ledger.db") as file:
        for size in (7, 1000):
            for ledger in (server, file):
                ledger.fold(pen.batches(size))
            assert dump(server) == dump(file)


def test_the_character_that_its_text_cannot_hold_is_made_visible_everywhere(url: str) -> None:
    pen = Pen()
    for number in range(20):  # enough of them to be copied
        run = a_flow_run(pen, f"a\0b-{number}", flow="f\0", tags=("t\0",), parameters=b'{"x": "\\u0000\0"}')
        run.enter(RUNNING, run_name=f"r\0-{number}").enter(FAILED, "No\0", "why\0", traceback="\0")
        pen.log(LogWritten(T0, 20, "l\0", "line\0", run.id))
    few = Pen(host="box\0")
    a_task_run(few, None, "few\0").log("one\0")
    with Ledger.open(url) as ledger:
        assert ledger.fold(pen.batches()).count == len(pen.runs) + 20
        ledger.fold(few.batches())
        with ledger.read() as connection:
            found = queries.find_flow_run(connection, "r\0-7")
            assert (found.name, found.flow_name, found.tags) == ("r␀-7", "f␀", ["t␀"])
            assert (found.state_name, found.state.message) == ("No␀", "why␀")
            assert found.state.state_details["traceback"] == "\0"  # within a history any character can stand
            assert len(queries.list_flow_runs(connection, FlowRunFilter(tags=["t\0"], name_like="\0")).results) == 20
            assert len(queries.list_flow_runs(connection, FlowRunFilter(flow_name=["f\0"])).results) == 20
            assert len(queries.list_logs(connection, LogFilter(text="e\0")).results) == 21
            assert queries.find_task_run(connection, "few\0").name == "few␀"


@pytest.mark.parametrize("letter", ["x", "€", "\U0001f9a6"])
def test_a_name_may_be_longer_than_an_index_can_hold(ledgers: Ledgers, letter: str) -> None:
    """On SQLite too, so that both answer the same."""
    pen = Pen()
    long = "".join(letter + os.urandom(2).hex() for _ in range(4000))
    for number in range(12):
        run = a_flow_run(pen, f"{long}{number}", flow=f"{long}{number}").enter(RUNNING, f"{long}{number}")
        a_task_run(pen, run, "t").enter(RUNNING, f"{long}{number}", run_name=f"{long}/{number}")
    with ledgers.opened() as ledger:
        ledger.fold(pen.batches(3))
        with ledger.read() as connection:
            assert len({flow.name for flow in queries.list_flows(connection).results}) == 12
            names = {run.name for run in queries.list_task_runs(connection).results}
            assert len(names) == 12
            assert all(name.startswith(long[:400]) and len(name) <= 500 for name in names)
            only = FlowFilter(name=[queries.list_flows(connection).results[3].name])
            assert len(queries.list_flows(connection, only).results) == 1


def test_numbers_reach_as_far_as_a_fact_may_say(ledgers: Ledgers) -> None:
    pen = Pen(pid=(1 << 62) // 30)
    most = (1 << 31) - 2
    run_id = new_id()
    pen.write(FlowRunCreated(run_id, "f", "far", T0, 0, PENDING, "Pending", epoch=most, retries=most))
    pen.write(StateEntered(run_id, False, most, most, T0, 0, RUNNING, "Running", run_count=most, ran_us=1 << 57))
    with ledgers.opened() as ledger:
        ledger.fold(pen.batches())
        assert ledger.end_writer(pen.id, T0) == 1
        with ledger.read() as connection:
            assert queries.find_flow_run(connection, "far").state_name == "Crashed"


def test_names_come_in_the_order_of_code_points_whatever_language_the_database_speaks(url: str) -> None:
    names = ["b", "A", "a", "B", "_", "é", "Z", "日", "1"]
    pen = Pen()
    for name in names:
        a_flow_run(pen, name, flow=name)
    with Ledger.open(url) as ledger:
        ledger.fold(pen.batches())
        with ledger.read() as connection:
            found: list[str] = []
            after = None
            while True:
                page = queries.list_flow_runs(connection, sort="NAME_ASC", limit=2, after=after)
                found += [run.name for run in page.results]
                if (after := page.after) is None:
                    break
            assert found == sorted(names)
            assert [flow.name for flow in queries.list_flows(connection).results] == sorted(names)


# --- who has it, and what is in the way -------------------------------------------------------------------------------


def test_a_session_of_another_program_that_holds_the_ledger_is_named(url: str) -> None:
    with psycopg.connect(url, application_name="a-notebook") as other, Ledger.open(url, busy_s=0.05) as ledger:
        other.execute("SELECT pg_advisory_xact_lock(24320, 1)")
        pid = other.info.backend_pid
        with pytest.raises(LedgerBusy, match=rf"held by a-notebook \(PostgreSQL's process {pid}, user surefoot"):
            ledger.fold(Pen().batches())


def test_a_table_that_somebody_locked_makes_the_ledger_busy_and_not_stand_still(url: str) -> None:
    with psycopg.connect(url) as other, Ledger.open(url, busy_s=0.05) as ledger:
        other.execute("LOCK TABLE writers IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(LedgerBusy, match="held by"):
            ledger.end_writer(new_id(), T0)


@pytest.mark.parametrize("way", ["deadlock", "serialization", "shut down"])
def test_a_transaction_that_met_another_is_done_again(url: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is made to answer so once, as it would."""
    state = {"deadlock": "40P01", "serialization": "40001"}.get(way)
    ways = [f"DO $$ BEGIN RAISE EXCEPTION 'met' USING ERRCODE = '{state}'; END $$"]
    if state is None:
        ways = ["SELECT pg_terminate_backend(pg_backend_pid())"]
    with Ledger.open(url) as ledger:
        ledger.fold([])
        taken = ledger._fold_piece
        tries: list[int] = []

        def once(piece: Any, connection: Any) -> Any:
            tries.append(1)
            folded = taken(piece, connection)
            if len(tries) == 1:
                connection.exec_driver_sql(ways[0])
            return folded

        monkeypatch.setattr(ledger, "_fold_piece", once)
        pen = Pen()
        a_flow_run(pen, "brave-otter")
        assert ledger.fold(pen.batches()).count == 2
        assert len(tries) == 2
        with ledger.read() as connection:
            assert queries.find_flow_run(connection, "brave-otter")


def test_many_who_fold_at_once_lose_nothing(url: str, tmp_path: Path) -> None:
    """Each has its own connection and all have the same runs: what a run's row tells is merged from all of them."""
    pens = [Pen() for _ in range(4)]
    runs = [a_flow_run(pens[0], f"run-{number}") for number in range(30)]
    for epoch, pen in enumerate(pens):
        for run in runs:
            if epoch:
                run.next_epoch(pen)
            run.enter(RUNNING).enter(COMPLETED)
    begin = threading.Barrier(len(pens))

    def fold(pen: Pen) -> None:
        with Ledger.open(url) as ledger:
            begin.wait()
            for batch in pen.batches(9):
                ledger.fold([batch])

    with ThreadPoolExecutor(len(pens)) as pool:
        list(pool.map(fold, pens))
    with Ledger.open(url) as together, Ledger.open(tmp_path / "alone.db") as alone:
        alone.fold([batch for pen in pens for batch in pen.batches()])
        assert dump(together) == dump(alone)


# --- what cannot be a ledger, and a server that does not answer -------------------------------------------------------


def test_a_database_of_something_else_is_left_alone(server: Databases) -> None:
    url = server.bare()
    _run(url, "CREATE TABLE mine (x int)")
    with pytest.raises(BadInput, match="is there, but is not a ledger of Surefoot") as caught:
        Ledger.open(url)
    assert "createdb" in caught.value.do
    _run(url, "DROP TABLE mine", "CREATE TABLE alembic_version (version_num text)")  # another program's migrations
    with pytest.raises(BadInput, match="is not a ledger of Surefoot"):
        Ledger.open(url)


def test_a_schema_of_its_own_in_a_database_of_others_will_do(server: Databases) -> None:
    url = server.bare()
    _run(url, "CREATE TABLE flows (mine int)")
    own = f"{url}?options=-csearch_path%3Dsurefoot"
    with pytest.raises(BadInput, match="CREATE SCHEMA"):
        Ledger.open(own)
    _run(url, "CREATE SCHEMA surefoot")
    pen = Pen()
    a_flow_run(pen, "brave-otter")
    for _ in range(2):
        with Ledger.open(own) as ledger:
            ledger.fold(pen.batches())
            with ledger.read() as connection:
                assert queries.find_flow_run(connection, "brave-otter")
            assert ledger.contents().bytes > 0


def test_a_database_without_every_character_is_refused(server: Databases) -> None:
    _run(server.url_of("postgres"), "DROP DATABASE IF EXISTS latin",
         "CREATE DATABASE latin TEMPLATE template0 ENCODING LATIN1 LOCALE 'C'")  # fmt: skip
    with pytest.raises(BadInput, match="encoded as LATIN1"):
        Ledger.open(server.url_of("latin"))
    _run(server.url_of("postgres"), "DROP DATABASE latin")


@pytest.mark.parametrize(
    ("change", "what", "do"),
    [
        ({"port": 1}, "refused|closed", "Start PostgreSQL there"),
        ({"host": "no-such-host.invalid"}, "resolve|translate", "correct the URL"),
        ({"database": "nothing"}, '"nothing" does not exist', "createdb nothing"),
        ({"username": "nobody-of-ours"}, 'role "nobody-of-ours" does not exist', "Correct the name and password"),
    ],
)
def test_a_server_that_cannot_be_used_is_told_in_one_sentence(url: str, change: Any, what: str, do: str) -> None:
    wrong = make_url(url).set(drivername="postgresql", password=SECRET).set(**change).render_as_string(False)
    with pytest.raises(Unavailable, match=f"cannot be reached: .*({what})") as caught:
        Ledger.open(wrong)
    assert do in caught.value.do
    assert "\n" not in str(caught.value)
    _no_secret(caught.value)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("bogus=1", 'invalid connection option "bogus"'),
        ("connect_timeout=abc", "bad value for connect_timeout: 'abc'"),
        ("keepalives_idle=abc", 'invalid integer value "abc" for connection option "keepalives_idle"'),
        ("sslmode=verify-ful", ': invalid sslmode value: "verify-ful"'),
        ("target_session_attrs=best", ': invalid target_session_attrs value: "best"'),
        ("port=one", "port"),
    ],
)
def test_an_option_of_the_url_that_cannot_be_used_is_bad_input_that_names_it(url: str, options: str, told: str) -> None:
    wrong = make_url(url).set(drivername="postgresql", password=SECRET).render_as_string(False)
    with pytest.raises(BadInput, match=f"has an option that cannot be used.*{re.escape(told)}") as caught:
        Ledger.open(f"{wrong}?{options}")
    assert caught.value.slug == "bad-input"
    assert "behind the ?" in caught.value.do
    assert "\n" not in str(caught.value)
    _no_secret(caught.value)


def _no_secret(error: BaseException | None) -> None:
    while error is not None:
        assert SECRET not in f"{error} {error!r}"
        error = error.__cause__ or error.__context__


def test_a_wrong_password_is_told_and_never_shown(server: Databases) -> None:
    if server.cluster is None:
        pytest.skip("asks for no passwords: the server of SUREFOOT_TEST_POSTGRES_URL is not ours to change")
    _run(server.url_of("postgres"), "DROP ROLE IF EXISTS closed", "CREATE ROLE closed LOGIN PASSWORD 'open'")
    with server.cluster.asking_passwords("closed"):
        for secret in (f":{SECRET}", ""):
            url = server.url_of("postgres").replace("surefoot@", f"closed{secret}@")
            with pytest.raises(Unavailable, match="password") as caught:
                Ledger.open(url)
            assert caught.value.do == "Correct the name and password in the URL."
            _no_secret(caught.value)
        in_query = server.url_of("postgres").replace("surefoot@", "closed@") + f"?password={SECRET}"
        with pytest.raises(Unavailable) as caught:
            Ledger.open(in_query)
        _no_secret(caught.value)
        assert caught.value.what.startswith("The ledger postgresql://closed@127.0.0.1:")


def test_a_user_that_may_not_make_tables_is_told_so(server: Databases) -> None:
    url = server.bare()
    _run(url, "DROP ROLE IF EXISTS reader", "CREATE ROLE reader LOGIN", "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    with pytest.raises(Unavailable, match="permission denied for schema public"):
        Ledger.open(url.replace("surefoot@", "reader@"))


def test_no_text_shows_the_password(url: str) -> None:
    opened = Ledger.open(make_url(url).set(drivername="postgresql", password=SECRET).render_as_string(False))
    with opened as ledger:
        shown = f"{ledger!r} {ledger.name} {ledger._place!r} {ledger._place.name} {ledger._place.engine!r}"
    assert SECRET not in shown
    assert re.search(r"<Ledger postgresql://surefoot@127.0.0.1:\d+/\w+>", shown)


def test_without_its_driver_the_error_tells_what_to_install() -> None:
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from surefoot.ledger import Ledger\n"
        "from surefoot.core.errors import BadInput\n"
        "try: Ledger.open('postgresql://me:hush-hush@box/db')\n"
        "except BadInput as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "needs psycopg" in done.stdout
    assert "pip install 'psycopg[binary]'" in done.stdout
    assert SECRET not in done.stdout + done.stderr


def test_a_server_that_was_restarted_is_reached_again(tmp_path: Path) -> None:
    try:
        cluster = Cluster(lasting=True)
    except NoPostgres as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
    pen = Pen()
    run = a_flow_run(pen, "brave-otter").enter(RUNNING)
    with cluster, Ledger.open(cluster.url()) as ledger:
        ledger.fold(pen.batches())
        ledger.make_durable()
        cluster.restart()  # as after a crash: what was made durable is there
        with ledger.read() as connection:
            assert queries.find_flow_run(connection, "brave-otter").state_type is RUNNING
        run.enter(COMPLETED)
        assert ledger.fold(pen.batches()).count == 1
        with ledger.read() as connection:
            cluster.restart()
            with pytest.raises((Unavailable, OperationalError)):
                queries.find_flow_run(connection, "brave-otter")
    with pytest.raises(Unavailable, match="cannot be reached"):
        Ledger.open(cluster.url())
