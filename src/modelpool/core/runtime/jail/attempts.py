"""What a hostile model would try, as small functions to be run inside a model process.

The self-test at start-up and the tests run them. Each returns when it got what it wanted, raises :class:`OSError` or
:class:`MemoryError` when it was stopped, and some never end. What they want is harmless: a file of the tester's own,
a connection to the tester's own socket, a signal of number 0.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Arguments = dict[str, Any]
"""``path``: a file of the tester; ``folder``: where it lies; ``port``: where the tester listens."""

_libc = ctypes.CDLL(None, use_errno=True)
_COLUMN = {"x86_64": 0, "aarch64": 1}.get(os.uname().machine, 0)
_BUFFER = ctypes.create_string_buffer(4096)


def _raw(numbers: tuple[int, int], *arguments: Any) -> int:
    result = int(_libc.syscall(numbers[_COLUMN], *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _parent() -> int:
    return os.getppid()


_RAW: dict[str, tuple[tuple[int, int], Callable[[], tuple[Any, ...]]]] = {
    "vfork": ((58, 220), lambda: (0x4111, 0, 0, 0, 0)),
    "clone a process": ((56, 220), lambda: (signal.SIGCHLD, 0, 0, 0, 0)),
    "clone into a namespace": ((56, 220), lambda: (0x3D0F00 | 0x1000_0000, 0, 0, 0, 0)),
    "ptrace the parent": ((101, 117), lambda: (16, _parent(), 0, 0)),
    "read the parent's memory": ((310, 270), lambda: (_parent(), _BUFFER, 1, _BUFFER, 1, 0)),
    "write the parent's memory": ((311, 271), lambda: (_parent(), _BUFFER, 1, _BUFFER, 1, 0)),
    "a handle of the parent": ((434, 434), lambda: (_parent(), 0)),
    "signal the parent": ((62, 129), lambda: (_parent(), 0)),
    "signal a thread of the parent": ((234, 131), lambda: (_parent(), _parent(), 0)),
    "signal the group": ((62, 129), lambda: (0, 0)),
    "queue a signal for the parent": ((129, 138), lambda: (_parent(), 0, _BUFFER)),
    "move the parent to one core": ((203, 122), lambda: (_parent(), 8, b"\x01" + bytes(7))),
    "slow the parent down": ((141, 140), lambda: (0, _parent(), 19)),
    "limits of the parent": ((302, 261), lambda: (_parent(), 7, None, _BUFFER)),
    "mount": ((165, 40), lambda: (b"none", b"/tmp", b"tmpfs", 0, 0)),
    "change the root": ((161, 51), lambda: (b"/tmp",)),
    "unshare": ((272, 97), lambda: (0x1000_0000,)),
    "enter a namespace": ((308, 268), lambda: (3, 0)),
    "io_uring": ((425, 425), lambda: (8, ctypes.create_string_buffer(256))),
    "bpf": ((321, 280), lambda: (0, ctypes.create_string_buffer(128), 128)),
    "keyctl": ((250, 219), lambda: (0, -3, 1, 0, 0)),
    "add a key": ((248, 217), lambda: (b"user", b"modelpool", b"x", 1, -3)),
    "a file in memory": ((319, 279), lambda: (b"x", 0)),
    "execute a descriptor": ((322, 281), lambda: (3, b"", None, None, 0x1000)),
    "userfaultfd": ((323, 282), lambda: (1,)),
    "perf_event_open": ((298, 241), lambda: (b"\x01\x00\x00\x00\x70" + bytes(123), 0, -1, -1, 0)),
    "personality": ((135, 92), lambda: (0x0040_0000,)),
    "shared memory": ((29, 194), lambda: (0, 4096, 0o1600)),
    "a queue of messages": ((68, 186), lambda: (0, 0o1600)),
    "lock memory": ((149, 228), lambda: (_BUFFER, 4096)),
    "watch files": ((294, 26), lambda: (0,)),
    "watch the system": ((300, 262), lambda: (0, 0)),
    "open by handle": ((304, 265), lambda: (3, _BUFFER, 0)),
    "another filter": ((317, 277), lambda: (1, 0, None)),
    "load a module": ((175, 105), lambda: (_BUFFER, 1, b"")),
    "restart the machine": ((169, 142), lambda: (0xFEE1DEAD, 672274793, 0, None)),
    "another user": ((105, 146), lambda: (0,)),
    "set the clock": ((227, 112), lambda: (0, _BUFFER)),
    "name the machine": ((170, 161), lambda: (b"x", 1)),
    "open for writing by openat2": ((437, 437), lambda: (-100, b"/tmp", _BUFFER, 24)),
    "processes by clone3": ((435, 435), lambda: (bytes(32) + bytes([signal.SIGCHLD]) + bytes(55), 88)),
}


def _executable_memory(_: Arguments) -> object:
    return mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)


def _make_memory_executable(_: Arguments) -> None:
    area = mmap.mmap(-1, 4096)
    address = ctypes.addressof(ctypes.c_char.from_buffer(area))
    if _libc.mprotect(ctypes.c_void_p(address), 4096, 5):
        raise OSError(ctypes.get_errno(), "mprotect")


def _prctl(option: int, value: int) -> Callable[[Arguments], None]:
    def attempt(_: Arguments) -> None:
        if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")

    return attempt


def _modify_descriptor_table(_: Arguments) -> None:
    if _COLUMN == 1:
        raise PermissionError(1, "this machine has none")
    _raw((154, -1), 0, _BUFFER, 16)


def _type_into_terminal(_: Arguments) -> None:
    if _libc.ioctl(0, 0x5412, ctypes.create_string_buffer(b"x")):
        raise OSError(ctypes.get_errno(), "TIOCSTI")


def _signals_on_input(_: Arguments) -> None:
    if _libc.fcntl(3, 8, _parent()):
        raise OSError(ctypes.get_errno(), "F_SETOWN")


def _tcp(arguments: Arguments) -> None:
    socket.create_connection(("127.0.0.1", arguments["port"]), timeout=2).close()


def _listen(_: Arguments) -> None:
    socket.create_server(("127.0.0.1", 0)).close()


def _udp(arguments: Arguments) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.sendto(b"x", ("127.0.0.1", arguments["port"]))


def _datagram_by_own_socket(arguments: Arguments) -> None:
    own = socket.socket(fileno=os.dup(3))
    own.sendto(b"x", f"{arguments['folder']}/socket")


def _symlink(arguments: Arguments) -> None:
    Path(f"{arguments['folder']}/symlink").symlink_to("/etc/passwd")


def _fork(_: Arguments) -> None:
    if os.fork() == 0:
        os._exit(0)


def _list_home(_: Arguments) -> object:
    return os.listdir(os.path.expanduser("~") or "/root")  # noqa: PTH111, PTH208 — what a file's code would write


def _much_memory(_: Arguments) -> int:
    parts: list[bytes] = []
    while len(parts) < 40_960:  # 40 GiB, touched
        parts.append(b"x" * (1 << 20))
    return len(parts)


def _much_shared_memory(_: Arguments) -> int:
    return len(mmap.mmap(-1, 40 << 30))


def _many_threads(_: Arguments) -> int:
    for _count in range(20_000):
        try:
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        except RuntimeError as error:  # can't start new thread
            raise MemoryError(str(error)) from error
    return 20_000


def _many_descriptors(_: Arguments) -> int:
    for _count in range(5_000):
        os.open("/dev/null", os.O_RDONLY)
    return 5_000


def _loop(_: Arguments) -> None:
    while True:
        pass


def _native_loop(_: Arguments) -> None:
    """Run the graph whose loop turns 2^62 times, as if no check had found it."""
    import onnxruntime  # type: ignore[import-untyped]

    from modelpool.core.runtime.jail.bombs import loop_graph

    onnxruntime.InferenceSession(loop_graph(), providers=["CPUExecutionProvider"]).run(None, {})


def _native_allocation(_: Arguments) -> None:
    """Run the graph whose constant takes 40 GiB, as if no check had found it."""
    import onnxruntime

    from modelpool.core.runtime.jail.bombs import constant_graph

    try:
        onnxruntime.InferenceSession(constant_graph(), providers=["CPUExecutionProvider"]).run(None, {})
    except Exception as error:
        raise MemoryError(str(error)[:200]) from error


def _crooked_tree(_: Arguments) -> object:
    """Load a skops file with a tree whose first node is its own child."""
    import numpy as np
    import skops.io
    from sklearn.tree import DecisionTreeClassifier

    from modelpool.core.errors import UnloadableModel
    from modelpool.core.formats.sklearn import build_estimator

    model = DecisionTreeClassifier(random_state=0).fit(np.arange(6.0).reshape(-1, 1), [0, 1] * 3)
    state = model.tree_.__getstate__()
    state["nodes"]["left_child"][0] = state["nodes"]["right_child"][0] = 0
    model.tree_.__setstate__(state)
    try:
        return build_estimator(skops.io.dumps(model))
    except UnloadableModel as error:
        raise PermissionError(1, error.detail) from error


def _crash(_: Arguments) -> None:
    ctypes.string_at(8)


def _abort(_: Arguments) -> None:
    os.abort()


def _fill_socket(_: Arguments) -> None:
    with socket.socket(fileno=os.dup(3)) as own:
        while True:
            own.sendall(bytes(1 << 20))


def _leave(_: Arguments) -> None:
    os._exit(0)


def _limit(what: int, value: int) -> Callable[[Arguments], None]:
    def attempt(_: Arguments) -> None:
        try:
            resource.setrlimit(what, (value, value))
        except ValueError as error:  # what Python makes of EPERM
            raise PermissionError(1, str(error)) from error

    return attempt


ATTEMPTS: dict[str, Callable[[Arguments], object]] = {
    **{name: lambda _, n=numbers, make=make: _raw(n, *make()) for name, (numbers, make) in _RAW.items()},  # type: ignore[misc]
    "read the users": lambda _: Path("/etc/passwd").read_text(),
    "read a file": lambda given: Path(given["path"]).read_bytes(),
    "read the parent's environment": lambda _: Path(f"/proc/{_parent()}/environ").read_bytes(),
    "read the parent's memory file": lambda _: os.open(f"/proc/{_parent()}/mem", os.O_RDONLY),
    "list the home": _list_home,
    "list the root": lambda _: os.listdir("/"),  # noqa: PTH208
    "write a file": lambda given: Path(given["folder"], "written").write_text("x"),
    "append to a file": lambda given: os.open(given["path"], os.O_WRONLY | os.O_APPEND),
    "empty a file": lambda given: os.truncate(given["path"], 0),
    "remove a file": lambda given: Path(given["path"]).unlink(),
    "rename a file": lambda given: Path(given["path"]).rename(f"{given['folder']}/renamed"),
    "change a file's mode": lambda given: Path(given["path"]).chmod(0o777),
    "make a folder": lambda given: Path(given["folder"], "made").mkdir(),
    "make a symbolic link": _symlink,
    "make a hard link": lambda given: Path(given["folder"], "linked").hardlink_to(given["path"]),
    "make a pipe with a name": lambda given: os.mkfifo(f"{given['folder']}/fifo"),
    "execute": lambda _: os.execv("/bin/true", ["true"]),  # noqa: S606
    "fork": _fork,
    "connect by TCP": _tcp,
    "listen by TCP": _listen,
    "send by UDP": _udp,
    "open a Unix socket": lambda _: socket.socket(socket.AF_UNIX).close(),
    "open a pair of sockets": lambda _: socket.socketpair(),
    "open a netlink socket": lambda _: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close(),
    "send elsewhere by the own socket": _datagram_by_own_socket,
    "executable memory": _executable_memory,
    "make memory executable": _make_memory_executable,
    "modify the descriptor table": _modify_descriptor_table,
    "type into a terminal": _type_into_terminal,
    "have others signalled": _signals_on_input,
    "be dumpable": _prctl(4, 1),
    "outlive the parent": _prctl(1, 0),
    "adopt orphans": _prctl(36, 1),
    "raise the number of descriptors": _limit(resource.RLIMIT_NOFILE, 1 << 20),
    "lift the limit of memory": _limit(resource.RLIMIT_AS, resource.RLIM_INFINITY),
    "take much memory": _much_memory,
    "map much memory": _much_shared_memory,
    "start many threads": _many_threads,
    "open many files": _many_descriptors,
    "allocate in native code": _native_allocation,
    "load a tree that loops": _crooked_tree,
}
"""What is tried and must be stopped with an error."""

ENDINGS: dict[str, Callable[[Arguments], object]] = {
    "loop": _loop,
    "loop in native code": _native_loop,
    "crash": _crash,
    "abort": _abort,
    "leave": _leave,
    "fill the socket": _fill_socket,
}
"""What nothing inside stops: the other side ends the process, or notices that it ended."""
