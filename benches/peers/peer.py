"""The frame of every peer script: read the request, load the arrays, warm up, time, answer in one line of JSON.

A script defines functions that take arrays and arguments by name and return a dict of arrays and numbers, and ends with

    if __name__ == "__main__":
        peer.main(globals())

The request arrives on stdin; arrays are the .npy files of the working directory, memory-mapped for reading. A function may
take fewer of them than there are. What needs no timing (building a sparse matrix from three arrays) goes into a function
named `prepare_NAME`, whose dict replaces the arguments of `NAME`.
"""

import ctypes
import gc
import inspect
import json
import sys
import time
from pathlib import Path


def libraries():
    """Names, versions and kernels of the numerical libraries in use."""
    found = []
    try:
        import threadpoolctl

        pools = threadpoolctl.threadpool_info()
    except ImportError:
        pools = []
    kernels = {f"{p['internal_api']} {p.get('architecture', '')} on {p['num_threads']} thread{'s' if p['num_threads'] > 1 else ''}" for p in pools}
    for name in ("numpy", "scipy", "sklearn", "jax", "torch", "torch_geometric"):
        module = sys.modules.get(name)
        if module is not None:
            note = f", {'; '.join(sorted(kernels))}" if name in ("numpy", "torch") and kernels else ""
            found.append((name, f"{module.__version__}{note}"))
    return found


def status(field):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    return None


def peak_of(work):
    """Bytes resident at the peak of one call above those before it, where the system tells; else None."""
    try:
        # What malloc keeps of earlier calls would be counted as there before, and hide as much of the peak.
        gc.collect()
        if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
            libc.malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        before = status("VmRSS")
        work()
        return max(0, status("VmHWM") - before)
    except (OSError, TypeError):
        return None


def pick(function, available):
    parameters = inspect.signature(function).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return available
    return {name: available[name] for name in parameters if name in available}


def main(namespace):
    import numpy as np

    request = json.load(sys.stdin)
    arrays = {path.stem: np.load(path, mmap_mode="r") for path in Path(".").glob("*.npy") if not path.stem.startswith("out_")}
    function = namespace[request["function"]]
    available = arrays | request["arguments"] | {"threads": request["threads"]}
    prepare = namespace.get("prepare_" + request["function"])
    if prepare is not None:
        available |= prepare(**pick(prepare, available))
    arguments = pick(function, available)
    # Timed work reads plain memory, not pages of a file.
    arguments = {k: np.array(v) if isinstance(v, np.memmap) else v for k, v in arguments.items()}

    start, busy = time.perf_counter(), time.process_time()
    answer = function(**arguments)
    first, first_cpu = time.perf_counter() - start, time.process_time() - busy
    # A run as long as this needs no repetition, and nobody wants to wait for one.
    long = first > 20
    wall, cpu = ([first], [first_cpu]) if long else ([], [])
    for _ in range(0 if long else max(1, request["runs"])):
        start, busy = time.perf_counter(), time.process_time()
        answer = function(**arguments)
        cpu.append(time.process_time() - busy)
        wall.append(time.perf_counter() - start)
    peak = None if long else peak_of(lambda: function(**arguments))

    metrics, saved = {}, []
    for name, value in (answer or {}).items():
        if np.ndim(value) == 0:
            number = float(value)
            metrics[name] = number if np.isfinite(number) else None
        else:
            np.save(f"out_{name}.npy", np.ascontiguousarray(value, dtype=np.float64))
            saved.append(name)
    answer = dict(wall=wall, cpu=cpu, first=first, peak_bytes=peak, libraries=libraries(), metrics=metrics, arrays=saved)
    print(json.dumps(answer), flush=True)
