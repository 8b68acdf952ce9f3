"""`docs/settings.md` is the table of settings, written out. `--write` renews it; a test compares.

May import: core.settings.
"""

import sys
from pathlib import Path
from typing import Final

from surefoot.core.settings.elsewhere import ELSEWHERE
from surefoot.core.settings.kinds import text_of
from surefoot.core.settings.table import TABLE, find_setting

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "settings.md"

HEAD: Final = """\
# Settings

At the end of this page you know every setting, and where to put it. It is written by `tools/docs_settings.py`.

A setting has two names: a dotted one for files (`logging.level`), and one for the environment
(`SUREFOOT_LOGGING_LEVEL`). It is looked for in this order, and the first place that has it counts:

1. the environment
2. `.env` in the current folder
3. `surefoot.toml` in the current folder
4. `[tool.surefoot]` in `pyproject.toml` in the current folder
5. the active profile (`surefoot profile ls`), in `profiles.toml` of the home
6. the default

In a file, a profile, or `surefoot config set`, a name that does not exist or a value of the wrong type is an error that
names the place, the value, and the nearest valid name. In the environment it is one warning for each process; an error
with `SUREFOOT_STRICT=1`. A `SUREFOOT_LEDGER_URL` that cannot be used is an error for all that opens the ledger, since
what went into another one would never get into yours; runs go on, say so, and stay in the journal until it is mended.
`surefoot config view --show-sources` shows what is in force and where it is from; `surefoot config validate` checks all
places.

```toml
# surefoot.toml
[logging]
level = "DEBUG"

[tasks]
default_retries = 2
default_retry_delay_seconds = [1, 10, 60]
```

| setting | in the environment | default | what it is | a value |
|---|---|---|---|---|
"""


ELSEWHERE_HEAD: Final = """
## Settings of Prefect that are not needed here

Where one of these is set, `surefoot config validate` and `surefoot migrate prefect` say why it is not needed.
`.*` stands for all of a group that has no line of its own.

| setting | why | set instead |
|---|---|---|
"""


def page() -> str:
    """The whole page."""
    lines = []
    for path, setting in TABLE.items():
        default = text_of(setting.default)
        shown = f"`{default}`" if default else ""
        secret = " Kept out of sight." if setting.secret else ""
        about = f"{setting.about}{secret}"
        lines.append(f"| `{path}` | `{setting.variable}` | {shown} | {about} | {setting.kind.expected} |\n")
    others = [
        f"| `{name}` | {there.why[0].upper()}{there.why[1:]}. | {f'`{there.instead}`' if there.instead else ''} |\n"
        for name, there in ELSEWHERE.items()
        if find_setting(name) is None
    ]
    return HEAD + "".join(lines) + ELSEWHERE_HEAD + "".join(others)


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        print(page(), end="")
