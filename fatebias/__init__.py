"""fatebias: which perturbed genes push cells towards one fate rather than another, and on which day."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("fatebias")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
