"""Every row of the kernel benchmark, by name: `kernel shape`."""

from bench.kernel_rows import elementwise, factors, fourier, norms, products, tables

ROWS = {
    row.name: row
    for module in (products, norms, elementwise, tables, factors, fourier)
    for row in module.rows()
}
