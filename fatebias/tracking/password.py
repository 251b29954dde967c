"""The password in a tracking server's address: kept in the environment, out of all that is written.

Hydra keeps settings as they were typed, in ``.hydra/`` and multirun.yaml. MLflow takes user and password from
the environment too, and jobs and processes that this one starts inherit it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from omegaconf import DictConfig

USER, PASSWORD = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
BEFORE_HOST = re.compile(r"(?<=://)([^/\s'\"]+)@")  # the last @ of the host's part: a password may hold one


def set_apart(text: str) -> str:
    """Return an address without user and password, which go to the environment."""
    found = BEFORE_HOST.search(text)
    if found is None:
        return text
    user, _, password = found[1].partition(":")
    if user and password:  # a user alone is nothing that MLflow would send
        os.environ[USER], os.environ[PASSWORD] = unquote(user), unquote(password)
    return BEFORE_HOST.sub("", text)


def without_password(words: str) -> str:
    """Replace user and password of web addresses in a text: ``//user:password@`` becomes ``//***@``."""
    return BEFORE_HOST.sub("***@", words)


def set_words_apart(words: Sequence[str]) -> list[str]:
    """Return the words of a command line, those on tracking without user and password."""
    return [set_apart(word) if word.lstrip("+").startswith("tracking") else word for word in words]


def set_config_apart(config: DictConfig) -> None:
    """Take user and password out of the address that a file of settings gave a composed config."""
    from omegaconf import OmegaConf, read_write

    tracking = config.get("tracking")
    if tracking is None or OmegaConf.is_interpolation(tracking, "uri") or tracking.get("uri") is None:
        return
    with read_write(config):
        tracking.uri = set_apart(str(tracking.uri))
