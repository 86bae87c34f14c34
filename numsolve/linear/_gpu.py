"""The SSOR preconditioner for CuPy: one launch for each level of the rows."""

import cupy

#: Rows first ... last of (D/w + L) d = r, or of the upper half: those of one level, which are independent.
RELAX_SOURCES = {
    name: f"""
extern "C" __global__ void relax(const unsigned int* ptr, const unsigned int* columns, const {name}* values,
                                 const {name}* diag, const {name} omega, const unsigned int first,
                                 const unsigned int last, {name}* d)
{{
    const unsigned int i = first + blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= last) return;
    {name} total = d[i];
    for (unsigned int k = ptr[i]; k < ptr[i + 1]; ++k) total -= values[k] * d[columns[k]];
    d[i] = total * (omega / diag[i]);
}}
"""
    for name in ("float", "double")
}
_kernels = {
    "f": cupy.RawKernel(RELAX_SOURCES["float"], "relax"),
    "d": cupy.RawKernel(RELAX_SOURCES["double"], "relax"),
}
THREADS = 128


def gather(data, rows, lp, lc, lf, up, uc, uf, df):
    """The halves and the diagonal on the device, from patterns on the host and values on the device."""
    rows, lp, lc, lf, up, uc, uf, df = map(cupy.asarray, (rows, lp, lc, lf, up, uc, uf, df))
    return rows, lp, lc, data[lf], up, uc, data[uf], data[df]


def apply_ssor(starts, rows, lp, lc, lv, up, uc, uv, diag, omega, r):
    """P^-1 r; see `_cpu_sweeps.apply_ssor`. `starts` is on the host: where each level begins."""
    kernel, omega = _kernels[r.dtype.char], r.dtype.type(omega)
    z = r[rows]
    spans = [(int(starts[s]), int(starts[s + 1])) for s in range(len(starts) - 1)]
    for half, levels in (((lp, lc, lv), spans), ((up, uc, uv), reversed(spans))):
        for first, last in levels:
            blocks = (last - first + THREADS - 1) // THREADS
            span = (cupy.uint32(first), cupy.uint32(last))
            kernel((blocks,), (THREADS,), (*half, diag, omega, *span, z))
        if half[0] is lp:
            z *= (2 - omega) / omega * diag
    out = cupy.empty_like(z)
    out[rows] = z
    return out
