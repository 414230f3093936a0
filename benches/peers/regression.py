"""Plain exponential regression, min |exp(A x) - b|^2 / 2, in what Python users run today.

Everyone starts at `start` and runs until no entry of the gradient A' (u (u - b)), u = exp(A x), is above `target`. Who stops
by a quantity of another kind gets the loosest power of ten that gets there, found before the clock starts. Loss and gradient
of the answer are computed after it has stopped. Packages are imported where they are used: one that is missing takes only its
own rows with it.
"""

import time
import warnings

import numpy as np
import scipy.optimize as optimize
import scipy.sparse as sparse

import peer

# The least tolerance that MINPACK takes: its other two tests, put out of the way.
EPS = np.finfo(float).eps
# Tolerances to try, each ten times tighter than the one before, and seconds after which no other is tried.
DECADES = [10.0**-power for power in range(5, 16)]
PATIENCE = 120


class Later:
    """A number that is computed when it is read: when the clock has stopped."""

    ndim = 0

    def __init__(self, compute):
        self.compute = compute

    def __float__(self):
        return float(self.compute())


def loss_at(a, b, x):
    return 0.5 * np.sum((np.exp(a @ x) - b) ** 2)


def gradient_at(a, b, x):
    u = np.exp(a @ x)
    return np.max(np.abs(a.T @ (u * (u - b))))


def answer(a, b, x, **numbers):
    x = np.asarray(x)
    return dict(x=x, loss=Later(lambda: loss_at(a, b, x)), gradient=Later(lambda: gradient_at(a, b, x)), **numbers)


def loosest(run, reached, tolerances=DECADES):
    """The first of ever tighter tolerances whose answer `reached` accepts. The last one tried, if patience or the list ends."""
    begin = time.perf_counter()
    for tolerance in tolerances:
        try:
            if reached(run(tolerance)):
                break
        except (ArithmeticError, RuntimeError, ValueError):
            # It failed at this one. If it fails at all of them, the timed call says why.
            pass
        if time.perf_counter() - begin > PATIENCE:
            break
    return tolerance


def residual(a, b):
    return lambda x: np.exp(a @ x) - b


def jacobian(a):
    if not sparse.issparse(a):
        return lambda x: a * np.exp(a @ x)[:, None]
    counts = np.diff(a.indptr)
    return lambda x: sparse.csr_matrix((a.data * np.repeat(np.exp(a @ x), counts), a.indices, a.indptr), shape=a.shape)


# What is handed over


def arrays(**given):
    """The matrix, dense or from its three arrays, the target and the start, in plain memory."""
    if "a" in given:
        a = np.array(given["a"])
    else:
        parts = tuple(np.array(given[name]) for name in ("values", "indices", "indptr"))
        a = sparse.csr_matrix(parts, shape=(len(parts[2]) - 1, given["d"]))
    return dict(a=a, b=np.array(given["b"]), start=np.array(given["start"]), target=given["target"])


def tuned(fit, tolerances=DECADES):
    """A preparation that finds the tolerance of `fit(a, b, start, target, tolerance)` too."""

    def prepare(**given):
        data = arrays(**given)
        a, b, start, target = data.values()
        with warnings.catch_warnings(action="ignore"):
            run = lambda tolerance: fit(a, b, start, target, tolerance)["x"]
            tolerance = loosest(run, lambda x: gradient_at(a, b, x) <= target, tolerances)
        return data | dict(tolerance=tolerance)

    return prepare


# NumPy and SciPy, in a few lines of the user's own


def gauss_newton(a, b, start, target):
    x, step, least = start, 0, np.inf
    for passes in range(1, 101):
        u = np.exp(a @ x)
        r = u - b
        loss = r @ r
        # Beyond rounding: near the end the loss no longer tells which of two points is better.
        if not loss <= least * (1 + 1e-12):
            step = step / 2
            x = x - step
            continue
        least, j = loss, a * u[:, None]
        gradient = j.T @ r
        if np.max(np.abs(gradient)) <= target:
            break
        step = -np.linalg.solve(j.T @ j, gradient)
        x = x + step
    return answer(a, b, x, iterations=passes - 1)


