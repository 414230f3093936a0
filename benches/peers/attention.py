"""Attention regression and attention maps by automatic differentiation with JAX, float64, and the solvers that people run on it.

The arrays are passed as arguments of compiled functions, never closed over. A fit starts at `x` (and `y`), which is also where the
regulariser pulls to unless there is an `x0`, and ends as soon as the loss is at most `near`, or gives up after `steps` iterations or
`seconds`. Compilation comes before the clock starts, and is told.
"""

import os
import time

import numpy as np

import peer


def jax_in_double(threads):
    # The flags alone do not hold JAX to one thread: its own pools are as large as the processors that it may use.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    import jax

    jax.config.update("jax_enable_x64", True)
    return jax


def losses(jax):
    """loss(z, data) of each form, z being X, and Y after it, row by row."""
    jnp = jax.numpy

    def pull(x, data):
        # The same as tau^2 |A1 (X - X0) A2'|^2 / 2, without a pass over queries and keys.
        shift = x - data["x0"]
        return 0.5 * data["lx"] * data["tau"] ** 2 * jnp.sum(shift * (data["gram1"] @ shift @ data["gram2"]))

    def logits(x, data):
        return data["tau"] * (data["a1"] @ x) @ data["a2"].T

    def layer(z, data):
        shape = data["x0"].shape
        x, y = z[: data["x0"].size].reshape(shape), z[data["x0"].size :].reshape(data["y0"].shape)
        outputs = jax.nn.softmax(logits(x, data), axis=1) @ (data["a3"] @ y)
        shift = y - data["y0"]
        of_y = 0.5 * data["ly"] * jnp.sum(shift * (data["gram3"] @ shift))
        return jnp.sum((outputs - data["b"]) ** 2) + pull(x, data) + of_y

    def normalised(z, data):
        x = z.reshape(data["x0"].shape)
        return jnp.sum((jax.nn.softmax(logits(x, data), axis=1) - data["b"]) ** 2) + pull(x, data)

    def rescaled(z, data):
        x = z.reshape(data["x0"].shape)
        u = jnp.exp(logits(x, data))
        return jnp.sum((u - jnp.sum(u, axis=1, keepdims=True) * data["b"]) ** 2) + pull(x, data)

    return dict(layer=layer, normalised=normalised, rescaled=rescaled)


def setup(given):
    """JAX, the loss, the start as a vector, the arrays, and the names and shapes of X (and Y)."""
    jax = jax_in_double(given["threads"])
    array = lambda name: jax.numpy.asarray(np.array(given[name]))
    data = {name: array(name) for name in ("a1", "a2", "b")}
    parts = ["x"]
    data["x0"] = array("x0" if "x0" in given else "x")
    data["gram1"], data["gram2"] = data["a1"].T @ data["a1"], data["a2"].T @ data["a2"]
    if given["form"] == "layer":
        parts.append("y")
        data["a3"], data["y0"] = array("a3"), array("y")
        data["gram3"] = data["a3"].T @ data["a3"]
    data |= {name: jax.numpy.asarray(float(given.get(name, 0))) for name in ("tau", "lx", "ly")}
    start = jax.numpy.concatenate([array(name).ravel() for name in parts])
    shapes = {name: np.shape(given[name]) for name in parts}
    return jax, losses(jax)[given["form"]], start, data, shapes


def split(z, shapes):
    """X (and Y) of a vector."""
    z, found, first = np.asarray(z), {}, 0
    for name, shape in shapes.items():
        size = shape[0] * shape[1]
        found[name] = z[first : first + size].reshape(shape)
        first += size
    return found


# Derivatives


def prepare_gradient(**given):
    jax, loss, z, data, shapes = setup(given)
    compiled = jax.jit(jax.value_and_grad(loss))
    return dict(run=lambda: jax.block_until_ready(compiled(z, data)), shapes=shapes)


def gradient(run, shapes):
    value, z = run()
    return dict(loss=value, **split(z, shapes))


def direction(jax, given, shapes):
    return jax.numpy.concatenate([jax.numpy.asarray(np.array(given["d" + name])).ravel() for name in shapes])


def prepare_product(**given):
    """The product with a direction from nothing: the derivative of the gradient along it."""
    jax, loss, z, data, shapes = setup(given)
    t = direction(jax, given, shapes)
    compiled = jax.jit(lambda z, t, data: jax.jvp(lambda z: jax.grad(loss)(z, data), (z,), (t,))[1])
    return dict(run=lambda: jax.block_until_ready(compiled(z, t, data)), shapes=shapes)


def prepare_next_product(**given):
    """One more product at the same point: what depends on the point alone is there."""
    jax, loss, z, data, shapes = setup(given)
    t = direction(jax, given, shapes)
    linear = jax.jit(lambda z, data: jax.linearize(lambda z: jax.grad(loss)(z, data), z)[1])(z, data)
    compiled = jax.jit(lambda linear, t: linear(t))
    return dict(run=lambda: jax.block_until_ready(compiled(linear, t)), shapes=shapes)


def product(run, shapes):
    return split(run(), shapes)


next_product = product


