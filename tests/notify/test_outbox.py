"""What waits in the outbox, for how long, and what makes one message of many; with a clock that jumps."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from surefoot.core.clock import get_clock
from surefoot.notify.bursts import Bursts
from surefoot.notify.notices import Notice, Rules
from surefoot.notify.outbox import Outbox
from surefoot.notify.postman import Postman
from surefoot.notify.wording import document, subject, text
from surefoot.testing import Clock
from tests.notify.servers import Inbox

DOWN = "http://127.0.0.1:9/hook"  # the port of `discard`, where nobody listens


@pytest.fixture
def clock() -> Iterator[Clock]:
    with Clock() as clock:
        yield clock


@pytest.fixture
def postman(home: Path) -> Postman:
    return Postman(str(home), timeout_s=1, burst_s=60)


def a_notice(number: int = 0, event: str = "failure", flow: str = "backup", reason: str = "refused") -> Notice:
    at_us = get_clock().now_us()
    return Notice(id=f"{number:032x}-0", event=event, flow=flow, at_us=at_us, run=f"run-{number}", reason=reason)  # type: ignore[arg-type]


def _url(hook: Inbox) -> str:
    return f"http://127.0.0.1:{hook.port}/hook"


def _rules(url: str) -> Rules:
    return Rules({"on_failure": [url], "on_recovery": [url]})


def test_what_cannot_be_sent_is_tried_less_and_less_often(clock: Clock, postman: Postman) -> None:
    postman.outbox.put(a_notice(), [DOWN])
    pauses = []
    for _ in range(12):
        before_us = clock.now_us()
        next_us = postman.round()
        assert next_us is not None
        pauses.append(round((next_us - before_us) / 1e6))
        clock.advance(seconds=(next_us - before_us) / 1e6 + 0.01)
    assert pauses[0] <= 1
    assert 60 in pauses
    assert pauses[-1] == 3600
    assert pauses == sorted(pauses)


def test_a_message_is_given_up_after_three_days_and_kept_to_be_seen(clock: Clock, postman: Postman) -> None:
    postman.outbox.put(a_notice(), [DOWN])
    clock.advance(days=3, seconds=1)
    postman.round()
    [entry] = postman.outbox.entries()
    assert entry.is_given_up
    assert postman.outbox.due() == ([], None)


def test_there_are_never_more_than_a_thousand_messages(home: Path) -> None:
    outbox = Outbox(str(home))
    for number in range(1003):
        outbox.put(a_notice(number), [DOWN])
    assert len(outbox.entries()) == 1000
    assert outbox.entries()[-1].name == a_notice(1002).id


def test_a_target_that_does_not_answer_is_asked_once_in_a_round(clock: Clock, hook: Inbox, home: Path) -> None:
    postman = Postman(str(home), timeout_s=0.3)
    hook.silent.clear()
    for number in range(5):
        postman.outbox.put(a_notice(number), [_url(hook)])
    postman.round()
    assert hook.knocked.wait(10)
    assert hook.connections == 1
    assert {"timed out" in entry.error for entry in postman.outbox.entries()} == {True}


def test_a_message_to_what_is_no_longer_installed_holds_no_other_up(hook: Inbox, postman: Postman) -> None:
    postman.outbox.put(a_notice(1), ["no scheme"])
    postman.outbox.put(a_notice(2), [_url(hook)])
    postman.round()
    assert len(hook.arrived) == 1
    [entry] = postman.outbox.entries()
    assert "is not a URL" in entry.error


def test_a_message_that_another_process_sends_is_left_alone(hook: Inbox, postman: Postman) -> None:
    entry = postman.outbox.put(a_notice(), [_url(hook)])
    with postman.outbox.claimed(entry.name) as claimed:
        assert claimed is not None
        postman.round()
    assert hook.connections == 0
    postman.round()
    assert len(hook.arrived) == 1


def test_what_is_damaged_or_newer_in_the_outbox_holds_nothing_up(hook: Inbox, postman: Postman) -> None:
    postman.outbox.put(a_notice(1), [_url(hook)])
    Path(postman.outbox.path, "0.json").write_text('{"notice": 3}')
    Path(postman.outbox.path, "1.json").write_bytes(b"\0")
    next_us = postman.round()
    assert len(hook.arrived) == 1
    assert next_us is not None
    assert next_us > get_clock().now_us() + 3_000_000_000
    assert sorted(os.listdir(postman.outbox.path)) == ["0.json", "0.json.lock", "1.json", "1.json.lock"]


def test_half_a_file_that_was_left_behind_goes_with_a_later_message(clock: Clock, home: Path) -> None:
    outbox = Outbox(str(home))
    outbox.put(a_notice(1), [DOWN])
    half = Path(outbox.path, "1.json.abc.tmp")
    half.write_bytes(b"{")
    outbox.put(a_notice(2), [DOWN])
    assert half.exists()
    clock.advance(hours=2)
    outbox.put(a_notice(3), [DOWN])
    assert not half.exists()


def test_whoever_comes_too_late_for_a_message_leaves_nothing(home: Path) -> None:
    outbox = Outbox(str(home))
    outbox.put(a_notice(1), [DOWN])
    with outbox.claimed("gone") as entry:
        assert entry is None
    assert len(os.listdir(outbox.path)) == 1


def test_the_first_end_is_told_at_once_and_the_others_together(clock: Clock, hook: Inbox, postman: Postman) -> None:
    rules = _rules(_url(hook))
    for number in range(25):
        assert postman.bursts.lost(a_notice(number, reason=f"reason {number % 2}"), rules, ())
    postman.round()
    assert [told["count"] for told in hook.arrived] == [1]
    clock.advance(seconds=61)
    postman.round()
    assert [told["count"] for told in hook.arrived] == [1, 24]
    together = hook.arrived[1]
    assert together["flow_runs"] == [f"run-{number}" for number in range(1, 11)]
    assert together["reasons"] == [{"reason": "reason 1", "count": 12}, {"reason": "reason 0", "count": 12}]
    assert "and 14 more" in together["text"]


def test_a_storm_makes_a_message_a_minute(clock: Clock, hook: Inbox, postman: Postman) -> None:
    rules = _rules(_url(hook))
    for number in range(100):
        postman.bursts.lost(a_notice(number), rules, ())
        postman.round()
        clock.advance(seconds=6)
    assert 10 <= len(hook.arrived) <= 12
    clock.advance(seconds=61)
    postman.round()
    assert sum(told["count"] for told in hook.arrived) == 100


def test_the_next_failure_after_a_quiet_while_is_told_at_once(clock: Clock, hook: Inbox, postman: Postman) -> None:
    for number in range(3):
        postman.bursts.lost(a_notice(number), _rules(_url(hook)), ())
        postman.round()
        clock.advance(hours=24)
    assert [told["count"] for told in hook.arrived] == [1, 1, 1]
    since = [told["failed_since"] for told in hook.arrived]
    assert since == [None, hook.arrived[0]["ended"], hook.arrived[0]["ended"]]
    assert "No run of it has completed in between." in hook.arrived[2]["text"]


def test_flows_have_bursts_of_their_own(hook: Inbox, postman: Postman) -> None:
    for flow in ("backup", "load"):
        postman.bursts.lost(a_notice(hash(flow) % 1000, flow=flow), _rules(_url(hook)), ())
    postman.round()
    assert sorted(told["flow"] for told in hook.arrived) == ["backup", "load"]


def test_it_works_again_is_told_once_and_only_of_what_was_told(clock: Clock, hook: Inbox, postman: Postman) -> None:
    rules = _rules(_url(hook))
    assert not postman.bursts.completed(a_notice(0, "success"), rules, ())
    postman.bursts.lost(a_notice(1), rules, ())
    clock.advance(hours=1)
    assert postman.bursts.completed(a_notice(2, "success"), rules, ())
    assert not postman.bursts.completed(a_notice(3, "success"), rules, ())
    postman.round()
    assert [told["event"] for told in hook.arrived] == ["failure", "recovery"]


def test_files_about_flows_that_are_well_go_away(clock: Clock, home: Path, hook: Inbox, postman: Postman) -> None:
    rules = _rules(_url(hook))
    postman.bursts.lost(a_notice(1), rules, ())
    clock.advance(hours=1)
    postman.bursts.completed(a_notice(2, "success"), rules, ())
    postman.round()
    assert not list((home / "notices" / "flows").iterdir())
    assert not list((home / "notices" / "outbox").iterdir())


def test_a_clock_that_was_set_back_delays_no_message_for_long(clock: Clock, hook: Inbox, home: Path) -> None:
    postman = Postman(str(home), 1, 60)
    postman.bursts.lost(a_notice(1), _rules(_url(hook)), ())
    with Clock(start=clock.now.replace(year=clock.now.year - 1)):
        postman.bursts.lost(a_notice(2), _rules(_url(hook)), ())
        assert len(postman.outbox.entries()) == 2


def test_text_that_could_steer_a_terminal_or_a_mail_is_made_harmless() -> None:
    hostile = a_notice(reason="boom\r\nBcc: eve@example.com\x1b[31m" + "x" * 5000)
    assert subject(hostile).isprintable()
    assert len(subject(hostile)) <= 200
    assert "\x1b" not in text(hostile)
    assert max(map(len, text(hostile).splitlines())) < 1300


def test_a_document_can_be_written_as_json_whatever_is_in_it() -> None:
    assert json.loads(json.dumps(document(a_notice(reason="\ud800"))))["schema"] == 1


@given(st.lists(st.tuples(st.sampled_from(["lost", "done", "wait", "round"]), st.integers(1, 90)), max_size=40))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_failure_is_told_once_and_seldom_twice_a_minute(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    home = str(tmp_path_factory.mktemp("home"))
    rules = Rules({"on_failure": [DOWN], "on_recovery": [DOWN]})
    outbox = Outbox(home)
    bursts = Bursts(home, outbox)
    lost = done = 0
    with Clock() as clock:
        for number, (step, seconds) in enumerate(steps):
            if step == "lost":
                bursts.lost(a_notice(number), rules, ())
                lost += 1
            elif step == "done":
                bursts.completed(a_notice(number, "success"), rules, ())
                done += 1
            elif step == "round":
                bursts.collect(60)
            else:
                clock.advance(seconds=seconds)
        waiting = sum(burst.count for *_, burst in bursts.waiting())
    told = [entry.notice for entry in outbox.entries()]
    failures = [notice for notice in told if notice.event == "failure"]
    recoveries = [notice for notice in told if notice.event == "recovery"]
    assert sum(notice.count for notice in failures) + waiting == lost
    assert len(recoveries) <= min(done, len(failures))
    made = [entry.made_us for entry in outbox.entries() if entry.notice.event == "failure"]
    assert all(after - before >= 60_000_000 for before, after in pairwise(made))
