"""Checkpoints: arrays in one NumPy file, written beside the old one and then renamed; nothing is pickled."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import os


def save(path: str | os.PathLike[str], state: Any, step: int, table: dict[str, list[float]]) -> None:
    """Write the leaves of a state, the number of the step, and the table."""
    import jax

    path = Path(path)
    arrays: Any = {f"leaf_{k}": np.asarray(leaf) for k, leaf in enumerate(jax.tree.leaves(state))}
    columns: Any = {f"table_{name}": np.asarray(values) for name, values in table.items()}
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        np.savez(file, step=np.asarray(step), **arrays, **columns)
    part.replace(path)


def load(path: str | os.PathLike[str], state: Any) -> tuple[Any, int, dict[str, list[float]]]:
    """Read a state of the same structure; without a file, the state comes back, at step 0."""
    import jax
    import jax.numpy as jnp

    path = Path(path)
    if not path.exists():
        return state, 0, {}
    leaves, tree = jax.tree.flatten(state)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"checkpoint must be a file written by train, got {path}: {error}") from error
    found = [arrays.get(f"leaf_{k}") for k in range(len(leaves))]
    count = sum(name.startswith("leaf_") for name in arrays)
    wanted = [(tuple(leaf.shape), str(leaf.dtype)) for leaf in leaves]
    got = [None if leaf is None else (leaf.shape, str(leaf.dtype)) for leaf in found]
    if wanted != got or count != len(leaves):
        raise ValueError(f"checkpoint must be of the same model and optimiser, got {path} of another one")
    table = {name[6:]: list(arrays[name]) for name in arrays if name.startswith("table_")}
    state = jax.tree.unflatten(tree, [jnp.asarray(leaf) for leaf in found])
    return state, int(arrays["step"]), table
