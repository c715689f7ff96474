"""Run cases in a child process with little memory and time; a case that ends the child counts, and the next goes on."""

import os
import resource
import select
import signal
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

MEMORY = 2 << 30
"""Bytes that a case may take beyond what the process has."""
SECONDS = 5.0
"""Of computing, not of waiting: a busy machine makes no hang."""
_PATIENCE = 120.0
"""Seconds on the clock after which a case that cannot be interrupted is killed."""
VERDICTS = ("accepted", "refused", "foreign", "hang", "died")


class Hang(BaseException):
    """A case takes too long."""


@dataclass
class Tally:
    """What became of the cases of a target.

    ``kinds`` holds for each kind of fault the number of cases, ``first`` the number of the first of them.
    """

    verdicts: Counter = field(default_factory=Counter)
    kinds: Counter = field(default_factory=Counter)
    first: dict = field(default_factory=dict)
    slowest: float = 0.0
    peak: int = 0

    def add(self, number, verdict, kind, seconds, peak):
        self.verdicts[verdict] += 1
        self.slowest, self.peak = max(self.slowest, seconds), max(self.peak, peak)
        if kind:
            self.kinds[kind] += 1
            self.first.setdefault(kind, number)

    @property
    def faults(self):
        return sum(self.verdicts[verdict] for verdict in VERDICTS[2:])


def case(target, seed, number):
    """Return the input of one case: the same for the same three."""
    return target.make(Random(f"{target.name}/{seed}/{number}"))


def run_cases(target, numbers, seed, folder):
    """Return the ``Tally`` of cases."""
    target.prepare()
    tally, waiting = Tally(), list(numbers)
    while waiting:
        done = _run_child(target, waiting, seed, folder, tally)
        waiting = waiting[done:]
    return tally


def _run_child(target, numbers, seed, folder, tally):
    """Fork a child for the cases and read its verdicts; return how many cases are done."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _work(target, numbers, seed, Path(folder), writing)
    os.close(writing)
    done, rest = 0, b""
    with open(reading, "rb", buffering=0) as pipe:
        while True:
            ready, _, _ = select.select([pipe], [], [], _PATIENCE)
            chunk = pipe.read(1 << 16) if ready else None
            if not chunk:
                break
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                verdict, seconds, peak, kind = line.decode(errors="replace").split("\t", 3)
                tally.add(numbers[done], verdict, kind, float(seconds), int(peak))
                done += 1
    if chunk is None:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if done < len(numbers):
        hangs = chunk is None
        ending = (
            f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit {os.waitstatus_to_exitcode(status)}"
        )
        tally.add(numbers[done], "hang" if hangs else "died", f"no answer ({ending})", _PATIENCE if hangs else 0.0, 0)
        done += 1
    return done


def _work(target, numbers, seed, folder, pipe):
    """Try the cases, write a line each, and end the process."""
    try:
        _limit()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # decoders in C complain there
        for number in numbers:
            os.write(pipe, _attempt(target, case(target, seed, number), folder).encode("utf-8", "replace"))
        os._exit(0)
    finally:  # never into what the parent was about to do
        os._exit(1)


def _limit():
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    size = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, _stop)


def _stop(number, frame):
    raise Hang


def _attempt(target, data, folder):
    before, start, kind = _peak(), time.process_time(), ""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        target.attempt(data, folder)
        verdict = "accepted"
    except target.refusals:
        verdict = "refused"
    except Hang as hang:
        verdict, kind = "hang", _kind(hang)
    except BaseException as error:
        verdict, kind = "foreign", _kind(error)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return f"{verdict}\t{time.process_time() - start:.3f}\t{_peak() - before}\t{kind}\n"


def _peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _kind(error):
    """Return type and place of an error: the last line of ours, and where below it."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "bus_toolkit" in f.filename]
    places = dict.fromkeys(f"{Path(f.filename).name}:{f.lineno}" for f in (*ours[-1:], *frames[-1:]))
    return f"{type(error).__name__} at {' in '.join(reversed(places))}: {ascii(str(error))[:100]}"
