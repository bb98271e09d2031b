"""A form that breaks off in the middle leaves no temporary file behind."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from modelpool import conf
from modelpool.tenants.models import Tenant

pytestmark = pytest.mark.django_db


def _files() -> list[str]:
    return sorted(path.name for path in conf.home().tmp_dir.glob("*.upload*"))


@pytest.fixture
def post(tenant: Tenant, make_key: Callable[..., str]) -> Callable[[bytes], int]:
    headers = {"Authorization": f"Bearer {make_key('scientist', tenant)}"}
    client = Client()

    def send(body: bytes) -> int:
        path = f"/api/v1/tenants/{tenant.name}/datasets"
        return client.generic("POST", path, body, content_type=MULTIPART_CONTENT, headers=headers).status_code

    return send


def test_too_many_files_leave_none(post: Callable[[bytes], int]) -> None:
    parts = {f"part{number}": SimpleUploadedFile("a.csv", b"x\n1\n") for number in range(8)}
    gc.disable()  # what the garbage collector would close later counts as left behind
    try:
        assert post(encode_multipart(BOUNDARY, parts)) == 400
        assert _files() == []
    finally:
        gc.enable()


def test_a_part_that_is_no_base64_leaves_none(post: Callable[[bytes], int]) -> None:
    whole = encode_multipart(BOUNDARY, {"file": SimpleUploadedFile("a.csv", b"x\n1\n")})
    broken = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="other"; filename="b.csv"\r\n'
        "Content-Transfer-Encoding: base64\r\n\r\n!\r\n"
    ).encode()
    gc.disable()
    try:
        assert post(broken + whole) in (400, 422)
        assert post(whole.replace(f"--{BOUNDARY}--".encode(), broken + f"--{BOUNDARY}--".encode())) in (400, 422)
        assert _files() == []
    finally:
        gc.enable()
