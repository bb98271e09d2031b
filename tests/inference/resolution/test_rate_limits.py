"""A tenant's rate is one for all processes of a node, to a few percent, whatever these die of."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from django.db import connections
from django.http import HttpResponse
from django.test import Client

from modelpool import conf
from modelpool.core.errors import RateLimited
from modelpool.core.metrics import catalogue
from modelpool.core.problems import problem_of
from modelpool.inference.current import use_data_plane
from modelpool.inference.observation.metrics import METERS
from modelpool.inference.resolution import rate_limits
from modelpool.inference.resolution.rate_limits import Accounts, Limiter, RateLimits
from modelpool.tenants.models import User
from modelpool.tenants.services import set_member, update_tenant

_HAMMER = """
import sys, time
from pathlib import Path
from uuid import UUID
from modelpool.core.errors import RateLimited
from modelpool.inference.resolution.rate_limits import Accounts, Limiter
limiter = Limiter(Accounts(Path(sys.argv[1])).of(UUID(sys.argv[2])), per_second=400.0, burst=40)
print("ready", flush=True)
began, end = map(float, sys.stdin.readline().split())
while time.monotonic() < began:
    pass
admitted = tried = 0
while time.monotonic() < end:
    tried += 1
    try:
        limiter.admit()
        admitted += 1
    except RateLimited:
        pass
print(admitted, tried, flush=True)
"""


@dataclass(frozen=True)
class _Tenant:
    pk: UUID
    predictions_per_second: float | None = None
    burst: int | None = None


def _admitted(limiter: Limiter, tries: int) -> int:
    count = 0
    for _ in range(tries):
        try:
            limiter.admit()
        except RateLimited:
            continue
        count += 1
    return count


@pytest.mark.slow
def test_four_processes_share_one_account(tmp_path):
    path, tenant = tmp_path / "limits", str(uuid4())
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", _HAMMER, str(path), tenant], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    seconds = 1.5
    began = time.monotonic() + 0.05
    answers = [worker.communicate(f"{began} {began + seconds}\n", timeout=30)[0].split() for worker in workers]
    admitted, tried = (sum(int(answer[at]) for answer in answers) for at in (0, 1))
    assert tried > 5 * admitted  # it was the limit that kept them, not the machine
    assert admitted == pytest.approx(400 * seconds + 40, rel=0.05)


def test_burst_then_rate_then_burst_again_after_a_rest(tmp_path, monkeypatch):
    now = [10**12]
    monkeypatch.setattr(time, "monotonic_ns", lambda: now[0])
    limiter = Limiter(Accounts(tmp_path / "limits").of(uuid4()), per_second=10.0, burst=5)
    assert _admitted(limiter, 20) == 5
    with pytest.raises(RateLimited) as refused:
        limiter.admit()
    assert refused.value.retry_after_s == pytest.approx(0.1)
    now[0] += 300_000_000
    assert _admitted(limiter, 20) == 3
    now[0] += 3600 * 10**9
    assert _admitted(limiter, 20) == 5


def test_tenants_have_accounts_of_their_own_also_where_their_ids_collide(tmp_path):
    accounts = Accounts(tmp_path / "limits")
    ids = [UUID(int=1 + (at << 64)) for at in range(70)]  # all of one place; the last ones find none
    limiters = [Limiter(accounts.of(one), per_second=0.001, burst=2) for one in ids]
    assert [_admitted(limiter, 5) for limiter in limiters] == [2] * 70
    others = Accounts(tmp_path / "limits")
    assert [_admitted(Limiter(others.of(one), per_second=0.001, burst=2), 5) for one in ids[:60]] == [0] * 60


def test_slots_are_taken_again_by_others_once_nothing_is_owed(tmp_path, monkeypatch):
    now = [10**12]
    monkeypatch.setattr(time, "monotonic_ns", lambda: now[0])
    here, there = Accounts(tmp_path / "limits"), Accounts(tmp_path / "limits")
    ids = [UUID(int=1 + (at << 64)) for at in range(200)]  # all of one place, which has room for 64

    def charge(accounts: Accounts, tenant: UUID) -> int:
        return _admitted(Limiter(accounts.of(tenant), per_second=1.0, burst=2), 5)

    for tenant in ids:
        assert [charge(here, tenant), charge(there, tenant)] == [2, 0]  # shared, however many there were before
        now[0] += 3 * 10**9
    assert not here.in_this_process
    assert not there.in_this_process


def test_tenant_that_lost_its_slot_gets_another_one_that_all_processes_share(tmp_path, monkeypatch):
    now = [10**12]
    monkeypatch.setattr(time, "monotonic_ns", lambda: now[0])
    here, there = Accounts(tmp_path / "limits"), Accounts(tmp_path / "limits")
    first, *others = [UUID(int=1 + (at << 64)) for at in range(65)]
    held = [Limiter(accounts.of(first), per_second=1.0, burst=2) for accounts in (here, there)]
    assert [_admitted(limiter, 1) for limiter in held] == [1, 1]
    now[0] += 60 * 10**9
    for tenant in others:  # with the first one more than there is room for
        assert _admitted(Limiter(here.of(tenant), per_second=0.01, burst=1), 2) == 1
    now[0] += 60 * 10**9
    debtor = Limiter(there.of(others[-1]), per_second=0.01, burst=1)
    assert _admitted(debtor, 2) == 0  # what is owed stays
    now[0] += 60 * 10**9  # everybody has paid
    assert [_admitted(limiter, 5) for limiter in held] == [2, 0]
    assert _admitted(debtor, 2) == 1


def test_accounts_nobody_uses_any_more_are_forgotten(tmp_path, monkeypatch):
    now = [10**12]
    monkeypatch.setattr(time, "monotonic_ns", lambda: now[0])
    accounts = Accounts(tmp_path / "limits")
    one = accounts.of(uuid4())
    assert accounts.of(one.tenant) is one
    for at in range(300):
        assert _admitted(Limiter(accounts.of(UUID(int=1 + (at << 64))), per_second=1.0, burst=1), 2) == 1
    assert len(accounts.in_this_process) == 300 - 64  # of one place, and all owe something
    debtors = [Limiter(account, per_second=1.0, burst=1) for account in accounts.in_this_process.values()]
    assert [_admitted(limiter, 1) for limiter in debtors] == [0] * 236
    del debtors
    now[0] += 2 * 10**9
    assert _admitted(Limiter(accounts.of(uuid4()), per_second=1.0, burst=1), 2) == 1
    assert not accounts.in_this_process
    assert len(accounts) == 1


def test_process_that_dies_while_it_charges_blocks_nobody(tmp_path):
    tenant, path = uuid4(), tmp_path / "limits"
    code = """
