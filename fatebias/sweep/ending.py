"""The end of a sweep: its table on the terminal, and the files that compare its runs."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from fatebias.errors import FatebiasError
from fatebias.sweep.record import Sweep
from fatebias.sweep.status import MemberStatus, table

log = logging.getLogger(__name__)


def end_of_sweep(sweep: Sweep, found: Sequence[MemberStatus]) -> None:
    """Say how the runs ended and compare those that finished; a failure to compare costs nothing else.

    Parameters
    ----------
    sweep
        The sweep.
    found
        What became of the runs that this submission started.
    """
    print(table(sweep, found))
    try:
        from fatebias.sweep.compare import compare

        for path in compare(sweep):
            print(path)
    except FatebiasError as error:
        log.warning("the runs could not be compared: %s", error)
    except Exception:
        log.warning("the runs could not be compared", exc_info=True)
