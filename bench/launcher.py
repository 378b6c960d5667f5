"""Runs commands one after the other, and writes to a descriptor what they took: wall seconds, CPU seconds, the peak KiB
of the largest process, blocks of 512 bytes dirtied, exit status.

A process of its own, because the peak memory of a new program begins with that of whoever started it. Imports nothing
that makes it grow.

    python -I -S launcher.py FD < directory NUL log NUL environment NUL command NUL command …

An environment is lines of NAME=VALUE, a command is a line a word.
"""

from __future__ import annotations

import os
import sys
import time


def _one(words: list[bytes], environment: dict[bytes, bytes], log: int) -> tuple[float, float, int, int, int]:
    begin = time.perf_counter()
    pid = os.posix_spawnp(
        words[0],
        words,
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, log, 1),
            (os.POSIX_SPAWN_DUP2, log, 2),
        ],
    )
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - begin
    cpu = usage.ru_utime + usage.ru_stime
    return wall, cpu, usage.ru_maxrss, usage.ru_oublock, os.waitstatus_to_exitcode(status)


def _main() -> None:
    lines = sys.stdin.buffer.read().split(b"\0")
    directory, file, variables, commands = lines[0], lines[1], lines[2], lines[3:]
    environment = dict(line.split(b"=", 1) for line in variables.split(b"\n") if line)
    os.environb.clear()
    os.environb.update(environment)
    os.chdir(directory)
    log = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    wall = cpu = 0.0
    peak = blocks = code = 0
    for command in commands:
        took = _one(command.split(b"\n"), environment, log)
        wall, cpu, peak, blocks, code = wall + took[0], cpu + took[1], max(peak, took[2]), blocks + took[3], took[4]
        if code:
            break
    os.write(int(sys.argv[1]), b"%.6f %.6f %d %d %d" % (wall, cpu, peak, blocks, code))


_main()
