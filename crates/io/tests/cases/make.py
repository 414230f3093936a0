"""Writes the files beside this script with NumPy, SciPy and safetensors themselves.

Run it in this folder: python make.py (numpy, scipy and safetensors installed).
The values are simple formulas that the tests repeat; see README.md.
"""

import numpy as np
import scipy.io
import scipy.sparse as sp
from safetensors import TensorSpec, serialize_file
from safetensors.numpy import save_file

INTEGERS = [0, 1, 2, 3, 4, 100]
REALS = [0.0, 0.5, -1.5, 3.0, 10000.0, np.inf]


def entries(dtype):
    kind = np.dtype(dtype).kind
    if kind == "b":
        return np.array([True, False, True, False, False, True])
    if kind == "f":
        return np.array(REALS, dtype)
    if kind == "c":
        return (np.arange(6) - 0.5j * np.arange(6)).astype(dtype)
    values = np.array(INTEGERS)
    if kind == "i":
        values[4] = -4
    return values.astype(dtype)


# One array of shape (2, 3) for each type, order and byte order.
for code in ["b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "c8", "c16"]:
    for byte_order, name in [("<", "little"), (">", "big")]:
        if code in ("b1", "i1", "u1") and byte_order == ">":
            continue
        array = entries(code).reshape(2, 3).astype(byte_order + code)
        np.save(f"{code}_{name}_c.npy", array)
        np.save(f"{code}_{name}_fortran.npy", np.asfortranarray(array))

# Fortran order in three and four dimensions: entry = its number in C order.
np.save("fortran3.npy", np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)))
np.save("fortran4.npy", np.asfortranarray(np.arange(120, dtype="i2").reshape(2, 3, 4, 5)))

# Versions of the format, and shapes at the edge.
for version in [(1, 0), (2, 0), (3, 0)]:
    with open(f"version{version[0]}.npy", "wb") as file:
        np.lib.format.write_array(file, np.arange(4.0), version=version)
np.save("scalar.npy", np.float64(2.5))
np.save("empty.npy", np.zeros((0, 3)))
np.save("huge_integer.npy", np.array([[1, 2**53], [2**53 + 1, 3]]))
np.save("strings.npy", np.array(["axe", "", "Ωμέγα", "end"]))
np.save("strings_big.npy", np.array(["axe", "", "Ωμέγα", "end"]).astype(">U5"))
np.save("bytes.npy", np.array([b"csr", b"x"]))

# What is refused.
np.save("object.npy", np.array([1, "two"], dtype=object), allow_pickle=True)
np.save("structured.npy", np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]))
np.save("date.npy", np.array(["2020-01-01"], dtype="datetime64[D]"))
np.save("long_double.npy", np.array([1.0], dtype=np.longdouble))

# Archives.
named = {"x": np.arange(6.0).reshape(2, 3), "labels": np.array([2, 0, 1]), "alpha": np.float32(0.25), "names": np.array(["a", "bc"])}
np.savez("stored.npz", **named)
np.savez_compressed("deflated.npz", **named, zeros=np.zeros((50, 50)))
np.savez("single.npz", only=np.arange(3))
np.savez("nested.npz", **{"conv/lin.weight": np.eye(2)})

# Sparse matrices. The dense form is [[0, 1, 0, 2], [0, 0, 0, 0], [3, 0, 4.5, 0]].
dense = np.array([[0, 1, 0, 2], [0, 0, 0, 0], [3, 0, 4.5, 0]])
for kind in ["csr", "csc", "coo", "bsr", "dia"]:
    sp.save_npz(f"sparse_{kind}.npz", getattr(sp, f"{kind}_matrix")(dense))
sp.save_npz("sparse_array.npz", sp.csr_array(dense), compressed=False)
sp.save_npz("sparse_int.npz", sp.csr_matrix((dense * 2).astype("i4")))
sp.save_npz("sparse_coo3.npz", sp.coo_array((np.array([1.5, 2.5]), ([0, 1], [2, 0], [3, 1])), shape=(2, 3, 4)))
wide = sp.csr_matrix(dense)
wide.indices, wide.indptr = wide.indices.astype("i8"), wide.indptr.astype("i8")
sp.save_npz("sparse_64.npz", wide)
# Columns out of order and one entry in two halves, by rows and by columns.
messy = sp.csr_matrix((np.array([2.0, 0.25, 0.75, 4.5, 3.0]), np.array([3, 1, 1, 2, 0]), np.array([0, 3, 3, 5])), shape=(3, 4))
sp.save_npz("sparse_messy.npz", messy)
messy = sp.csc_matrix((np.array([3.0, 1.0, 4.0, 0.5, 2.0]), np.array([2, 0, 2, 2, 0]), np.array([0, 1, 2, 4, 5])), shape=(3, 4))
sp.save_npz("sparse_messy_csc.npz", messy)

# MatrixMarket.
scipy.io.mmwrite("real.mtx", sp.coo_matrix(dense), comment="three rows,\nfour columns")
scipy.io.mmwrite("integer.mtx", sp.coo_matrix((dense * 2).astype("i4")))
scipy.io.mmwrite("pattern.mtx", sp.coo_matrix(dense), field="pattern")
scipy.io.mmwrite("complex.mtx", sp.coo_matrix(dense * (1 + 1j)))
scipy.io.mmwrite("array.mtx", dense)
square = np.array([[1.0, 2.0, 0.0], [2.0, 0.0, 3.0], [0.0, 3.0, 5.0]])
skew = np.array([[0.0, 2.0, 0.0], [-2.0, 0.0, 3.0], [0.0, -3.0, 0.0]])
scipy.io.mmwrite("symmetric.mtx", sp.coo_matrix(square), symmetry="symmetric")
scipy.io.mmwrite("skew.mtx", sp.coo_matrix(skew), symmetry="skew-symmetric")
scipy.io.mmwrite("array_symmetric.mtx", square, symmetry="symmetric")
scipy.io.mmwrite("array_skew.mtx", skew, symmetry="skew-symmetric")

# Tensors.
save_file(
    {
        "f64": entries("f8").reshape(2, 3),
        "f32": entries("f4").reshape(2, 3),
        "f16": entries("f2").reshape(2, 3),
        "i64": entries("i8").reshape(2, 3),
        "i32": entries("i4").reshape(2, 3),
        "i16": entries("i2").reshape(2, 3),
        "i8": entries("i1").reshape(2, 3),
        "u64": entries("u8").reshape(2, 3),
        "u32": entries("u4").reshape(2, 3),
        "u16": entries("u2").reshape(2, 3),
        "u8": entries("u1").reshape(2, 3),
        "bool": entries("b1").reshape(2, 3),
        "c64": entries("c8").reshape(2, 3),
    },
    "types.safetensors",
    metadata={"made by": "NumPy"},
)
# bfloat16 is the upper half of a float32.
upper = (np.array([0.0, 0.5, -1.5, 3.0], "f4").view("u4") >> 16).astype("u2")
spec = TensorSpec(dtype="bfloat16", shape=[4], data_ptr=upper.ctypes.data, data_len=upper.nbytes)
serialize_file({"bf16": spec}, "bfloat16.safetensors", None)
