"""Facts appended to the journal: run facts and log lines, by one thread and by eight."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from _measure import HOME, QUICK, in_turn, rate, tell
from msgspec.msgpack import Encoder

from surefoot.core.clock import get_clock
from surefoot.core.facts import LogWritten, StateEntered
from surefoot.core.ids import new_id
from surefoot.core.states import StateType
from surefoot.journal.home import Home
from surefoot.journal.recorder import Recorder

COUNT = 100 if QUICK else 200_000
THREADS = 8
FLOOR = "encoding the same fact"


def main() -> None:
    recorder = Recorder(Home(HOME))
    clock = get_clock()
    state = StateEntered(new_id(), True, 0, 1, clock.now_us(), clock.mono_us(), StateType.RUNNING, "Running")
    line = LogWritten(clock.now_us(), 20, "surefoot.flow_runs", "a line of about forty characters, as usual", new_id())

    def states(count: int = COUNT) -> None:
        for _ in range(count):
            recorder.run(state)

    def states_by_threads() -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(states, [COUNT // THREADS] * THREADS))

    def lines() -> None:
        for _ in range(COUNT):
            recorder.log(line)

    measure("appends", states, state)
    measure(f"appends by {THREADS} threads", states_by_threads, state)
    measure("appends of log lines", lines, line)
    recorder.close()


def measure(figure: str, work: Callable[[], None], fact: StateEntered | LogWritten) -> None:
    encode = Encoder().encode

    def encoded() -> None:
        for _ in range(COUNT):
            encode(fact)

    tell(figure, in_turn(partial(rate, COUNT, work), partial(rate, COUNT, encoded), rounds=5), "1/s", FLOOR)


if __name__ == "__main__":
    main()
