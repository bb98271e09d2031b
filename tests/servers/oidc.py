"""A real OpenID Connect provider in a process of its own, and one that lies."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.request import Request, urlopen

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.servers.processes import die_with_parent, free_port
from tests.waiting import wait_until


@dataclass
class Provider:
    """``oidc-provider-mock``: discovery, a login page with a button for each person, PKCE, signed tokens."""

    issuer: str
    process: subprocess.Popen[bytes]

    def tell(self, sub: str, **claims: Any) -> None:
        """Add a person, or change what is said of them."""
        body = json.dumps({"sub": sub, **claims}).encode()
        headers = {"Content-Type": "application/json"}
        urlopen(Request(f"{self.issuer}/users/{sub}", body, headers, method="PUT"), timeout=10).close()


@contextmanager
def serve_provider(*people: dict[str, Any]) -> Iterator[Provider]:
    """Start it with these people, each with a ``sub``; end it."""
    port = free_port()
    claims = [option for person in people for option in ("--user-claims", json.dumps(person))]
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "-p", str(port), *claims],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=die_with_parent,
    )
    provider = Provider(f"http://127.0.0.1:{port}", process)
    try:
        wait_until(lambda: process.poll() is None and _answers(provider.issuer), "the provider", timeout_s=40)
        yield provider
    finally:
        process.kill()
        process.wait()


def _answers(issuer: str) -> bool:
    try:
        urlopen(f"{issuer}/.well-known/openid-configuration", timeout=2).close()
    except OSError:
        return False
    return True


@dataclass
class Liar:
    """A provider whose every answer a test writes: the claims and the head of its tokens, its keys, its user info."""

    issuer: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=lambda: {"kid": "one"})
    algorithm: str = "RS256"
    userinfo: dict[str, Any] | None = None
    overrides: dict[str, Any] = field(default_factory=dict)
    signed_by: Any = None
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.other_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def token(self) -> str:
        """Return the identity token; ``iat`` and ``exp`` of ``claims`` are seconds from now, ``None`` leaves out."""
        now = int(time.time())
        usual = {"iss": self.issuer, "aud": "modelpool", "sub": "u1", "iat": 0, "exp": 300}
        told = {name: value for name, value in {**usual, **self.claims}.items() if value is not None}
        told |= {name: now + told[name] for name in ("iat", "exp") if name in told}
        if self.algorithm == "none":
            parts = ({"alg": "none", **self.header}, told)
            return (
                ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
                + "."
            )
        key = self.signed_by or self.key
        return jwt.encode(told, key, algorithm=self.algorithm, headers=self.header)

    def answer(self, path: str) -> Any:
        """Return what is sent for an address."""
        if path.startswith("/.well-known"):
            ends = {"authorization_endpoint": "authorize", "token_endpoint": "token", "userinfo_endpoint": "userinfo"}
            found = {name: f"{self.issuer}/{end}" for name, end in {**ends, "jwks_uri": "jwks"}.items()}
            return {"issuer": self.issuer, **found, **self.overrides}
        if path.startswith("/jwks"):
            public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
            return {"keys": [{**public, "kid": "one", "alg": "RS256", "use": "sig"}]}
        if path.startswith("/token"):
            return {"access_token": "opaque", "token_type": "Bearer", "expires_in": 300, "id_token": self.token()}
        return self.userinfo if self.userinfo is not None else {"sub": self.claims.get("sub", "u1")}


@contextmanager
def serve_liar() -> Iterator[Liar]:
    """Answer as the test says, in a thread."""
    liar = Liar()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            liar.asked.append(self.path)
            answer = liar.answer(self.path)
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        liar.issuer = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield liar
        server.shutdown()
