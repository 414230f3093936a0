//! Special functions in double precision, right to about 13 digits or more, far into the tails.
//!
//! None panics: outside its domain, or of NaN, a function is NaN. What loses digits is given in the form that does not:
//! every law has its lower and its upper tail, quantiles take either, and what under- or overflows has a scaled or
//! logarithmic twin.
//!
//! | functions | worst relative error against 50-digit tables |
//! |---|---|

mod coefficients;
pub(crate) mod double_double;
mod elementary;
mod error_function;
mod gamma_function;
mod incomplete_beta;
mod incomplete_gamma;
mod lambert;
mod normal;
mod owens_t;
mod student;
mod tail;
mod tail_integral;

pub use elementary::{ln_1m_exp, ln_1p_exp, ln_1p_minus, ln_add_exp, ln_sub_exp};
pub use error_function::{erf, erfc, erfcx};
pub use gamma_function::{gamma, ln_beta, ln_gamma};
pub use incomplete_beta::{beta_inc, beta_inc_upper, beta_quantile, beta_quantile_upper};
pub use incomplete_gamma::{gamma_p, gamma_p_inv, gamma_q, gamma_q_inv};
pub use lambert::{lambert_w0, lambert_wm1};
pub use normal::{ln_normal_sf, mills, normal_cdf, normal_pdf, normal_quantile, normal_quantile_upper, normal_sf};
pub use owens_t::owens_t;
pub use student::{student_quantile_upper, student_sf};
