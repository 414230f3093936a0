"""Full-graph inference of graph networks in what Python users run: SciPy, PyTorch's sparse matrices, PyTorch Geometric.

Arrays: `x` (nodes, features), the graph by incoming edges as `indptr` and `indices` (row: target, entries: sources), and the tensors of
the layers under their PyTorch names, with a dash for each dot: `conv1-lin-weight` is `conv1.lin.weight`. Everything is computed in the
type of `x`. Arguments: `layers`, as in the file of a model (op, prefix, in_channels, out_channels, heads, hidden, K, activation), and for

    scipy_csr, torch_csr   nothing more; products with weights are taken before the aggregation where that is narrower
    pyg_edge_index         `cached`: whether the normalisation of GCN and SGC is kept from the first call (default: no)
    pyg_decomposed         `cached`, and `pieces`: the slices of columns into which messages are cut (possible for GCN and SGC alone)
    pyg_sparse             nothing more; the normalisation of GCN and SGC is kept

and for all `stride` (`output` has each stride-th row; default 1) and `memory_limit` (bytes of data beyond which an allocation fails, so
that the call is skipped before the system ends it). `graph_bytes` is what the graph takes in the form that is used. GCN, SGC and GAT drop
the loops of the graph and give each node one; duplicate edges are messages of their own.
"""

import os

import numpy as np

import peer


def parameters(given, layer, kind):
    """The tensors of a layer by PyTorch's names."""
    several = layer["op"] == "gat" and layer.get("heads", 1) > 1 and not layer.get("concat", True)
    others = {"norm", "mlp_norm", "skip", "l2_normalize", "project", "self_loop_weight"} & layer.keys()
    if several or others or layer.get("aggr", "mean") != "mean" or layer.get("activation") not in (None, "relu", "elu"):
        raise NotImplementedError(f"this kind of layer: {layer}")
    prefix = layer["prefix"].replace(".", "-") + "-"
    names = [name for name in given if name.startswith(prefix)]
    implied = {"eps": np.array([layer.get("eps", 0)], kind)} if layer["op"] == "gin" else {}
    return implied | {name[len(prefix) :].replace("-", "."): np.array(given[name], kind) for name in names}


def adjacency(given, kind, op, loops):
    """A[target, source] in SciPy's CSR, sorted, duplicates apart. Where `op` replaces loops: so many (0 or 1) a node."""
    import scipy.sparse as sparse

    indptr, sources = np.array(given["indptr"], dtype=np.int64), np.array(given["indices"], dtype=np.int64)
    nodes = np.arange(len(indptr) - 1)
    targets = np.repeat(nodes, np.diff(indptr))
    if op in ("gcn", "sgc", "gat"):
        proper = sources != targets
        sources, targets = (np.append(ends[proper], np.repeat(nodes, loops)) for ends in (sources, targets))
    order = np.lexsort((sources, targets))
    indptr = np.append(0, np.cumsum(np.bincount(targets, minlength=len(nodes))))
    width, shape = np.int32 if len(order) < 2**31 else np.int64, (len(nodes), len(nodes))
    return sparse.csr_matrix((np.ones(len(order), kind), sources[order].astype(width), indptr.astype(width)), shape=shape)


def rows_of(a):
    return np.repeat(np.arange(a.shape[0]), np.diff(a.indptr))


def operator(given, layer, p, kind):
    """The matrix with which a layer aggregates."""
    a = adjacency(given, kind, layer["op"], 1)
    degrees = np.diff(a.indptr)
    if layer["op"] in ("gcn", "sgc"):
        q = degrees**-0.5
        a.data[:] = q[rows_of(a)] * q[a.indices]
    elif layer["op"] == "sage":
        a.data[:] = 1 / degrees[rows_of(a)]
    elif layer["op"] == "gin":
        from scipy.sparse import identity

        a = (a + (1 + p["eps"].item()) * identity(a.shape[0], format="csr")).astype(kind)
    return a


def features(given):
    if "memory_limit" in given:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (given["memory_limit"], given["memory_limit"]))
    return np.array(given["x"])


def inference(x, layers, finish, graph_bytes, stride):
    for layer in layers:
        x = layer(x)
    return dict(output=finish(x)[::stride], graph_bytes=graph_bytes)


# Sparse matrices: the same formulas on SciPy and on PyTorch


