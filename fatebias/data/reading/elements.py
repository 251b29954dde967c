"""Elements of an AnnData object as plain arrays: columns, dense and sparse matrices of any form."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fatebias.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    from scipy.sparse import csr_matrix

# Cells of a dense matrix in memory at once while it is made sparse.
CHUNK_CELLS = 16384


def read_element(element: Any, where: str) -> Any:
    """Read one element of an open file with anndata, without its warnings."""
    with without_warnings():
        try:
            return _read(element)
        except Exception as error:  # any layer of anndata, h5py or zarr may give up
            encoding = dict(getattr(element, "attrs", {})).get("encoding-type")
            raise DataError(
                "an element of the file cannot be read",
                where=where,
                found=f"{type(error).__name__}: {error} (encoding {encoding})",
                fix="if the file was written by a newer anndata: pip install --upgrade anndata; "
                "else write the file again",
            ) from error


def _read(element: Any) -> Any:
    """Read text and categoricals here: anndata before 0.11 lacks the text type of newer pandas."""
    if _encoding(element) == "nullable-string-array":
        missing = np.asarray(element["mask"][()], dtype=bool)
        text = np.array(_reader()(element["values"]), dtype=object)
        text[missing] = None
        return text
    if _encoding(element) == "categorical":
        import pandas as pd

        categories = pd.Index(_read(element["categories"]))
        return pd.Categorical.from_codes(
            np.asarray(element["codes"][()]), categories, ordered=bool(element.attrs["ordered"])
        )
    plain_element = _plain_hdf5(element)
    return _reader()(element) if plain_element is None else plain_element


def _plain_hdf5(element: Any) -> Any:
    """Read arrays, text and sparse matrices of an .h5ad; None for all else, which anndata reads.

    These are nearly all that a screen is read from, and importing anndata takes as long as reading it.
    """
    if not type(element).__module__.startswith("h5py."):
        return None
    encoding = _encoding(element)
    if encoding == "array" and element.dtype.kind in "biuf":
        return element[()]
    if encoding == "string-array":
        return element.asstr()[()]
    if encoding not in ("csr_matrix", "csc_matrix"):
        return None
    from scipy import sparse

    made = sparse.csr_matrix if encoding == "csr_matrix" else sparse.csc_matrix
    parts = (element["data"][()], element["indices"][()], element["indptr"][()])
    return made(parts, shape=tuple(int(size) for size in element.attrs["shape"]))


def _reader() -> Callable[[Any], Any]:
    try:
        from anndata.io import read_elem
    except ImportError:  # anndata 0.10
        from anndata.experimental import read_elem
    return read_elem


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Hide warnings of anndata and zarr about their own future."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def is_old_frame(element: Any) -> bool:
    """Whether this is a DataFrame of anndata 0.7, which keeps categories apart from their column."""
    attributes = getattr(element, "attrs", {})
    return _encoding(element) == "dataframe" and plain(attributes.get("encoding-version")) == "0.1.0"


def frame_columns(element: Any) -> tuple[Any, ...] | None:
    """Return the columns of a DataFrame or structured array, on disk or in memory; None for anything else."""
    if hasattr(element, "columns"):
        return tuple(element.columns)
    if _encoding(element) == "dataframe":
        return tuple(plain(name) for name in element.attrs["column-order"])
    return getattr(getattr(element, "dtype", None), "names", None)


def frame_index(element: Any, where: str) -> NDArray[Any] | None:
    """Read the row names of a DataFrame; None for anything else."""
    if hasattr(element, "columns"):
        return np.asarray(element.index, dtype=object)
    if _encoding(element) == "dataframe":
        return np.asarray(read_element(element[plain(element.attrs["_index"])], where), dtype=object)
    return None


def frame_series(element: Any, where: str, only: str | None = None) -> Iterator[tuple[Any, pd.Series[Any]]]:
    """Yield name and column of a table (`only` the one named), one in memory at a time if on disk."""
    import pandas as pd

    if _encoding(element) != "dataframe" and not hasattr(element, "columns"):
        structured = element if _in_memory(element) else read_element(element, where)
        for name in (only,) if only is not None else structured.dtype.names:
            yield name, as_series(structured[name])
        return
    for place, name in enumerate(frame_columns(element) or ()):
        if only is not None and name != only:
            continue
        if hasattr(element, "columns"):
            yield name, pd.Series(element.iloc[:, place].array)
        else:
            yield name, as_series(read_element(element[name], f"{where}[{name!r}]"))


def as_series(values: Any) -> pd.Series[Any]:
    """Wrap one column as anndata reads it; (N, 1) arrays become (N,)."""
    import pandas as pd

    if hasattr(values, "array"):
        return pd.Series(values.array)
    return pd.Series(values if hasattr(values, "dtype") and values.ndim == 1 else np.ravel(values))


def numeric_column(column: pd.Series[Any], where: str) -> NDArray[Any]:
    """Return a column as numbers, NaN where a value is missing; text is an error."""
    if column.dtype.kind not in "biuf":
        raise DataError(
            "a column that must hold numbers does not",
            where=where,
            found=f"type {column.dtype}, first values {column.head(3).tolist()}",
            allowed="integers, floats or booleans",
            fix="write the column as numbers: column.astype(float)",
        )
    if isinstance(column.dtype, np.dtype):
        return column.to_numpy()
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def dense_matrix(element: Any, where: str) -> NDArray[Any]:
    """Read a small matrix of numbers in any form, (N, columns); float64 where columns differ in type."""
    if frame_columns(element) is not None:
        parts = [
            numeric_column(column, f"{where}[{name!r}]") for name, column in frame_series(element, where)
        ]
        return np.column_stack(parts) if parts else np.empty((0, 0))
    read = element if _in_memory(element) else read_element(element, where)
    return _as_matrix(read.toarray() if hasattr(read, "toarray") else read, where)


def sparse_matrix(element: Any, where: str) -> csr_matrix:
    """Read a matrix that is mostly zeros in any form, (N, columns); dense ones in blocks of cells.

    Duplicates are summed and indices sorted; stored zeros may remain.
    """
    from scipy import sparse

    if frame_columns(element) is not None:
        return _sparse_frame(element, where)
    if not _in_memory(element) and _encoding(element) in ("csr_matrix", "csc_matrix"):
        element = read_element(element, where)
    if sparse.issparse(element):
        matrix = sparse.csr_matrix(element, copy=_in_memory(element))
        matrix.sum_duplicates()
        return matrix
    if not hasattr(element, "shape"):
        element = read_element(element, where)
    if len(element.shape) != 2:
        _as_matrix(element, where)
    blocks = [
        sparse.csr_matrix(_computable(_as_matrix(element[start : start + CHUNK_CELLS], where)))
        for start in range(0, max(element.shape[0], 1), CHUNK_CELLS)
    ]
    return sparse.vstack(blocks, format="csr")


def _sparse_frame(element: Any, where: str) -> csr_matrix:
    from scipy import sparse

    rows, values, starts = [], [], [0]
    n_cells = 0
    for name, column in frame_series(element, where):
        entries = _computable(numeric_column(column, f"{where}[{name!r}]"))
        n_cells = entries.size
        filled = np.flatnonzero(entries != 0)  # NaN is not zero, and stays to be refused
        rows.append(filled.astype(np.int32))
        values.append(entries[filled])
        starts.append(starts[-1] + filled.size)
    if not rows:
        return sparse.csr_matrix((0, 0))
    parts = (np.concatenate(values), np.concatenate(rows), np.asarray(starts))
    return sparse.csc_matrix(parts, shape=(n_cells, len(rows))).tocsr()


def _computable(values: NDArray[Any]) -> NDArray[Any]:
    """Widen half precision, with which scipy's sparse matrices cannot compute."""
    return values.astype(np.float32) if values.dtype == np.float16 else values


def _as_matrix(values: Any, where: str) -> NDArray[Any]:
    matrix = np.asarray(values)
    if matrix.ndim != 2 or matrix.dtype.kind not in "biuf":
        raise DataError(
            "not a matrix of numbers",
            where=where,
            found=f"shape {matrix.shape}, type {matrix.dtype}",
            allowed="a DataFrame, or a dense or sparse matrix of integers, floats or booleans",
        )
    return matrix


def _in_memory(element: Any) -> bool:
    return not hasattr(element, "attrs") or hasattr(element, "columns")


def _encoding(element: Any) -> str:
    return plain(dict(getattr(element, "attrs", {})).get("encoding-type", ""))


def plain(name: Any) -> str:
    """Return a name as text, whether the file stores bytes or text."""
    return name.decode() if isinstance(name, bytes) else str(name)
