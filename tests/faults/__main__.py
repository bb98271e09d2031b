"""Faults without end, for people: ``python -m tests.faults --minutes 5 --seed 1``; see docs/howto/develop.md."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from modelpool.storage.failpoints import MOVE_STEPS, STEPS
from tests.faults import mischief
from tests.faults.mischief import Mischief
from tests.faults.servers import serve_remote
from tests.faults.site import BUCKETS, DISK, ROWS, SHARE, Site, open_site
from tests.faults.trial import Trial, begin_trial
from tests.sandbox import fresh_path
from tests.servers.postgres import PostgresServer, start_postgres

_STORES = (DISK, ROWS, BUCKETS, SHARE)
_LONGEST_S = 5.0
_AT_ONCE = 3
_KILLS_AT_FILES = tuple(f"killed at {step}" for step in STEPS if step.startswith("file."))
_SWEPT_AFTER = "5s"


def main() -> int:
    """Run rounds until the time is over; exit code 1 when anything was wrong."""
    arguments = _parse()
    chance = random.Random(arguments.seed)
    folder = Path(tempfile.mkdtemp(prefix="modelpool-faults-"))
    _say(f"seed {arguments.seed}; histories are in {folder}")
    wrong = rounds = 0
    until = time.monotonic() + 60 * arguments.minutes
    with _running(nodes=arguments.nodes, is_postgres=arguments.database == "postgres") as (site, server):
        kinds = _kinds(server)
        while time.monotonic() < until:
            rounds += 1
            file = folder / f"round-{rounds}.jsonl"
            faults = _round(site, file, chance, kinds, only=arguments.only)
            wrong += len(faults)
            for fault in faults:
                _say(f"  WRONG {fault}")
        if wrong:
            _keep_logs(site, folder)
    _say(f"{rounds} rounds, {wrong} violations; histories are in {folder}")
    return int(wrong > 0)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="begin no new round after so many (default: 5)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of the choice of faults")
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="postgres")
    parser.add_argument("--nodes", type=int, default=2, help="servers on the one database (default: 2)")
    parser.add_argument("--only", default="", help="only faults that have this in their name")
    arguments = parser.parse_args()
    if arguments.database == "sqlite":
        arguments.nodes = 1
    return arguments


@contextmanager
def _running(*, nodes: int, is_postgres: bool) -> Iterator[tuple[Site, PostgresServer | None]]:
    with ExitStack() as stack:
        remote = stack.enter_context(serve_remote())
        server, url = None, ""
        if is_postgres:
            server = start_postgres(fresh_path("faults-postgres"))
            stack.callback(server.stop)
            url = server.create_database("faults")
        yield stack.enter_context(open_site(fresh_path("faults"), remote, database_url=url, nodes=nodes)), server


def _kinds(server: PostgresServer | None) -> list[Mischief]:
    of_database = (mischief.DATABASE_LOCKED,) if server is None else mischief.of_postgres(server)
    killed = [mischief.killed_at(step) for step in STEPS]
    return [*mischief.OF_STORES, *mischief.OF_DISKS, *mischief.OF_NODES, *of_database, *killed]


def _round(site: Site, file: Path, chance: random.Random, kinds: list[Mischief], *, only: str) -> list[str]:
    """Some faults at once, begun at random times, each for a while; perhaps files move, and old ones are swept."""
    chosen = [kind for kind in kinds if only in kind.name]
    chosen = chance.sample(chosen, min(chance.randint(1, _AT_ONCE), len(chosen)))
    began, problems = time.monotonic(), []
    with begin_trial(site, file) as trial:
        trial.is_strict = False
        to, step = chance.choice(_STORES), chance.choice([*MOVE_STEPS, ""])
        mover = chance.choice(trial.tenants)
        chosen = _compatible(chosen)
        work = [_endured(trial, kind, chance.uniform(0, 2), chance.uniform(0.5, _LONGEST_S)) for kind in chosen]
        here = [do for do, kind in zip(work, chosen, strict=True) if kind.starts_servers]
        beside: list[Callable[[], object]] = [do for do in work if do not in here]
        beside.append(lambda: trial.move(mover, to, failpoint=step))
        beside.append(lambda: site.run("store", "sweep", "--grace", _SWEPT_AFTER, check=False))
        with trial.load(seed=chance.randrange(10**6)):
            problems = _do_all(here, beside)
        names = ", ".join(kind.name for kind in chosen)
        _say(f"{file.stem}: {names}; {mover.name} to {to} {step}")
        try:
            trial.wait_until_well()
            trial.finish_move(mover, to)
            problems += trial.conclude()
            site.delete_models(trial.tenants, trial.models)
        except AssertionError as error:
            problems.append(f"it does not come back: {error}")
    _say(f"  {trial.told()}; well after {trial.recovered_s:.1f} s, {time.monotonic() - began:.1f} s in all")
    return problems


def _compatible(chosen: list[Mischief]) -> list[Mischief]:
    """Of each group one: the proxies forget all faults at the end of one, no server is stopped twice, and nobody
    comes to a step with a file while none can be written.
    """
    groups: dict[str, Mischief] = {}
    for kind in chosen:
        is_of_files = DISK in kind.hurts or kind.name in ("no file can grow", *_KILLS_AT_FILES)
        group = "remote" if BUCKETS in kind.hurts else "disk" if is_of_files else kind.name.partition(" ")[0]
        groups.setdefault("database" if group in ("node", "web") else group, kind)
    return list(groups.values())


def _endured(trial: Trial, kind: Mischief, after_s: float, seconds: float) -> Callable[[], None]:
    def endure() -> None:
        time.sleep(after_s)
        trial.endure(kind, seconds=seconds)

    return endure


def _do_all(here: Sequence[Callable[[], object]], beside: Sequence[Callable[[], object]]) -> list[str]:
    problems: list[str] = []

    def attempt(one: Callable[[], object]) -> None:
        try:
            one()
        except Exception as error:  # noqa: BLE001 - told at the end of the round
            problems.append(f"a fault could not be made, or mended: {error!r}")

    threads = [threading.Thread(target=attempt, args=(one,)) for one in beside]
    for thread in threads:
        thread.start()
    for one in here:
        attempt(one)
    for thread in threads:
        thread.join()
    return problems


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def _keep_logs(site: Site, folder: Path) -> None:
    for node in site.nodes:
        if node.served is not None:
            (folder / f"{node.home.name}.log").write_text(node.served.log())


if __name__ == "__main__":
    sys.exit(main())
