from __future__ import annotations

import pytest

from modelpool.http.sealing import seal, unseal


@pytest.mark.parametrize("data", [b"", b"x", b'{"key": "mp_secret"}' * 500])
def test_only_secret_and_token_together_open_it(data: bytes):
    sealed = seal(data, secret="installation", token="request")
    assert unseal(sealed, secret="installation", token="request") == data
    assert unseal(sealed, secret="installation", token="another") is None
    assert unseal(sealed, secret="another", token="request") is None


def test_nothing_of_it_can_be_read_and_two_are_never_alike():
    data = b'{"key": "mp_secret"}'
    first, second = (seal(data, secret="s", token="t") for _ in range(2))
    assert b"mp_secret" not in first
    assert first != second


def test_every_changed_bit_is_noticed():
    sealed = seal(b"hello", secret="s", token="t")
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1
        assert unseal(bytes(changed), secret="s", token="t") is None
    assert unseal(b"", secret="s", token="t") is None
    assert unseal(sealed[:-1], secret="s", token="t") is None
