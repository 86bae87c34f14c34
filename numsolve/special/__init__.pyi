from .bessel import iv_ratio as iv_ratio
from .bessel import kv_ratio as kv_ratio
from .bessel import log_iv as log_iv
from .bessel import log_iv_grad as log_iv_grad
from .bessel import log_ive as log_ive
from .bessel import log_kv as log_kv
from .bessel import log_kv_grad as log_kv_grad
from .bessel import log_kve as log_kve
from .matern import matern as matern
from .matern import matern_grad as matern_grad
from .matern import matern_log_det as matern_log_det
from .mixture import VMFMixture as VMFMixture
from .vmf import VMFResult as VMFResult
from .vmf import vmf_entropy as vmf_entropy
from .vmf import vmf_fit as vmf_fit
from .vmf import vmf_log_norm as vmf_log_norm
from .vmf import vmf_log_prob as vmf_log_prob
from .vmf import vmf_sample as vmf_sample

__all__ = [
    "VMFMixture",
    "VMFResult",
    "iv_ratio",
    "kv_ratio",
    "log_iv",
    "log_iv_grad",
    "log_ive",
    "log_kv",
    "log_kv_grad",
    "log_kve",
    "matern",
    "matern_grad",
    "matern_log_det",
    "vmf_entropy",
    "vmf_fit",
    "vmf_log_norm",
    "vmf_log_prob",
    "vmf_sample",
]