def gauss_newton_cg(a, b, start, target):
    """Gauss-Newton without a Gram matrix: conjugate gradients under the diagonal, as exact as each step deserves."""
    transpose, squares = a.T, sparse.csr_matrix((a.data**2, a.indices, a.indptr), shape=a.shape).T
    x, step, least, first, products = start, 0, np.inf, None, 0
    for passes in range(1, 101):
        u = np.exp(a @ x)
        r = u - b
        loss = r @ r
        if not loss <= least * (1 + 1e-12):
            step = step / 2
            x = x - step
            continue
        least, weights = loss, u * u
        gradient = transpose @ (u * r)
        size = np.max(np.abs(gradient))
        if size <= target:
            break
        first = first or size
        inverse = 1 / (squares @ weights)
        step, rest = np.zeros_like(x), -gradient
        p = z = inverse * rest
        rho = rest @ z
        # The square of the relative residual: falls with the gradient, but no further than the target needs.
        enough = rho * max(min(0.1, np.sqrt(size / first)), 0.3 * target / size) ** 2
        for _ in range(500):
            q = transpose @ (weights * (a @ p))
            products += 1
            alpha = rho / (p @ q)
            step += alpha * p
            rest -= alpha * q
            z = inverse * rest
            rho, old = rest @ z, rho
            if not rho > enough:
                break
            p = z + (rho / old) * p
        x = x + step
    return answer(a, b, x, iterations=passes - 1, products=products)


# SciPy's solvers


def trf_exact(a, b, start, target):
    rest = dict(tr_solver="exact", gtol=target, xtol=None, ftol=None)
    found = optimize.least_squares(residual(a, b), start, jac=jacobian(a), method="trf", **rest)
    return answer(a, b, found.x, iterations=found.njev - 1)


def trf_lsmr(a, b, start, target, tolerance):
    """The tolerance is LSMR's: at its default of 1e-6 the steps are too rough for the target, and the run may die of it."""
    rest = dict(tr_solver="lsmr", tr_options=dict(atol=tolerance, btol=tolerance), gtol=target, xtol=None, ftol=None)
    found = optimize.least_squares(residual(a, b), start, jac=jacobian(a), method="trf", **rest)
    return answer(a, b, found.x, iterations=found.njev - 1, tolerance=tolerance)


def lm(a, b, start, target, tolerance):
    """The tolerance is on the cosine between the residual and a column."""
    found = optimize.least_squares(residual(a, b), start, jac=jacobian(a), method="lm", gtol=tolerance, xtol=EPS, ftol=EPS)
    return answer(a, b, found.x, iterations=found.njev - 1, tolerance=tolerance)


def curve_fit(a, b, start, target, tolerance):
    x, _ = optimize.curve_fit(
        lambda a, *x: np.exp(a @ np.array(x)),
        a,
        b,
        p0=start,
        jac=lambda a, *x: a * np.exp(a @ np.array(x))[:, None],
        gtol=tolerance,
        xtol=EPS,
        ftol=EPS,
    )
    return answer(a, b, x, tolerance=tolerance)


prepare_gauss_newton = prepare_gauss_newton_cg = prepare_trf_exact = arrays
prepare_trf_lsmr, prepare_lm, prepare_curve_fit = tuned(trf_lsmr, [1e-6, 1e-8, 1e-10, 1e-12]), tuned(lm), tuned(curve_fit)


# Generalised linear models: normal family, logarithmic link


def statsmodels_glm(a, b, start, target, tolerance):
    import statsmodels.api as sm

    model = sm.GLM(b, a, family=sm.families.Gaussian(sm.families.links.Log()))
    # The relative change of the deviance.
    found = model.fit(start_params=start, atol=0, rtol=tolerance)
    return answer(a, b, found.params, iterations=found.fit_history["iteration"], tolerance=tolerance)


prepare_statsmodels_glm = tuned(statsmodels_glm)


def prepare_glum_glm(**given):
    data = arrays(**given)
    # What glum would copy it into.
    data["a"] = data["a"].tocsc() if sparse.issparse(data["a"]) else np.asfortranarray(data["a"])
    a, b, start, target = data.values()
    # Its gradient is that of the mean, and compared in the sum of absolute values or in the largest, by version.
    candidates = [target / len(b) * 10.0**power for power in range(int(np.ceil(np.log10(len(start)))), -1, -1)]
    with warnings.catch_warnings(action="ignore"):
        tolerance = loosest(lambda tol: glum_glm(a, b, start, tol)["x"], lambda x: gradient_at(a, b, x) <= target, candidates)
    return data | dict(tolerance=tolerance)


def glum_glm(a, b, start, tolerance):
    from glum import GeneralizedLinearRegressor

    model = GeneralizedLinearRegressor(
        family="normal", link="log", alpha=0, fit_intercept=False, gradient_tol=tolerance, start_params=start
    )
    model.fit(a, b)
    return answer(a, b, model.coef_, iterations=model.n_iter_, tolerance=tolerance)


# JAX


def jax_in_double():
    import jax

    jax.config.update("jax_enable_x64", True)
    return jax


def prepare_jaxopt_lm(**given):
    jax = jax_in_double()
    import jaxopt

    data = arrays(**given)
    a, b, start, target = (jax.numpy.asarray(value) for value in data.values())
    # It stops by the Euclidean norm of the gradient, which is no less than its largest entry.
    solver = jaxopt.LevenbergMarquardt(lambda x, a, b: jax.numpy.exp(a @ x) - b, maxiter=100, tol=float(target))
    fit = jax.jit(lambda start, a, b: solver.run(start, a, b).params)
    return data | dict(run=lambda: jax.block_until_ready(fit(start, a, b)))


