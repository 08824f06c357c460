"""What stands in for GPUs where there are none: devices of the CPU, and findings of `doctor`."""

from bench.gpu._row import Target

LIMITED = {
    "TF_ENABLE_ONEDNN_OPTS": "0",  # its kernels crash where an allocation is refused
    "TF_CPU_ALLOCATOR_USE_BFC": "true",
    "TF_CPU_BFC_MEM_LIMIT_IN_MB": "100",
}
CPUS = Target(("CPU:1", "CPU:0"), LIMITED, (), 1024, 1280)
"""Two logical devices of the CPU in place of GPUs; the first is not the one that is compared."""

FOUND = {
    "versions": {"keras": "3"},
    "libraries": {"cuDNN": "9.3.0"},
    "driver": "550.54.15",
    "devices": [
        "0: NVIDIA H100 80GB HBM3 (compute capability 9.0, 81,559 MiB)",
        "1: NVIDIA H100 80GB HBM3 (compute capability 9.0, 81,559 MiB)",
        "2 CPU cores",
    ],
    "precision": "tensorfloat32",
    "comparisons": [
        {
            "between": between,
            "precision": precision,
            "difference": difference,
            "limit": limit,
            "result": result,
        }
        for between, precision, difference, limit, result in (
            ("CPU and GPU", "float64", 1e-15, 1e-10, "ok"),
            ("GPU and two GPUs", "float64", 1e-11, 1e-12, "FAILED"),
            ("CPU and GPU", "tensorfloat32", 2e-3, None, "rounding"),
        )
    ],
    "not_compared": [],
    "determinism_cost": 1.25,
}
"""What `imgcls doctor` would return on a machine with two GPUs, written by hand."""
