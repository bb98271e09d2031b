"""The same call as curl, Python and JavaScript."""

from __future__ import annotations

import json
import pprint
import shlex
from dataclasses import dataclass
from typing import Any

from modelpool.console.versions.pasted import json_in

KEY_VARIABLE = "MODELPOOL_KEY"


_MOST_OPEN = 200
_MOST_CHARS = 4000
"""A longer body is read from a file."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request for predictions: ``body`` as it is sent, ``content_type`` JSON or CSV."""

    url: str
    body: str
    content_type: str

    @property
    def file(self) -> str:
        """The file that a body is read from which is too long to be written out; empty where it is not."""
        if len(self.body) <= _MOST_CHARS:
            return ""
        return "rows.csv" if self.content_type == "text/csv" else "rows.json"


@dataclass(frozen=True, slots=True)
class Snippet:
    """A call in one language."""

    id: str
    title: str
    text: str


def snippets_of(call: Call) -> list[Snippet]:
    """Return the call in each language; the key comes from the environment variable :data:`KEY_VARIABLE`."""
    return [
        Snippet("curl", "curl", _curl(call)),
        Snippet("python", "Python", _python(call)),
        Snippet("javascript", "JavaScript", _javascript(call)),
    ]


def _curl(call: Call) -> str:
    parsed = _parsed(call)
    body = call.body if parsed is None else json.dumps(parsed, indent=2, ensure_ascii=False)
    return (
        f"curl {shlex.quote(call.url)} \\\n"
        f'  -H "Authorization: Bearer ${KEY_VARIABLE}" \\\n'
        f"  -H 'Content-Type: {call.content_type}' \\\n"
        f"  --data-binary {f'@{call.file}' if call.file else shlex.quote(body)}\n"
    )


def _python(call: Call) -> str:
    literal = _python_literal(call)
    content = f'open("{call.file}", "rb")' if call.file else f"{call.body!r}.encode()"
    more = "" if literal else f'        "Content-Type": "{call.content_type}",\n'
    return (
        "import os\n\n"
        "import httpx\n\n"
        "answer = httpx.post(\n"
        f"    {call.url!r},\n"
        "    headers={\n"
        f'        "Authorization": f"Bearer {{os.environ[\'{KEY_VARIABLE}\']}}",\n'
        f"{more}"
        "    },\n"
        f"    {f'json={literal}' if literal else f'content={content}'},\n"
        "    timeout=30,\n"
        ")\n"
        "answer.raise_for_status()\n"
        "print(answer.json())\n"
    )


def _javascript(call: Call) -> str:
    read = f'import {{ readFile }} from "node:fs/promises";\n\nconst rows = await readFile("{call.file}");\n'
    return (
        f"{read if call.file else ''}"
        f"const answer = await fetch({json.dumps(call.url)}, {{\n"
        '  method: "POST",\n'
        "  headers: {\n"
        f"    Authorization: `Bearer ${{process.env.{KEY_VARIABLE}}}`,\n"
        f'    "Content-Type": "{call.content_type}",\n'
        "  },\n"
        f"  body: {'rows' if call.file else _javascript_literal(call)},\n"
        "});\n"
        "if (!answer.ok) throw new Error(await answer.text());\n"
        "console.log(await answer.json());\n"
    )


def _python_literal(call: Call) -> str:
    parsed = _parsed(call)
    text = "" if parsed is None else pprint.pformat(parsed, width=88, sort_dicts=False)
    return text.replace("\n", "\n" + " " * len("    json="))


def _javascript_literal(call: Call) -> str:
    parsed = _parsed(call)
    if parsed is None:
        return json.dumps(call.body)
    return f"JSON.stringify({json.dumps(parsed, indent=2, ensure_ascii=False)})".replace("\n", "\n  ")


def _parsed(call: Call) -> Any:
    """Return a JSON body as plain values, ``None`` where it is to be sent as text: no JSON, too long, or too deep."""
    if call.file or call.content_type != "application/json" or call.body.count("[") + call.body.count("{") > _MOST_OPEN:
        return None
    try:
        return json_in(call.body)
    except ValueError:
        return None