class Scipy:
    """On several threads a product is cut into row blocks: SciPy's own runs on one."""

    array = finish = staticmethod(lambda a: a)
    empty = staticmethod(np.empty)

    def __init__(self, threads):
        from concurrent.futures import ThreadPoolExecutor

        self.blocks = 4 * threads if threads > 1 else 1
        self.pool = ThreadPoolExecutor(threads)

    def product(self, a, x):
        if self.blocks == 1:
            return a @ x
        out = np.empty((a.shape[0], x.shape[1]), x.dtype)
        cuts = np.searchsorted(a.indptr, np.linspace(0, a.nnz, self.blocks + 1)[1:-1]).tolist()

        def block(first, end):
            begin, stop = a.indptr[first], a.indptr[end]
            part = type(a)((end - first, a.shape[1]), dtype=a.dtype)
            part.data, part.indices, part.indptr = a.data[begin:stop], a.indices[begin:stop], a.indptr[first : end + 1] - begin
            out[first:end] = part @ x

        list(self.pool.map(block, [0, *cuts], [*cuts, a.shape[0]]))
        return out

    def matrix(self, a):
        self.rows = rows_of(a)
        return a

    def attention(self, a, u, v, slope):
        """The matrix of exp(leaky(u_j + v_i) - maximum of the row) and the sums of its rows. No row is empty."""
        e = u[a.indices] + v[self.rows]
        np.maximum(e, slope * e, out=e)
        e -= np.maximum.reduceat(e, a.indptr[:-1])[self.rows]
        a.data = np.exp(e, out=e)
        return a, np.add.reduceat(e, a.indptr[:-1])

    def activate(self, name, x):
        below = np.expm1(np.minimum(x, 0)) if name == "elu" else None
        x = x if name is None else np.maximum(x, 0, out=x)
        return x if below is None else np.add(x, below, out=x)


class Torch:
    def __init__(self, threads):
        import torch

        self.torch, self.empty, self.array = torch, torch.empty, torch.from_numpy
        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        # The distribution's PyTorch takes what provides libblas.so.3: with the reference BLAS its products are 7 times slower.
        if os.path.exists("/proc/self/maps"):
            loaded = {os.path.realpath(line.split()[-1]) for line in open("/proc/self/maps") if "/libblas.so" in line}
            if any("/blas/" in path for path in loaded):
                raise RuntimeError("PyTorch runs on the reference BLAS: install libopenblas0-pthread")

    product = staticmethod(lambda a, x: a @ x)
    finish = staticmethod(lambda x: x.numpy())

    def csr(self, indptr, indices, values):
        # The checked constructor refuses duplicates, which products add as they should.
        return self.torch._sparse_csr_tensor_unsafe(indptr, indices, values, size=(len(indptr) - 1,) * 2)

    def matrix(self, a):
        self.rows, self.columns = self.array(rows_of(a)), self.array(a.indices.astype(np.int64))
        return self.csr(self.array(a.indptr), self.array(a.indices), self.array(a.data))

    def attention(self, a, u, v, slope):
        e = self.torch.nn.functional.leaky_relu_(u[self.columns] + v[self.rows], slope)
        e -= self.torch.full_like(u, -np.inf).scatter_reduce_(0, self.rows, e, "amax")[self.rows]
        e.exp_()
        return self.csr(a.crow_indices(), a.col_indices(), e), self.torch.zeros_like(u).scatter_add_(0, self.rows, e)

    def activate(self, name, x):
        return x if name is None else getattr(self.torch.nn.functional, name)(x, inplace=True)


def layer_by_matrices(on, layer, p, a):
    """A layer as a function of activations, its products in the narrower order."""
    p = {name: on.array(value) for name, value in p.items()}
    a = on.matrix(a)

    def aggregated(x, w, hops=1):
        first = w.shape[0] <= w.shape[1]
        x = x @ w.T if first else x
        for _ in range(hops):
            x = on.product(a, x)
        return x if first else x @ w.T

    def convolution(x):
        return aggregated(x, p["lin.weight"], layer.get("K", 1)), p["bias" if layer["op"] == "gcn" else "lin.bias"]

    def sage(x):
        out = aggregated(x, p["lin_l.weight"])
        out += x @ p["lin_r.weight"].T
        return out, p["lin_l.bias"]

    def gin(x):
        hidden = aggregated(x, p["nn.0.weight"])
        hidden += p["nn.0.bias"]
        return on.activate("relu", hidden) @ p["nn.2.weight"].T, p["nn.2.bias"]

    def gat(x):
        heads, width = layer.get("heads", 1), layer["out_channels"]
        out = on.empty((len(x), heads * width), dtype=x.dtype)
        for h in range(heads):
            columns = slice(h * width, (h + 1) * width)
            z = x @ p["lin.weight"][columns].T
            u, v = (z @ p[name].reshape(-1)[columns] for name in ("att_src", "att_dst"))
            scores, sums = on.attention(a, u, v, layer.get("negative_slope", 0.2))
            out[:, columns] = on.product(scores, z)
            out[:, columns] /= sums[:, None]
        return out, p["bias"]

    formula = dict(gcn=convolution, sgc=convolution, sage=sage, gin=gin, gat=gat)[layer["op"]]

    def run(x):
        out, bias = formula(x)
        out += bias
        return on.activate(layer.get("activation"), out)

    return run


