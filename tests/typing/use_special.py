"""What a type checker sees of numsolve.special. Checked in strict mode, never run."""

from __future__ import annotations

from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

from numsolve import Status, special


def bessel(v: NDArray[np.float64]) -> None:
    """Arrays or numbers in, arrays out."""
    out = np.empty(3)
    assert_type(special.log_iv(v, 2.0, out=out, where=v > 0), NDArray[Any])
    assert_type(special.log_kv([1, 2], 2), NDArray[Any])
    assert_type(special.log_ive(v, v), NDArray[Any])
    assert_type(special.log_kve(v, v), NDArray[Any])
    assert_type(special.iv_ratio(v, v), NDArray[Any])
    assert_type(special.kv_ratio(v, v), NDArray[Any])
    value, d_dx, d_dv = special.log_iv_grad(v, 1.0)
    assert_type(value, NDArray[Any])
    assert_type((d_dx, d_dv), tuple[NDArray[Any], NDArray[Any]])
    assert_type(special.log_kv_grad(v, 1.0), tuple[NDArray[Any], NDArray[Any], NDArray[Any]])


def directions(X: NDArray[np.float64]) -> None:
    """A result like any other."""
    result = special.vmf_fit(X, normalize=True, maxiter=10)
    assert_type(result, special.VMFResult)
    assert_type(result.kappa, float)
    assert_type(result.mu, NDArray[Any] | None)
    assert_type(result.status, Status)
    assert_type(special.vmf_log_prob(X, X[0], 1.0), NDArray[Any])
    assert_type(special.vmf_log_norm(3, [1.0, 2.0]), NDArray[Any])
    assert_type(special.vmf_entropy(3, 1.0), NDArray[Any])
    assert_type(special.vmf_sample(X[0], 3.0, 10, rng=0), NDArray[Any])


def mixtures(X: NDArray[np.float64]) -> None:
    """An estimator."""
    mixture = special.VMFMixture(3, rng=0, maxiter=10).fit(X)
    assert_type(mixture, special.VMFMixture)
    assert_type(mixture.predict(X), NDArray[Any])
    assert_type(mixture.sample(10, rng=0), tuple[NDArray[Any], NDArray[Any]])
    assert_type((mixture.score(X), mixture.bic(X)), tuple[float, float])
    assert_type(mixture.result_.success, bool)


def covariances(r: NDArray[np.float64]) -> None:
    """Value and derivatives."""
    assert_type(special.matern(r, 1.5), NDArray[Any])
    _, d_dr, d_dnu, d_dlength = special.matern_grad(r, 1.5, 0.3)
    assert_type((d_dr, d_dnu, d_dlength), tuple[NDArray[Any], NDArray[Any], NDArray[Any]])
    assert_type(special.matern_log_det(r, 1.5, noise=0.1), tuple[float, float, float])


def mistakes() -> None:
    """What a checker has to find before the program runs."""
    special.log_iv(1.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    special.vmf_fit(R="0.5", d=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    special.vmf_sample(np.eye(3)[0], 1.0, rng="zero")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