def prepare_columns(**given):
    """Some columns of the Hessian, 32 at a time."""
    jax, loss, z, data, shapes = setup(given)
    units = np.zeros((given["columns"], z.size))
    units[np.arange(given["columns"]), np.arange(given["columns"]) * (z.size // given["columns"])] = 1

    def some(z, units, data):
        times = lambda t: jax.jvp(lambda z: jax.grad(loss)(z, data), (z,), (t,))[1]
        return jax.lax.map(times, units, batch_size=32)

    compiled, units = jax.jit(some), jax.numpy.asarray(units)
    return dict(run=lambda: jax.block_until_ready(compiled(z, units, data)))


def columns(run):
    return dict(columns=run())


# Fits


class Watch:
    """Ends a fit that has come near, or has had its time."""

    def __init__(self, near, seconds):
        self.near, self.end = near, time.perf_counter() + seconds

    def __call__(self, intermediate_result):
        if intermediate_result.fun <= self.near or time.perf_counter() > self.end:
            raise StopIteration


def prepare_scipy(**given):
    begin = time.perf_counter()
    jax, loss, z, data, shapes = setup(given)
    value_and_gradient = jax.jit(jax.value_and_grad(loss))
    times = jax.jit(lambda z, t, data: jax.jvp(lambda z: jax.grad(loss)(z, data), (z,), (t,))[1])

    def fun(z):
        value, slope = value_and_gradient(z, data)
        return float(value), np.asarray(slope)

    start = np.asarray(z)
    fun(start), times(start, start, data).block_until_ready()
    more = dict(fun=fun, hessp=lambda z, t: np.asarray(times(z, t, data)), start=start, shapes=shapes)
    return given | more | dict(compilation=time.perf_counter() - begin)


def lbfgsb(fun, start, shapes, near, steps, seconds, compilation):
    import scipy.optimize as optimize

    options = dict(maxcor=20, ftol=0, gtol=0, maxiter=steps, maxfun=100 * steps)
    found = optimize.minimize(fun, start, jac=True, method="L-BFGS-B", options=options, callback=Watch(near, seconds))
    return dict(loss=found.fun, iterations=found.nit, compilation=compilation, **split(found.x, shapes))


def trust_krylov(fun, hessp, start, shapes, near, steps, seconds, compilation):
    import scipy.optimize as optimize

    options, watch = dict(gtol=0, maxiter=steps), Watch(near, seconds)
    found = optimize.minimize(fun, start, jac=True, hessp=hessp, method="trust-krylov", options=options, callback=watch)
    return dict(loss=found.fun, iterations=found.nit, products=found.nhev, compilation=compilation, **split(found.x, shapes))


prepare_lbfgsb = prepare_trust_krylov = prepare_scipy

# Iterations between two looks at the clock.
CHUNK = 50


def in_chunks(jax, z, state, data, given, shapes, step, begin):
    """Runs `step`, which takes and gives (z, state, value), in a compiled loop."""

    def chunk(z, state, value, data, limit):
        going = lambda carry: (carry[2] > given["near"]) & (carry[3] < limit)

        def body(carry):
            z, state, value, count = carry
            return *step(z, state, data), count + 1

        return jax.lax.while_loop(going, body, (z, state, value, 0))

    compiled, infinity = jax.jit(chunk), jax.numpy.asarray(np.inf)
    # Twice: what comes out may differ in kind from what goes in first.
    now, before, value, _ = compiled(z, state, infinity, data, 1)
    jax.block_until_ready(compiled(now, before, value, data, 1))
    compilation = time.perf_counter() - begin

    def run():
        end, now, before, value, count = time.perf_counter() + given["seconds"], z, state, infinity, 0
        while count < given["steps"] and value > given["near"] and time.perf_counter() < end:
            now, before, value, more = compiled(now, before, value, data, min(CHUNK, given["steps"] - count))
            count += int(more)
            if not np.isfinite(value):
                break
        return dict(loss=float(value), iterations=count, compilation=compilation, **split(now, shapes))

    return dict(run=run)


def prepare_optax_lbfgs(**given):
    begin = time.perf_counter()
    jax, loss, z, data, shapes = setup(given)
    import optax

    solver = optax.lbfgs(memory_size=20)

    def step(z, state, data):
        fun = lambda z: loss(z, data)
        value, slope = optax.value_and_grad_from_state(fun)(z, state=state)
        updates, state = solver.update(slope, state, z, value=value, grad=slope, value_fn=fun)
        return optax.apply_updates(z, updates), state, optax.tree_utils.tree_get(state, "value")

    return in_chunks(jax, z, solver.init(z), data, given, shapes, step, begin)


def prepare_jaxopt_lbfgs(**given):
    begin = time.perf_counter()
    jax, loss, z, data, shapes = setup(given)
    import jaxopt

    solver = jaxopt.LBFGS(loss, history_size=20, tol=0.0)

    def step(z, state, data):
        z, state = solver.update(z, state, data)
        return z, state, state.value

    return in_chunks(jax, z, solver.init_state(z, data), data, given, shapes, step, begin)


def optax_lbfgs(run):
    return run()


jaxopt_lbfgs = optax_lbfgs


if __name__ == "__main__":
    peer.main(globals())
