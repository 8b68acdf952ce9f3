"""A process that writes a journal and ends in the way that its first argument names. Run by the tests, not imported."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable

from surefoot.core.facts import LogWritten, StateEntered
from surefoot.core.states import StateType
from surefoot.journal import pulse
from surefoot.journal import recorder as journal
from surefoot.journal.home import Home
from surefoot.journal.pulse import Pulse

home = sys.argv[2] if len(sys.argv) > 2 else ""  # there is none where this file is searched for doctests
options = sys.argv[3:]


def a_recorder() -> journal.Recorder:
    recorder = journal.Recorder(Home(home), may_map="written" not in options)
    recorder.open()
    return recorder


def a_state(n: int, state: StateType = StateType.RUNNING) -> StateEntered:
    return StateEntered(bytes(16), False, 0, n, n, n, state, "Running")


def a_line(n: int) -> LogWritten:
    return LogWritten(n, 20, "child", f"line {n}")


def say(text: object) -> None:
    os.write(1, f"{text}\n".encode())


def appending(die: Callable[[], object], before: int = 5000) -> None:
    """Append and tell each number when it is appended; die between two appends, or be killed."""
    recorder = a_recorder()
    for n in range(before):
        recorder.run(a_state(n))
        recorder.log(a_line(n))
        say(n)
    die()


def segfault() -> None:
    import faulthandler

    faulthandler._sigsegv()  # type: ignore[attr-defined]


def die_in_a_thread() -> None:
    """Several threads append; the process is killed while they do."""
    recorder = a_recorder()

    def append(number: int) -> None:
        for n in range(1_000_000):
            recorder.run(a_state(number << 32 | n))
            os.write(1, b"%d\n" % (number << 32 | n))

    for number in range(1, 5):
        threading.Thread(target=append, args=(number,), daemon=True).start()
    threading.Event().wait()


def hold() -> None:
    """Open, tell, and wait for the end of stdin; then end in order."""
    recorder = a_recorder()
    recorder.run(a_state(0))
    say(recorder.writer_id.hex())
    sys.stdin.read()
    recorder.close()


def fork() -> None:
    """Fork in the middle: both go on with the same recorder object."""
    recorder = journal.get_recorder(home)
    recorder.run(a_state(1))
    recorder.log(a_line(1))
    child = os.fork()
    for n in (2, 3):
        recorder.run(a_state(n + 10 * (child == 0)))
        recorder.log(a_line(n + 10 * (child == 0)))
    say(recorder.writer_id.hex())
    if child == 0:
        os._exit(0) if "hard" in options else sys.exit(0)
    os.waitpid(child, 0)
    recorder.run(a_state(4))


def fork_and_leave() -> None:
    """The parent is killed while its forked child lives on, silent."""
    recorder = journal.get_recorder(home)
    recorder.run(a_state(1))
    if os.fork() == 0:
        say(os.getpid())
        signal.pause()
    os.kill(os.getpid(), signal.SIGKILL)


def in_a_process(n: int) -> None:
    recorder = journal.get_recorder(home)
    recorder.run(a_state(n))
    recorder.log(a_line(n))


def processes() -> None:
    """Children of multiprocessing, started in the way that the option names, each with a writer of its own."""
    journal.get_recorder(home).run(a_state(0))
    multiprocessing.set_start_method(options[0])
    children = [multiprocessing.Process(target=in_a_process, args=(n,)) for n in (1, 2, 3)]
    for child in children:
        child.start()
    for child in children:
        child.join()


def ending() -> None:
    """Log from everything that still runs when the interpreter ends."""
    recorder = journal.get_recorder(home)
    recorder.run(a_state(1))
    atexit.register(lambda: recorder.run(a_state(2)))


def daemon() -> None:
    """A daemon thread appends as the interpreter ends; what it has appended is told."""
    recorder = journal.get_recorder(home)
    going = threading.Event()

    def append() -> None:
        for n in range(1_000_000):
            recorder.run(a_state(n))
            os.write(1, b"%d\n" % n)
            going.set()

    threading.Thread(target=append, daemon=True).start()
    going.wait()


def fill() -> None:
    """Append until lines are cut and run facts lost; tell how many of these."""
    recorder = journal.Recorder(Home(home), may_map="written" not in options)
    recorder.open()
    for n in range(80_000):
        recorder.log(a_line(n))
        if n % 8 == 0:
            recorder.run(a_state(n // 8))
    recorder.close()
    say(recorder.lost)


def limited() -> None:
    """The same where the system lets no file grow beyond the bytes that the last option says."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (int(options[-1]), int(options[-1])))
    fill()


def unprivileged() -> None:
    """Open as a user who may not write there."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    try:
        journal.get_recorder(home)
    except OSError as error:
        sys.stdout.write(str(error))


def pulses() -> None:
    """Begin so many writers that have a pulse alone, and hold them until stdin ends."""
    if options[1:] == ["as on windows"]:
        vars(pulse)["FOLDERS_MOVE_IN_USE"] = False
    place = Home(home)
    place.ensure()
    held = [Pulse.begin(place.writers_path) for _ in range(int(options[0]))]
    sys.stdin.read()
    del held


def interrupted() -> None:
    """Let a signal raise an exception within many an append; tell which appends returned."""
    recorder = a_recorder()
    returned: list[int] = []

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, interrupt)
    n = 0
    for _ in range(300):
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.0005)
            while True:
                n += 1
                recorder.run(a_state(n))
                returned.append(n)
        except KeyboardInterrupt:
            pass
    recorder.close()
    sys.stdout.write("\n".join(map(str, returned)))


DEATHS: dict[str, Callable[[], object]] = {
    "sigkill": lambda: appending(lambda: os.kill(os.getpid(), signal.SIGKILL)),
    "exit": lambda: appending(lambda: os._exit(3)),
    "segfault": lambda: appending(segfault),
    "endless": lambda: appending(lambda: None, before=1_000_000),
    "threads": die_in_a_thread,
    "hold": hold,
    "fork": fork,
    "fork-and-leave": fork_and_leave,
    "processes": processes,
    "ending": ending,
    "daemon": daemon,
    "fill": fill,
    "limited": limited,
    "pulses": pulses,
    "interrupted": interrupted,
    "unprivileged": unprivileged,
}

if __name__ == "__main__":
    DEATHS[sys.argv[1]]()
