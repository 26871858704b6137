"""Task functions for the tests of executors: harmless, slow, poisonous and deadly ones.

A module of its own, because workers import it by name.
"""

from __future__ import annotations

import ctypes
import fcntl
import logging
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time


def nothing():
    return None


def add(a, b):
    return a + b


def say(text):
    print(text)
    return text


def say_in_all_ways():
    print("python")
    print("stderr", file=sys.stderr)
    os.write(1, b"descriptor\n")
    ctypes.CDLL(None).puts(b"from C")
    subprocess.run(["sh", "-c", "echo from a child"], check=True, timeout=10)
    logging.getLogger("chore").info("logged")
    sys.stdout.write("no newline")


def write_pid_and_sleep(path, seconds=60.0):
    """Begin visibly, then take long."""
    with open(path + "~", "w") as file:
        file.write(str(os.getpid()))
    os.rename(path + "~", path)
    time.sleep(seconds)


def note(path, text):
    """Append a line, in one write."""
    with open(path, "a") as file:
        file.write(text + "\n")


def about_here():
    """What a task can see of its process."""
    return {
        "pid": os.getpid(),
        "group": os.getpgid(0),
        "cwd": os.getcwd(),
        "env": dict(os.environ),
        "stdin": sys.stdin.read(),
        "argv": sys.argv,
        "main": getattr(sys.modules["__main__"], "__file__", None),
        "files": sorted(os.readlink(f"/proc/self/fd/{fd}") for fd in fds()),
    }


def fds():
    found = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            continue
        found.append(int(fd))
    return found


def count_fds():
    return len(fds())


def stay_until_cancelled(path):
    """Sleep; when cancelled, say so in a file and go on ending."""
    try:
        write_pid_and_sleep(path)
    except BaseException as error:
        note(path + ".seen", type(error).__name__)
        raise


def ignore_cancel(path):
    """Swallow every exception."""
    write_pid_and_sleep(path, 0.0)
    while True:
        try:
            time.sleep(60.0)
        except BaseException:
            note(path + ".seen", "swallowed")


def hold_the_gil(path, seconds):
    """Stay in C without letting go of the interpreter; the pid in a file says that it is there.

    One call, from before the file is written: outside of it another thread has its turn.
    """
    note = f"echo {os.getpid()} > '{path}~' && mv '{path}~' '{path}'"
    ctypes.PyDLL(None).system(f"{note} && exec sleep {seconds}".encode())


