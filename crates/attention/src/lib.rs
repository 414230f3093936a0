//! Fits one attention layer, or an attention map, by Newton's method in the logit metric, and proves what it can of the answer.
//!
//! With F the row softmax of `scale A1 X A2ᵀ` over the visible keys, [`layer`] minimises `|F A3 Y - B|²` over X and Y, summed over sequences,
//! the outputs of several heads added up; [`map`] minimises over X the distance of F (or of its exponentials) from a given attention, or
//! their cross-entropy. `vec` is row-major everywhere: `vec(A1 X A2ᵀ) = (A1 ⊗ A2) vec(X)`.
//!
//! ```
//! use certus_attention::layer::{Params, Problem, Sequence, Solver};
//! use certus_numeric::Array;
//! let wave = |rows: usize, cols: usize, step: f64| Array::from_fn(rows, cols, |i, j| (step * (i * cols + j) as f64).sin());
//! let (q, k, v, target) = (wave(30, 3, 0.7), wave(30, 3, 1.1), wave(30, 2, 1.7), wave(30, 2, 0.1));
//! let problem = Problem::new(vec![Sequence::new(&q, &k, &v, &target)])?.with_logit_reg(0.1, 0.1)?;
//! let fit = Solver::default().solve(&problem)?;
//! // The logits of a local minimum lie within this distance of those of X.
//! let test = fit.facts.kantorovich.expect("one head");
//! assert!(fit.loss < fit.facts.loss_start && test.logit_radius.is_some_and(|radius| radius < 1e-4), "{}", fit.certificate);
//! # Ok::<(), certus_attention::Error>(())
//! ```
//!
//! The method is Newton's in X, with the best Y for each X ([`certus_newton`]); the length of a step is that of the change of the logits.
//! The Hessian is applied, and preconditioned by `(A1ᵀA1 ⊗ A2ᵀA2)⁻¹`, or formed by products of columns, by counts of operations. The
//! principal claim of the certificate is Newton's and Kantorovich's, in the logits, with a Lipschitz constant that is sharp and free of
//! exponentials ([`Kantorovich`], [`bounds`]).
//!
//! Cost: a gradient 4 n m d multiply-adds and n m exponentials, a product with the Hessian about two gradients; memory: the inputs, d (n + m)
//! numbers, and a block of rows a thread.
//!
//! Sources: Gao, Song, Wang, Yin: a fast optimization view, attention regression, 2023; Gao, Song, Xie: in-context attention regression, 2023;
//! Golub, Pereyra, variable projection, 1973.
#![forbid(unsafe_code)]

pub mod absorb;
mod bilinear;
mod blocks;
pub mod bounds;
mod certificate;
mod error;
mod facts;
mod holdout;
mod kantorovich;
mod kron_solver;
pub mod layer;
pub mod map;
mod mask;
pub mod merge;
mod newton_steps;
mod norms;
mod rank_one;
pub mod recover;
mod sample;
mod scores;
mod sketch;
pub mod stability;
mod symmetric;
mod warning;
mod whitening;

pub use certificate::certificate;
pub use error::Error;
pub use facts::Facts;
pub use holdout::{MapSplit, Split};
pub use kantorovich::Kantorovich;
pub use mask::Mask;
pub use newton_steps::Method;
pub use norms::Norms;
pub use sketch::{Sketch, SketchFacts, SketchedHessian};

/// How much is spent on the certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Certify {
    /// The Kantorovich test by products with the Hessian: mu and eta are estimates.
    #[default]
    Cheap,
    /// The test with mu and eta proven, where there is one head and X has at most 4096 entries; and the curvature of each row.
    Full,
}

/// Keeps the code of the README compiling.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Keeps the code of the guide compiling.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/attention.md")]
struct Guide;
