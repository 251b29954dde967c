"""run.log, which may fail to be written and then says so once, beside the run and not in its place."""

from __future__ import annotations

import logging
import sys


class RunLog(logging.FileHandler):
    """Named in conf/hydra/job_logging; a full disk costs lines of the log and no run."""

    said = False

    def handleError(self, record: logging.LogRecord) -> None:
        """Say in one line why a line could not be written, the first time.

        Parameters
        ----------
        record
            The line.
        """
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self.said:
            self.said = True
            print(f"{self.baseFilename} cannot be written: {error.strerror or error}", file=sys.stderr)
