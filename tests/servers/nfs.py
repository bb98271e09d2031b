"""Real NFS: a kernel with a server and two clients of it, inside User Mode Linux, which is an ordinary program.

The kernel of the machine needs no NFS for that, and its owner no rights. The guest's root is the machine's, read-only;
a program of the tests runs in it with the two mounts as arguments, and what it prints comes back.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tests.servers.processes import die_with_parent

CLIENTS = {"a": "vers=4.2,nosharecache", "b": "vers=4.1,nosharecache"}
"""What the clients mount with; all else is the kernel's default.

Two mounts have caches of their own only without sharing, and the server takes them for one client, whose own changes
recall none of its delegations, unless their versions differ.
"""

NFSD_OPTIONS = "-N 3 -G 10 -L 10 4"
MEMORY_MIB = 512
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PROGRAMS = ("linux.uml", "modprobe", "exportfs", "rpc.nfsd", "rpc.mountd", "mount.nfs4", "ip")
_MODULES = Path("/usr/lib/uml/modules")
_PACKAGES = "user-mode-linux nfs-kernel-server nfs-common kmod iproute2"
_ENDED = "guest ended with"

_INIT = """#!/bin/bash
export PATH={path} HOME=/run LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/shm
for d in /dev/shm /run /mnt /var/lib/nfs /var/tmp; do mount -t tmpfs tmpfs $d; done
mkdir -p /mnt/lib; ln -s {modules} /mnt/lib/modules
mkdir -p /mnt/exp /mnt/a /mnt/b /var/lib/nfs/v4recovery /run/rpc_pipefs
touch /var/lib/nfs/etab /var/lib/nfs/rmtab
up() {{
  ip link set lo up && modprobe -d /mnt nfsd && modprobe -d /mnt nfs && modprobe -d /mnt nfsv4 &&
  mount -t nfsd nfsd /proc/fs/nfsd && mount -t rpc_pipefs rpc /run/rpc_pipefs &&
  exportfs -o rw,fsid=0,no_root_squash,insecure,no_subtree_check,sync 127.0.0.1:/mnt/exp &&
  rpc.nfsd {nfsd} && rpc.mountd -N 3 -p 20048 &&
  {mounts}
}}
up && (cd {root} && {command}); echo; echo "{ended} $?"
sync; echo o >/proc/sysrq-trigger; sleep 5
"""


class NFSUnavailable(Exception):
    """There is no User Mode Linux with NFS here; the message says what to install."""


def run_with_nfs(folder: Path, module: str, *, options: str = "", timeout_s: float = 180.0) -> list[str]:
    """Boot a guest, run ``python -m MODULE /mnt/a /mnt/b`` in it, and return the lines that it printed.

    ``options`` (``,nocto``) are added to those of both mounts. Raises ``AssertionError`` with the guest's console when
    the guest or the program fails.
    """
    kernel = find_kernel()
    folder.mkdir(parents=True)
    init = folder / "init"
    command = shlex.join([sys.executable, "-m", module, "/mnt/a", "/mnt/b"])
    facts = {"path": _PATH, "modules": _MODULES, "ended": _ENDED, "nfsd": NFSD_OPTIONS}
    mounts = " && ".join(f"mount -t nfs4 -o {own}{options} 127.0.0.1:/ /mnt/{name}" for name, own in CLIENTS.items())
    root = shlex.quote(str(Path(__file__).resolve().parents[2]))
    init.write_text(_INIT.format(**facts, root=root, command=command, mounts=mounts))
    init.chmod(0o755)
    console = _boot([kernel, f"mem={MEMORY_MIB}M", f"init={init}", f"uml_dir={folder}"], folder, timeout_s)
    lines = console.splitlines()
    assert f"{_ENDED} 0" in lines, f"the guest failed:\n{console[-6000:]}"
    return lines


def find_kernel() -> str:
    """Return the program, or raise :class:`NFSUnavailable`."""
    missing = [name for name in _PROGRAMS if shutil.which(name, path=_PATH) is None]
    if missing or not _MODULES.is_dir():
        raise NFSUnavailable(f"no {', '.join(missing) or _MODULES} found; run scripts/test-servers ({_PACKAGES})")
    return str(shutil.which(_PROGRAMS[0], path=_PATH))


def _boot(command: list[str], folder: Path, timeout_s: float) -> str:
    """Run a guest to its end and return what its console showed."""
    options = ["rootfstype=hostfs", "rootflags=/", "ro", "root=/dev/root", "con0=fd:0,fd:1", "con=null", "quiet"]
    with (folder / "console").open("wb") as console:
        process = subprocess.Popen(
            [*command, *options, "umid=guest"],
            env={"PATH": _PATH, "HOME": str(folder), "TMPDIR": _memory_folder(folder)},
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            pass
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return (folder / "console").read_text(errors="replace").replace("\r", "")


def _memory_folder(folder: Path) -> str:
    """The guest's memory is a file, for which containers often have no room where it belongs."""
    shared = Path("/dev/shm")
    is_fit = os.access(shared, os.W_OK | os.X_OK) and shutil.disk_usage(shared).free > (2 * MEMORY_MIB) << 20
    return str(shared if is_fit else folder)
