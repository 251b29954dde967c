"""Ask pip-audit whether the pinned versions have known vulnerabilities; ends with 1 when one has.

Where the database cannot be reached, or knows none of the packages (a mirror), it says so and ends with 0.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"
AWAY = re.compile(r"ConnectionError|ServiceError|NameResolution|timed out|Tip: your network", re.IGNORECASE)


def told(found: Mapping[str, Any]) -> tuple[str, int]:
    """Return pip-audit's answer in words, and the exit code."""
    asked = found["dependencies"]
    audited = [each for each in asked if "skip_reason" not in each]
    if not audited:
        return "not audited: the database knows none of the pinned packages", 0
    weak = [
        f"{each['name']} {each['version']}: {one['id']}, mended in {', '.join(one['fix_versions']) or 'none'}"
        for each in audited
        for one in each["vulns"]
    ]
    count = f"{len(audited)} of {len(asked)} pinned packages audited, {len(weak)} known vulnerabilities"
    return "\n".join([*weak, count]), int(bool(weak))


def main() -> int:
    """Audit constraints.txt and print what was found."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "audit.json"
        words = ["-r", str(CONSTRAINTS), "--no-deps", "--disable-pip", "--progress-spinner", "off"]
        done = subprocess.run(
            [sys.executable, "-m", "pip_audit", *words, "--format", "json", "--output", str(answer)],
            stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
        if answer.is_file() and answer.stat().st_size:
            text, code = told(json.loads(answer.read_text(encoding="utf-8")))
            print(text)
            return code
    last = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
    if AWAY.search(done.stderr):
        print(f"not audited: the database cannot be reached: {last}")
        return 0
    print(f"pip-audit has failed: {last}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
