//! x
/// x
pub fn run() -> Result<bool, crate::workspace::Failure> {
    Ok(true)
}