import sys, os, fcntl, signal
from pathlib import Path
from uuid import UUID
from modelpool.inference.resolution.rate_limits import Accounts
accounts = Accounts(Path(sys.argv[1]))
assert accounts.try_lock(accounts.place(accounts.of(UUID(sys.argv[2]))), 32)
print("locked", flush=True)
sys.stdin.read()
"""
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(path), str(tenant)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"locked\n"
    accounts = Accounts(path)
    account = accounts.of(tenant)
    at = accounts.place(account)
    assert at is not None
    os.kill(holder.pid, signal.SIGSTOP)
    assert not accounts.try_lock(at, 32)
    assert _admitted(Limiter(account, per_second=1.0, burst=3), 5) == 3  # a stopped one does not hold up the others
    holder.kill()
    holder.communicate()
    assert accounts.try_lock(at, 32)


def test_debt_of_a_former_rate_is_cut(tmp_path):
    account = Accounts(tmp_path / "limits").of(uuid4())
    slow = Limiter(account, per_second=0.001, burst=100)
    assert _admitted(slow, 200) == 100
    fast = Limiter(account, per_second=1000.0, burst=10)
    with pytest.raises(RateLimited) as refused:
        fast.admit()
    assert refused.value.retry_after_s <= 0.002


def test_quota_wins_over_setting_and_without_both_there_is_no_limiter():
    limits = RateLimits(conf.LimitsSettings(), path=None)
    assert limits.of(_Tenant(uuid4())) is None
    limits = RateLimits(conf.LimitsSettings(tenant_predictions_per_second=2.5, tenant_burst=7), path=None)
    default, own = limits.of(_Tenant(uuid4())), limits.of(_Tenant(uuid4(), predictions_per_second=100.0))
    assert default is not None
    assert own is not None
    assert (default.per_second, default.burst) == (2.5, 7)
    assert (own.per_second, own.burst) == (100.0, 100)


def test_refusal_tells_the_limit_in_headers_and_body():
    problem = problem_of(RateLimited(per_second=5.0, burst=20, retry_after_s=0.2))
    assert problem.status == 429
    assert problem.headers == {
        "Retry-After": "1",
        "RateLimit-Policy": '"predictions";q=20;w=4',
        "RateLimit": '"predictions";r=0;t=1',
    }
    assert b'"rate_limit":{"per_second":5.0,"burst":20}' in problem.to_json()


def test_fast_lane_limits_a_tenants_keys_together_and_follows_the_quota(
    caller, register, tenant, actor, make_key, yes_model, monkeypatch, tmp_path: Path
):
    monkeypatch.setattr(rate_limits, "_current", RateLimits(conf.LimitsSettings(), path=tmp_path / "limits"))
    register(tenant, "churn", yes_model)
    update_tenant(tenant, actor=actor, predictions_per_second=0.01, burst=3)
    keys = [make_key("predictor"), make_key("admin")]

    async def ask(client: httpx.AsyncClient) -> None:
        async def predict(key: str) -> httpx.Response:
            path = "/api/v1/tenants/acme/models/churn/predict"
            return await client.post(path, json={"instances": [[1, 1, 1]]}, headers={"Authorization": f"Bearer {key}"})

        answers = [await predict(keys[at % 2]) for at in range(6)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429, 429]
        assert answers[-1].json()["code"] == "rate_limited"
        assert int(answers[-1].headers["retry-after"]) <= 100
        assert answers[-1].headers["ratelimit-policy"] == '"predictions";q=3;w=300'
        operator = make_key_of_operator
        assert (await predict(operator)).status_code == 200
        await asyncio.to_thread(lift)
        deadline = time.monotonic() + 10
        while (await predict(keys[0])).status_code != 200:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)

    def lift() -> None:
        update_tenant(tenant, actor=actor, predictions_per_second=None, burst=None)
        connections.close_all()

    make_key_of_operator = make_key("operator")
    caller.run(ask)


def test_people_in_the_console_share_their_tenants_rate_and_are_counted(
    plane, register, tenant, actor, yes_model, monkeypatch, tmp_path: Path
):
    monkeypatch.setattr(rate_limits, "_current", RateLimits(conf.LimitsSettings(), path=tmp_path / "limits"))
    register(tenant, "churn", yes_model)
    update_tenant(tenant, actor=actor, predictions_per_second=0.01, burst=2)
    person = User.objects.create(username="pia", is_staff=True)
    set_member(tenant, user=person, role="predictor", actor=actor)
    use_data_plane(plane)
    before = _counted_by_django()
    try:
        found = [_ask_as(person).status_code for _ in range(4)]
        operator = _ask_as(User.objects.create(username="olga", is_staff=True, is_superuser=True))
    finally:
        use_data_plane(None)
    assert found == [200, 200, 429, 429]
    assert operator.status_code == 200
    assert _counted_by_django() - before == {"200": 3, "429": 2}


def _counted_by_django() -> Counter[str]:
    """Return how many predictions this process has answered by Django, by their status.

    Of whatever model: a refusal that meets a route just forgotten is nobody's.
    """
    METERS.flush()
    found: Counter[str] = Counter()
    for (wire, status, *_), child in catalogue.PREDICTIONS.children():
        if wire == "django":
            found[status] += int(child.values[0])
    return found


def _ask_as(person: User) -> HttpResponse:
    browser = Client()
    browser.force_login(person)
    answer: HttpResponse = browser.post(
        "/api/v1/tenants/acme/models/churn/predict",
        data={"instances": [[1, 1, 1]]},
        content_type="application/json",
    )
    return answer
