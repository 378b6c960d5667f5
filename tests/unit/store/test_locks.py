from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from buildkit_py.errors import StoreBusyError, StoreError
from buildkit_py.store import Store
from buildkit_py.store.locks import is_held, try_acquire

HOLD = """
with Store.open(root).lock("step"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_waiter_learns_who_holds_the_lock_and_gives_up_in_time(store: Store, spawn) -> None:
    holder = spawn(HOLD)
    assert holder.stdout.readline() == "held\n"
    told: list[int] = []
    with (
        pytest.raises(StoreBusyError, match=f"process {holder.pid} holds 'step'"),
        store.lock("step", timeout=0.05, waiting=told.append),
    ):
        pass
    assert told == [holder.pid]


def test_a_stopped_holder_is_named_with_what_to_do(store: Store, spawn) -> None:
    holder = spawn(HOLD)
    holder.stdout.readline()
    os.kill(holder.pid, signal.SIGSTOP)
    os.waitpid(holder.pid, os.WUNTRACED)
    with pytest.raises(StoreBusyError) as caught, store.lock("step", timeout=0.05):
        pass
    assert f"kill -CONT {holder.pid}" in (caught.value.hint or "")


def test_the_lock_of_a_killed_holder_is_taken_over(store: Store, spawn) -> None:
    holder = spawn(HOLD)
    holder.stdout.readline()
    waiting = threading.Event()
    got = threading.Event()

    def wait() -> None:
        with store.lock("step", waiting=lambda pid: waiting.set()):
            got.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert waiting.wait(60)
    assert not got.is_set()
    holder.kill()
    thread.join()
    assert got.is_set()


def test_a_child_does_not_keep_its_killed_parents_lock(store: Store, spawn) -> None:
    holder = spawn(
        """
        import subprocess
        with Store.open(root).lock("step"):
            forked = os.fork()
            if forked == 0:
                time.sleep(600)
            executed = subprocess.Popen(["sleep", "600"], close_fds=False)
            print(forked, executed.pid, flush=True)
            time.sleep(600)
        """
    )
    children = [int(pid) for pid in holder.stdout.readline().split()]
    holder.kill()
    holder.wait()
    try:
        with store.lock("step", timeout=30):
            pass
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)


def test_threads_of_one_process_exclude_each_other(store: Store) -> None:
    inside, most = 0, 0
    guard = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        for _ in range(20):
            with store.lock("counter"):
                with guard:
                    inside += 1
                    most = max(most, inside)
                with guard:
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_shared_holders_stand_beside_each_other_and_keep_an_exclusive_one_out(store: Store) -> None:
    with store.lock("data", exclusive=False), store.lock("data", exclusive=False):
        with pytest.raises(StoreBusyError), store.lock("data", timeout=0):
            pass
        assert is_held(store.layout.lock("data"))
    with store.lock("data", timeout=0):
        pass


def test_a_released_lock_leaves_no_file(store: Store) -> None:
    with store.lock("../../etc/passwd"):
        assert store.layout.lock("../../etc/passwd").parent == store.layout.locks
    assert [path.name for path in store.layout.locks.iterdir() if len(path.name) == 64] == []


def test_a_lock_file_that_is_removed_and_made_again_is_still_one_lock(store: Store, tmp_path: Path, spawn) -> None:
    """Many processes take and release in turn, so that the file vanishes under those who wait."""
    code = """
    store, counter = Store.open(root), Path(sys.argv[2])
    for _ in range(40):
        with store.lock("count"):
            counter.write_text(str(int(counter.read_text()) + 1))
    """
    counter = tmp_path / "counter"
    counter.write_text("0")
    processes = [spawn(code, counter) for _ in range(6)]
    assert [process.wait() for process in processes] == [0] * 6
    assert counter.read_text() == "240"


def test_a_link_in_place_of_a_lock_file_is_refused(store: Store, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.write_text("untouched")
    store.layout.lock("step").symlink_to(canary)
    with pytest.raises(StoreError, match="symbolic link"), store.lock("step"):
        pass
    assert canary.read_text() == "untouched"


def test_probing_a_lock_does_not_take_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_held(path)
    held = try_acquire(path)
    assert held is not None
    assert is_held(path)
    assert try_acquire(path) is None
    held.release()
    assert not is_held(path)
