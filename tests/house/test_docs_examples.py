"""The examples of the documents work, against a real server; how they are marked is said in ``examples.py``."""

from __future__ import annotations

import pytest

from tests.house.examples import ExampleFailed, read_examples, run_examples
from tests.house.source import ROOT
from tests.servers.modelpool import serve_modelpool

_MUST_HAVE_EXAMPLES = [
    "README.md",
    *(
        f"docs/tutorial/{path.name}"
        for path in sorted((ROOT / "docs/tutorial").glob("*.md"))
        if path.name != "index.md"
    ),
]
_MAY_HAVE_EXAMPLES = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs/howto").glob("*.md"))]


def _read(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


_WITH_EXAMPLES = [*_MUST_HAVE_EXAMPLES, *(name for name in _MAY_HAVE_EXAMPLES if read_examples(_read(name)))]


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("document", _WITH_EXAMPLES)
def test_examples_work(document, tmp_path, database_url):
    with serve_modelpool(tmp_path / ".modelpool", database_url=database_url) as server:
        try:
            assert run_examples(_read(document), folder=tmp_path, url=server.url) > 0
        except ExampleFailed as error:
            pytest.fail(f"{document}, {error}\nthe server printed:\n{server.log()[-3000:]}", pytrace=False)


_DOCUMENT = """
# A document

```bash
exit 1   # not marked, so not run
```

```bash {run}
NAME=world
echo hello $NAME at http://127.0.0.1:8000
```

```text {output}
hello world at … /here
```

```python {file=deep/er/module.py}
print("from the file")
```

```bash {run}
python3 deep/er/module.py
echo "$NAME again" >&2
test -x .venv/bin/python
```

```text {output}
from the file
```
"""


class TestTheRunner:
    def test_blocks_share_one_shell_and_files_are_written_in_their_turn(self, tmp_path):
        assert run_examples(_DOCUMENT, folder=tmp_path, url="http://host:1 /here") == 5
        assert (tmp_path / "deep/er/module.py").read_text() == 'print("from the file")\n'

    def test_a_failing_command_fails_the_document_and_is_named(self, tmp_path):
        text = "```bash {run}\necho first\n```\n\n```bash {run}\necho before; ls missing-file\necho after\n```\n"
        with pytest.raises(ExampleFailed, match=r"(?s)line 5: exit code 2.*before.*missing-file") as caught:
            run_examples(text, folder=tmp_path)
        assert "after\n" not in str(caught.value).partition("printed:")[2]

    def test_a_failing_command_in_a_pipe_is_not_missed(self, tmp_path):
        with pytest.raises(ExampleFailed, match="line 1"):
            run_examples("```bash {run}\nfalse | cat\n```\n", folder=tmp_path)

    def test_an_undefined_variable_is_not_empty(self, tmp_path):
        with pytest.raises(ExampleFailed, match="KEY"):
            run_examples("```bash {run}\necho $KEY\n```\n", folder=tmp_path)

    def test_other_output_fails(self, tmp_path):
        text = "```bash {run}\necho 41\n```\n\n```text {output}\n42\n```\n"
        with pytest.raises(ExampleFailed, match=r"(?s)line 5: expected.*42.*41"):
            run_examples(text, folder=tmp_path)

    def test_an_example_that_hangs_is_ended(self, tmp_path):
        with pytest.raises(ExampleFailed, match="line 1: still running"):
            run_examples("```bash {run}\nsleep 60\n```\n", folder=tmp_path, timeout_s=0.3)

    @pytest.mark.parametrize(
        "text",
        [
            "```bash {rum}\necho\n```\n",
            "```python {run}\nprint()\n```\n",
            "```text {output}\nalone\n```\n",
            "```text {file=}\nnowhere\n```\n",
        ],
    )
    def test_a_marker_that_cannot_be_right_is_an_error(self, text):
        with pytest.raises(ExampleFailed, match="line 1"):
            read_examples(text)

    def test_examples_do_not_see_the_home_of_the_tests(self, tmp_path):
        show = 'echo "${MODELPOOL_HOME:-none} ${DJANGO_SETTINGS_MODULE:-none}"'
        text = f"```bash {{run}}\n{show}\n```\n```text {{output}}\nnone none\n```\n"
        assert run_examples(text, folder=tmp_path) == 2
