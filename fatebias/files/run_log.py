"""run.log: a full disk costs lines of the log, never the run."""

from __future__ import annotations

import logging
import sys


class RunLog(logging.FileHandler):
    """The handler that conf/hydra/job_logging names; it reports the first line that it cannot write."""

    said = False

    def handleError(self, record: logging.LogRecord) -> None:
        """Print why a line could not be written, the first time only."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self.said:
            self.said = True
            print(f"{self.baseFilename} cannot be written: {error.strerror or error}", file=sys.stderr)
