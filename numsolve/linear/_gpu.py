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


def gather(data, rows, lp, up, columns, source, middle):
    """The matrix on the device, from patterns on the host and values on the device; see `_cpu`."""
    rows, lp, up, columns, source = map(cupy.asarray, (rows, lp, up, columns, source))
    values = data[source]
    return rows, lp, up, columns, values, values[middle]


def apply_ssor(starts, rows, lp, up, columns, values, diag, omega, r):
    """P^-1 r; see `_cpu_sweeps.apply_ssor`. `starts` is on the host: where each level begins."""
    kernel, omega = _kernels[r.dtype.char], r.dtype.type(omega)
    z = r[rows]
    spans = [(int(starts[s]), int(starts[s + 1])) for s in range(len(starts) - 1)]
    for half, levels in ((lp, spans), (up, reversed(spans))):
        for first, last in levels:
            blocks = (last - first + THREADS - 1) // THREADS
            span = (cupy.uint32(first), cupy.uint32(last))
            kernel((blocks,), (THREADS,), (half, columns, values, diag, omega, *span, z))
        if half is lp:
            z *= (2 - omega) / omega * diag
    out = cupy.empty_like(z)
    out[rows] = z
    return out