def family(path):
    """A shell, its child, and one that has left for a session of its own; their pids to a file."""
    shell = subprocess.Popen(
        ["sh", "-c", "sleep 300 & echo $!; wait"], stdout=subprocess.PIPE, text=True
    )
    stray = subprocess.Popen(
        ["sh", "-c", "sleep 301 & echo $!; wait"],
        stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    forked = os.fork()
    if forked == 0:
        os.setsid()
        time.sleep(300)
        os._exit(0)
    pids = [
        os.getpid(), shell.pid, int(shell.stdout.readline()),
        stray.pid, int(stray.stdout.readline()), forked,
    ]  # fmt: skip
    with open(path + "~", "w") as file:
        file.write(" ".join(map(str, pids)))
    os.rename(path + "~", path)
    hold_the_gil(path + ".pid", 300)


# --- deaths and poison --------------------------------------------------------------------------


def kill_me():
    os.kill(os.getpid(), signal.SIGKILL)


def term_me():
    os.kill(os.getpid(), signal.SIGTERM)


def abort_me():
    os.abort()


def exit_hard(code=3):
    os._exit(code)


def exit_softly(code=4):
    sys.exit(code)


def segfault():
    ctypes.string_at(0)


def divide():
    return 1 // 0


class TwoArguments(Exception):
    def __init__(self, a, b):
        super().__init__(f"{a} and {b}")


def raise_two_arguments():
    raise TwoArguments(1, 2)


class NoText(Exception):
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


def raise_without_text():
    raise NoText


def raise_huge_message():
    raise ValueError("x" * 50_000_000)


def raise_keyboard_interrupt():
    raise KeyboardInterrupt


def raise_base():
    raise BaseException("the base of all")


def raise_deep_chain():
    error = None
    for n in range(3000):
        new = ValueError(n)
        new.__cause__ = error
        error = new
    raise error


def recurse():
    return recurse()


def memory_error():
    return bytearray(1 << 62)


def use_memory(mebibytes, seconds=0.0):
    block = bytearray(mebibytes << 20)
    for at in range(0, len(block), 4096):
        block[at] = 1
    time.sleep(seconds)
    return len(block)


def use_memory_twice(mebibytes, seconds):
    """With a child that has the same pages, which count for each of the two."""
    block = b"x" * (mebibytes << 20)
    pid = os.fork()
    if pid == 0:
        time.sleep(seconds)
        os._exit(0)
    os.waitpid(pid, 0)
    return len(block)


def return_deep():
    deep: list = []
    for _ in range(20_000):
        deep = [deep]
    return deep


def return_generator():
    return (n for n in range(3))


def return_lock():
    return threading.Lock()


class FailsToPickle:
    def __reduce__(self):
        raise RuntimeError("no")


class FailsToUnpickle:
    def __reduce__(self):
        return os._exit, (9,)


def return_fails_to_pickle():
    return FailsToPickle()


def return_fails_to_unpickle():
    return FailsToUnpickle()


class Evil:
    def __getattribute__(self, name):
        raise SystemError("evil")


def return_evil():
    return Evil()


def return_itself():
    loop: list = []
    loop.append(loop)
    return loop


def fork_and_return():
    """The child comes back into the worker's code, as a careless fork does."""
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
    return "parent" if pid else "child"


def close_all_files():
    os.closerange(3, 4096)


def open_after_closing(path):
    """The numbers of what is closed mean a file of the task's own; it returns."""
    os.closerange(3, 4096)
    for _ in range(20):
        os.open(path, os.O_RDWR | os.O_CREAT)


def close_output():
    os.close(1)
    os.close(2)
    sys.stdout.close()


def garbage_to_all_files():
    """Write into every descriptor there is."""
    for fd in fds():
        if fd > 2:
            try:
                os.write(fd, b'{"garbage": 1}\n')
            except OSError:
                continue
    time.sleep(30)


def flood_all_files():
    """Megabytes without an end of line."""
    for fd in fds():
        if fd > 2 and os.readlink(f"/proc/self/fd/{fd}").startswith("pipe:"):
            try:
                for _ in range(100):
                    os.write(fd, b"x" * 100_000)
            except OSError:
                continue
    time.sleep(30)


def thread_that_raises():
    thread = threading.Thread(target=divide)
    thread.start()
    thread.join(5)
    return "went on"


def leave_a_thread():
    threading.Thread(target=time.sleep, args=(300,)).start()
    return "left"


def leave_a_child():
    child = subprocess.Popen(["sleep", "300"])
    return child.pid


def stray(path):
    """A program without our environment and session; its pid to a file."""
    with open(path, "w") as file:
        keyword = subprocess.Popen(["sleep", "300"], env={}, start_new_session=True)
        positions = subprocess.Popen(["sleep", "300"], -1, None, None, None, None, None)
        own = subprocess.run(
            ["sh", "-c", f"echo kept >&{file.fileno()}"], pass_fds=[file.fileno()], timeout=10
        )
    note(path, f"{keyword.pid} {positions.pid} {own.returncode}")


def stray_and_die(path):
    stray(path)
    kill_me()


def note_subprocess_after_closing(path):
    """The lock's descriptor is closed, and its number means another file."""
    os.closerange(3, 4096)
    for _ in range(20):
        os.open("/dev/null", os.O_RDONLY)
    note(path, str(subprocess.run(["true"], timeout=10).returncode))
    time.sleep(30)


def use_multiprocessing():
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(abs, [-1, -2])


def limit_files():
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    return "limited"


def stop_me():
    os.kill(os.getpid(), signal.SIGSTOP)


def noisy(n):
    for _ in range(n):
        print("x" * 99)


def big_text(n):
    return "x" * n


def go_elsewhere(seconds=0.0):
    os.chdir("/")
    time.sleep(seconds)


def where():
    return os.getcwd()


def close_stderr():
    os.close(2)


def complain():
    print("complaint", file=sys.stderr)


def close_the_inbox():
    """Close the pipe by which the worker hears; the lowest descriptors above the usual three."""
    pipes = [
        fd for fd in fds() if fd > 2 and os.readlink(f"/proc/self/fd/{fd}").startswith("pipe:")
    ]
    for fd in pipes:
        if not fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_WRONLY:
            os.close(fd)
