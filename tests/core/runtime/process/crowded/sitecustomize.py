"""Loaded by the interpreter when this folder is on its path: of two forks, the system refuses the second."""

import errno
import itertools
import os

_fork, _numbers = os.fork, itertools.count()


def fork():
    if next(_numbers) % 2:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return _fork()


os.fork = fork