def jaxopt_lm(a, b, run):
    return answer(a, b, run())


def optimistix_run(tolerance, steps=100):
    """A compiled fit of one target: `run(a, b, start)`."""
    jax = jax_in_double()
    import optimistix

    solver = optimistix.LevenbergMarquardt(rtol=tolerance, atol=tolerance)

    def run(a, b, start):
        fit = lambda x, data: jax.numpy.exp(data[0] @ x) - data[1]
        return optimistix.least_squares(fit, solver, start, args=(a, b), max_steps=steps, throw=False).value

    return run


def prepare_optimistix_lm(**given):
    jax = jax_in_double()
    data = arrays(**given)
    a, b, start = (jax.numpy.asarray(data[name]) for name in ("a", "b", "start"))
    compiled = lambda tol: jax.jit(optimistix_run(tol))
    tolerance = loosest(
        lambda tol: np.asarray(compiled(tol)(a, b, start)), lambda x: gradient_at(data["a"], data["b"], x) <= data["target"]
    )
    # A new function, so that the first call compiles.
    fit = compiled(tolerance)
    return data | dict(run=lambda: jax.block_until_ready(fit(a, b, start)), tolerance=tolerance)


def optimistix_lm(a, b, run, tolerance):
    return answer(a, b, run(), tolerance=tolerance)


# Many small fits: one a row of `targets`, each to `relative` times its own gradient at the start


def all_answers(a, targets, start, x, **numbers):
    """The sum of the losses, and the largest gradient relative to that at the start."""

    def gradient():
        return max(gradient_at(a, b, y) / gradient_at(a, b, start) for b, y in zip(targets, x))

    x = np.asarray(x)
    return dict(x=x, loss=Later(lambda: sum(loss_at(a, b, y) for b, y in zip(targets, x))), gradient=Later(gradient), **numbers)


def small(**given):
    return dict(a=np.array(given["a"]), targets=np.array(given["targets"])[: given["fits"]], start=np.array(given["start"]))


def small_tuned(fit):
    def prepare(**given):
        data = small(**given)
        a, targets, start = data.values()
        reached = lambda answers: all(
            gradient_at(a, b, x) <= given["relative"] * gradient_at(a, b, start) for b, x in zip(targets, answers)
        )
        with warnings.catch_warnings(action="ignore"):
            tolerance = loosest(lambda tol: [fit(a, b, start, None, tol)["x"] for b in targets], reached)
        return data | dict(tolerance=tolerance)

    return prepare


def small_targets(**given):
    data = small(**given)
    a, targets, start = data.values()
    # Found before the clock starts: a user knows the size of his gradients.
    return data | dict(goals=[given["relative"] * gradient_at(a, b, start) for b in targets])


def small_gauss_newton(a, targets, start, goals):
    return all_answers(a, targets, start, [gauss_newton(a, b, start, goal)["x"] for b, goal in zip(targets, goals)])


def small_trf(a, targets, start, goals):
    return all_answers(a, targets, start, [trf_exact(a, b, start, goal)["x"] for b, goal in zip(targets, goals)])


def small_lm(a, targets, start, tolerance):
    return all_answers(a, targets, start, [lm(a, b, start, None, tolerance)["x"] for b in targets], tolerance=tolerance)


def small_curve_fit(a, targets, start, tolerance):
    return all_answers(a, targets, start, [curve_fit(a, b, start, None, tolerance)["x"] for b in targets], tolerance=tolerance)


prepare_small_gauss_newton = prepare_small_trf = small_targets
prepare_small_lm, prepare_small_curve_fit = small_tuned(lm), small_tuned(curve_fit)


def prepare_small_optimistix(**given):
    jax = jax_in_double()
    data = small(**given)
    a, targets, start = data.values()
    goals = small_targets(**given)["goals"]
    compiled = lambda tol: jax.jit(jax.vmap(optimistix_run(tol), in_axes=(None, 0, None)))
    reached = lambda answers: all(gradient_at(a, b, x) <= goal for b, x, goal in zip(targets, answers, goals))
    tolerance = loosest(lambda tol: np.asarray(compiled(tol)(a, targets, start)), reached)
    fit = compiled(tolerance)
    return data | dict(run=lambda: jax.block_until_ready(fit(a, targets, start)), tolerance=tolerance)


def small_optimistix(a, targets, start, run, tolerance):
    return all_answers(a, targets, start, run(), tolerance=tolerance)


if __name__ == "__main__":
    peer.main(globals())
