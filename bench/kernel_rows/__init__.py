"""Every row of the kernel benchmark, by name: `kernel shape`."""

from bench.kernel_rows import (
    elementwise,
    factors,
    fourier,
    norms,
    positions,
    products,
    scans,
    series,
    tables,
    windows,
)

FAMILIES = (
    *(products, norms, elementwise, tables, scans, series, windows, positions, factors, fourier),
)
ROWS = {row.name: row for family in FAMILIES for row in family.rows()}
