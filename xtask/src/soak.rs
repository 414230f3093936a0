//! x
/// x
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Options {}
/// x
pub fn run(_: &Options) -> Result<bool, crate::workspace::Failure> {
    Ok(true)
}
