//! Tells the experiments which compiler and profile built them.

use std::env;
use std::process::Command;

fn main() {
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let version = Command::new(rustc).arg("--version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    println!("cargo::rustc-env=CERTUS_RUSTC={version}");
    // `PROFILE` says "debug" for the dev profile; people say "dev".
    let profile = match env::var("PROFILE").as_deref() {
        Ok("debug") => "dev".to_owned(),
        Ok(profile) => profile.to_owned(),
        Err(_) => String::new(),
    };
    println!("cargo::rustc-env=CERTUS_PROFILE={profile}");
    println!("cargo::rerun-if-changed=build.rs");
}
