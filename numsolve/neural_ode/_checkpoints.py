"""Checkpoints: arrays in one NumPy file, written beside the old one and then renamed; nothing is pickled.

A file says what its numbers mean: the types of its arrays, and the run (batch size, rng, data), which gives
the number of a step its batch and its key. Types that NumPy's files do not hold are kept as bits.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping


class Progress(NamedTuple):
    """Where a run is: its state, the steps done, the table, and the rows of the epoch that is not over."""

    state: Any
    step: int
    table: dict[str, list[float]]
    rows: list[Any]


def check_path(path: Any) -> Path:
    """A path into a directory that exists."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"checkpoint must be a path, got {path!r}")
    file = Path(path)
    if not file.parent.is_dir():
        raise ValueError(f"checkpoint must lie in a directory that exists, got {file}")
    return file


def fingerprint(data: Any) -> int:
    """A number that tells data from others."""
    import jax

    code = 0
    for leaf in jax.tree.leaves(data):
        array = _encoded(leaf)[0]
        code = zlib.crc32(np.ascontiguousarray(array).tobytes(), zlib.crc32(str(array.shape).encode(), code))
    return code


def save(path: Path, now: Progress, run: Mapping[str, Any]) -> None:
    """Write how far a run is, and which run it is."""
    import jax

    pairs = [_encoded(leaf) for leaf in jax.tree.leaves(now.state)]
    about = json.dumps({"step": now.step, "run": dict(run), "types": [kind for _, kind in pairs]})
    arrays: Any = {f"leaf_{k}": array for k, (array, _) in enumerate(pairs)}
    columns: Any = {f"table_{name}": np.asarray(values) for name, values in now.table.items()}
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        np.savez(file, about=np.asarray(about), rows=np.asarray(now.rows, float), **arrays, **columns)
    part.replace(path)


def load(path: Path, state: Any, run: Mapping[str, Any]) -> Progress:
    """Read a state of the same structure from a file of the same run."""
    import jax

    leaves, tree = jax.tree.flatten(state)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
        about = json.loads(str(arrays["about"]))
        step, types, known = int(about["step"]), about["types"], about["run"]
        rows = arrays["rows"].reshape(-1, 2).tolist()
    except (ValueError, TypeError, AttributeError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"checkpoint must be a whole file written by train, got {path}: {error}") from error
    kept = [arrays.get(f"leaf_{k}") for k in range(len(leaves))]
    wanted = [(array.shape, kind) for array, kind in map(_encoded, leaves)]
    got = [(getattr(array, "shape", None), kind) for array, kind in zip(kept, types, strict=False)]
    if len(types) != len(leaves) or wanted != got:
        raise ValueError(f"checkpoint must be of the same model and optimiser, got {path} of another one")
    for name, value in run.items():
        if known.get(name) != value:
            raise ValueError(
                f"checkpoint must be of a run with the same {name}: {path} has {known.get(name)}, not {value}"
            )
    table = {name[6:]: list(arrays[name]) for name in arrays if name.startswith("table_")}
    state = jax.tree.unflatten(tree, [_decoded(a, leaf) for a, leaf in zip(kept, leaves, strict=True)])
    return Progress(state, step, table, rows)


def _is_key(leaf: Any) -> bool:
    import jax

    return hasattr(leaf, "dtype") and bool(jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key))


def _encoded(leaf: Any) -> tuple[Any, str]:
    """An array that NumPy's files hold, and the type that it stands for."""
    import jax

    if _is_key(leaf):
        return np.asarray(jax.random.key_data(leaf)), str(leaf.dtype)
    array = np.asarray(leaf)
    name = str(array.dtype)
    return (array if array.dtype.isbuiltin == 1 else array.view(f"u{array.dtype.itemsize}")), name


def _decoded(array: Any, like: Any) -> Any:
    import jax

    if _is_key(like):
        return jax.random.wrap_key_data(jax.numpy.asarray(array), impl=jax.random.key_impl(like))
    kind = np.dtype(like.dtype)
    return jax.numpy.asarray(array if kind.isbuiltin == 1 else array.view(kind))
