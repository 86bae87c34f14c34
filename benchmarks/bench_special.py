"""Log-Bessel functions: times a value, memory, and errors that do not depend on the machine."""

import numpy as np

from numsolve import special

RANGES = {
    "near": ((0.0, 17.0), (2.0, 17.0)),
    "small": ((0.0, 20.0), (0.0, 2.0)),
    "middle": ((0.0, 100.0), (0.0, 100.0)),
    "large": ((1e3, 1e5), (1e3, 1e5)),
}
NAMES = ["log_iv", "log_kv", "log_ive", "iv_ratio", "kv_ratio"]


def points(name, n=20_000):
    rng = np.random.default_rng(0)
    (a, b), (c, d) = RANGES[name]
    return rng.uniform(a, b, n), rng.uniform(c, d, n)


class Values:
    """Below the size at which threads start."""

    params = (NAMES, list(RANGES))
    param_names = ("function", "place")

    def setup(self, function, place):
        self.v, self.x = points(place, 19_000)
        self.f = getattr(special, function)
        self.f(1.0, 1.0)

    def time_array(self, function, place):
        self.f(self.v, self.x)


class Large:
    """A million values, on as many threads as Numba has."""

    def setup(self):
        self.v, self.x = points("middle", 1_000_000)

    def time_log_iv(self):
        special.log_iv(self.v, self.x)

    def time_log_kv(self):
        special.log_kv(self.v, self.x)

    def peakmem_log_iv(self):
        special.log_iv(self.v, self.x)


class Scalars:
    """One value at a time."""

    def time_log_iv(self):
        special.log_iv(100.0, 30.0)

    def time_vmf_fit(self):
        special.vmf_fit(R=0.5, d=2048)


class Gradients:
    """All derivatives of 2000 values."""

    def setup(self):
        self.v, self.x = points("middle", 2000)

    def time_log_iv_grad(self):
        special.log_iv_grad(self.v, self.x)

    def time_log_kv_grad(self):
        special.log_kv_grad(self.v, self.x)

    def time_matern_grad(self):
        special.matern_grad(self.x, 1.3, 20.0)


class Accuracy:
    """The largest residual of the Wronskian, x (I_v K_{v+1} + I_{v+1} K_v) = 1, over max(1, log I)."""

    def track_wronskian(self):
        rng = np.random.default_rng(0)
        v, x = 10 ** rng.uniform(-8, 8, (2, 20_000))
        log_i, log_k = special.log_iv(v, x), special.log_kv(v, x)
        residual = log_i + log_k + np.log(x * (special.iv_ratio(v, x) + special.kv_ratio(v, x)))
        return float((abs(residual) / np.maximum(1.0, abs(log_i))).max())


Accuracy.track_wronskian.unit = "error"


class Mixture:
    """Eight components that overlap, on 20 000 directions, from one start."""

    params = [8, 128]
    param_names = ("d",)

    def setup(self, d):
        self.X = np.concatenate(
            [special.vmf_sample(mu, 0.8 * d, 2500, rng=k) for k, mu in enumerate(np.eye(d)[:8])]
        )
        self.fit()

    def fit(self):
        return special.VMFMixture(8, rng=0).fit(self.X)

    def time_fit(self, d):
        self.fit()

    def peakmem_fit(self, d):
        self.fit()

    def track_steps(self, d):
        return self.fit().result_.nit

    def track_largest_angle(self, d):
        """Between a true mean direction and the nearest that was found, in radians."""
        return float(np.arccos(np.clip(self.fit().mu_[:, :8].max(axis=0), -1.0, 1.0)).max())


Mixture.track_steps.unit = "steps"
Mixture.track_largest_angle.unit = "radians"
