"""Where a run's files are."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from fatebias.errors import OutputError
from fatebias.files.atomic import DRAFT, FOR_R
from fatebias.files.outputs import PLACES, of_stage
from fatebias.files.rights import check_rights, why

REFUSED = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')  # in names of files, by Linux or Windows
LONGEST_NAME = 100  # bytes
SHORTENED = 25  # letters, which may have four bytes each


@dataclasses.dataclass(frozen=True)
class RunPaths:
    """Every file of a run: ``RunPaths(root).hits`` and so on, by the names of `fatebias.files.outputs`."""

    root: Path  # out_dir

    def __getattr__(self, name: str) -> Path:
        """Return the path of the file that `fatebias.files.outputs.OUTPUTS` calls `name`."""
        try:
            return self.root / PLACES[name]
        except KeyError:
            raise AttributeError(f"no output is called {name}") from None

    def stage(self, stage: str) -> list[Path]:
        """Return the paths of all files that a stage may write."""
        return [getattr(self, name) for name in of_stage(stage)]

    def discovery(self, contrasts: Sequence[str] = ()) -> list[Path]:
        """Return the paths that the stage discover writes, those of further contrasts included."""
        further = [self.contrast(name) for name in contrasts]
        below = [path for paths in further for path in (paths.gene_summary, *paths.stage("discover"))]
        return [*self.stage("discover"), *below]

    @property
    def contrasts(self) -> Path:
        """Folder of further contrasts."""
        return self.root / "contrasts"

    def contrast(self, name: str) -> RunPaths:
        """Return the files of a further contrast, in a folder of its name (`safe_name`)."""
        return RunPaths(self.contrasts / safe_name(name))

    @property
    def figures(self) -> Path:
        """Folder of figures for a paper."""
        return self.root / "figures"

    @property
    def superseded(self) -> Path:
        """Where results of an earlier fit are moved to."""
        return self.root / "superseded"

    @property
    def checkpoint(self) -> Path:
        """State of a fit that is running or was interrupted."""
        return self.root / "checkpoint.pt"

    @property
    def lock(self) -> Path:
        """Locked while a run works in the folder."""
        return self.root / ".lock"


def safe_name(name: str) -> str:
    """Return a name that any file system takes for a file or a folder, another one for every other name.

    A name without signs that some system refuses stays what it is; else these are replaced and a few letters
    of a digest are added.
    """
    plain = REFUSED.sub("_", name)
    if plain == name and name.strip(" .") == name and len(name.encode()) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{plain.strip(' .')[:SHORTENED]}-{digest}"


def set_aside(paths: RunPaths, outdated: Iterable[Path]) -> Path:
    """Move files of an earlier fit into ``superseded``, so that nobody takes them for results of this one.

    Absent files are passed over; what `superseded` already has under the same name is replaced.
    """
    aside = paths.superseded
    for path in outdated:
        if path.exists():
            final = aside / path.relative_to(paths.root)
            final.parent.mkdir(parents=True, exist_ok=True)
            if final.is_dir():
                shutil.rmtree(final)
            path.replace(final)
    return aside


def remove_drafts(paths: RunPaths) -> None:
    """Remove what killed runs have left in a locked folder: files without their name, and R's folders.

    Only where a run writes: another run may be at work in a folder below.
    """
    for folder in (paths.root, paths.figures, *paths.contrasts.glob("*")):
        for path in folder.glob(".*"):
            if DRAFT.fullmatch(path.name):
                path.unlink(missing_ok=True)
            elif path.name.startswith(FOR_R):
                shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def gone_on_failure(folder: Path, files: Sequence[Path]) -> Iterator[None]:
    """Remove files and folders that are made in the block, where it ends in an error or an interruption."""
    fresh = [path for path in files if not path.exists()]
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # a folder that others write to is not empty, and stays
            for path in fresh:
                path.unlink(missing_ok=True)
            for each in made:
                if each.exists():
                    each.rmdir()
        raise


def prepare_out_dir(root: Path, option: str = "out_dir=") -> RunPaths:
    """Make the run's folder, parents too, and check that files can be written there, also over those it has.

    `option` is what a user types before the folder's name.
    """
    probe = root / f".probe-{uuid.uuid4().hex[:8]}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        try:
            probe.write_bytes(b"\0")  # a full disk may still make empty files
        finally:
            probe.unlink(missing_ok=True)
        check_rights(root, option)
    except OSError as error:
        own = f"give a folder that you may write to: {option}PATH"
        raise OutputError(
            f"{option.strip('= ')} cannot be written",
            where=root,
            found=why(error, root),
            fix=own if isinstance(error, PermissionError) else f"free some room there, or {own}",
        ) from error
    return RunPaths(root)