def prepare_matrices(library, given):
    x, layers, size = features(given), [], 0
    for layer in given["layers"]:
        on, p = library(given["threads"]), parameters(given, layer, x.dtype)
        a = operator(given, layer, p, x.dtype)
        size += a.data.nbytes + a.indices.nbytes + a.indptr.nbytes
        layers.append(layer_by_matrices(on, layer, p, a))
    return dict(x=on.array(x), layers=layers, finish=on.finish, graph_bytes=size, stride=given.get("stride", 1))


prepare_scipy_csr = lambda **given: prepare_matrices(Scipy, given)
prepare_torch_csr = lambda **given: prepare_matrices(Torch, given)


# PyTorch Geometric


def module(on, layer, p, cached, more):
    """The layer of PyTorch Geometric with its tensors."""
    from torch_geometric import nn

    ins, outs, linear = layer["in_channels"], layer["out_channels"], on.torch.nn.Linear
    hidden, heads, slope = layer.get("hidden", outs), layer.get("heads", 1), layer.get("negative_slope", 0.2)
    makers = dict(
        gcn=lambda: nn.GCNConv(ins, outs, cached=cached, **more),
        # Its own `cached` keeps the propagated features: later calls would be one dense product.
        sgc=lambda: nn.SGConv(ins, outs, K=layer.get("K", 1), **more),
        sage=lambda: nn.SAGEConv(ins, outs, aggr="mean", **more),
        gat=lambda: nn.GATConv(ins, outs, heads=heads, negative_slope=slope, **more),
        gin=lambda: nn.GINConv(on.torch.nn.Sequential(linear(ins, hidden), on.torch.nn.ReLU(), linear(hidden, outs)), **more),
    )
    conv = makers[layer["op"]]()
    own = conv.to(on.array(p[min(p)]).dtype).state_dict()
    conv.load_state_dict({name: on.array(value).reshape(own[name].shape) if name in own else value for name, value in p.items()})
    return conv.eval()


def prepare_pyg(given, sparse=False, cached=False, **more):
    x, on = features(given), Torch(given["threads"])
    from torch_geometric.nn.conv.gcn_conv import gcn_norm

    def graph_of(op):
        # With a sparse matrix, loops that exist would be kept beside those that are added.
        a = adjacency(given, x.dtype, op, 0)
        columns = on.array(a.indices.astype(np.int64))
        if sparse:
            return on.csr(on.array(a.indptr.astype(np.int64)), columns, on.array(a.data))
        return on.torch.stack([columns, on.array(rows_of(a))])

    def layer_of(layer, graph):
        conv = module(on, layer, parameters(given, layer, x.dtype), cached, more)
        run = lambda x: conv(x, graph)
        if layer["op"] == "sgc" and cached:
            graph, weights = gcn_norm(graph, None, len(x), False, True, dtype=on.array(x).dtype)

            def run(x):
                for _ in range(conv.K):
                    x = conv.propagate(graph, x=x, edge_weight=weights)
                return conv.lin(x)

        return lambda x: on.activate(layer.get("activation"), run(x))

    graphs = {layer["op"]: graph_of(layer["op"]) for layer in given["layers"]}
    layers = [layer_of(layer, graphs[layer["op"]]) for layer in given["layers"]]
    parts = lambda g: [g.crow_indices(), g.col_indices(), g.values()] if sparse else [g]
    size = sum(part.nelement() * part.element_size() for g in graphs.values() for part in parts(g))
    return dict(x=on.array(x), layers=layers, finish=on.finish, graph_bytes=size, stride=given.get("stride", 1))


prepare_pyg_edge_index = lambda **given: prepare_pyg(given, cached=given.get("cached", False))
prepare_pyg_sparse = lambda **given: prepare_pyg(given, sparse=True, cached=True)


def prepare_pyg_decomposed(**given):
    if any(layer["op"] not in ("gcn", "sgc") for layer in given["layers"]):
        raise NotImplementedError("PyTorch Geometric cuts the messages of GCN and SGC only")
    return prepare_pyg(given, cached=given.get("cached", False), decomposed_layers=given["pieces"])


scipy_csr = torch_csr = pyg_edge_index = pyg_decomposed = pyg_sparse = inference


if __name__ == "__main__":
    peer.main(globals())
