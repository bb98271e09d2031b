"""Run the benchmarks one after another and write their tables: ``make bench``, ``make bench ARGS=--quick``.

``python benchmarks/run.py [NAME …] [--quick]``; a name is what stands after ``bench_``. Each runs with the options that
the page on performance shows; ``--quick`` makes runs short, to see that all work. A benchmark that this file does not
know runs with its defaults. One that fails does not keep the others from running; the command then ends with 1.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
_QUICK = "--seconds 1 --rounds 1"
_PREDICT = ["--model logistic", "--model forest", "--model logistic --connections 1", "--workers 1 2 --seconds 2"]

# for each, the options of its runs, and of its run when all shall be quick
PLAN: dict[str, tuple[list[str], str]] = {
    "predict": (_PREDICT, _QUICK),
    "peers": (["--seconds 2 --rounds 3"], _QUICK),
    "border": (["--seconds 3 --rounds 3"], _QUICK),
    "batching": (["--seconds 3 --rounds 3"], _QUICK),
    "isolated": (["--calls 1000"], "--calls 50"),
    "lists": ([""], "--tenants 300 --requests 10"),
    "overload": (["--seconds 5"], "--seconds 1"),
    "stores": ([""], "--mib 64"),
    "startup": ([""], "--rounds 1"),
    "training": ([""], "--rounds 1"),
}


def main() -> None:
    """Run what was named, or all."""
    names = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)} (all)")
    parser.add_argument("--quick", action="store_true", help="short runs, whose figures say little")
    options = parser.parse_args()
    if unknown := set(options.names) - set(names):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    failed = [
        command for name in options.names or names for command in commands(name, options.quick) if not run(command)
    ]
    subprocess.run([sys.executable, str(HERE / "tables.py")], check=True)
    if failed:
        sys.exit("failed: " + "; ".join(failed))


def commands(name: str, quick: bool) -> list[str]:
    """Return the command lines of a benchmark, without the interpreter."""
    runs, short = PLAN.get(name, ([""], ""))
    return [f"bench_{name}.py {options}".strip() for options in ([short] if quick else runs)]


def run(command: str) -> bool:
    """Run one to its end; say how long it took and whether it went well."""
    print(f"\n== {command}", flush=True)
    began = time.monotonic()
    script, *options = command.split()
    done = subprocess.run([sys.executable, str(HERE / script), *options], check=False)
    print(f"== {command}: {time.monotonic() - began:.0f} s", flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    main()
