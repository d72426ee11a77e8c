//! Builds the pause program (pause/pause.rs) into a static binary that the library embeds.

use std::error::Error;
use std::path::PathBuf;
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    let source = "pause/pause.rs";
    println!("cargo::rerun-if-changed={source}");
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(std::env::var("OUT_DIR")?).join("pause");
    let mut rustc = Command::new(std::env::var("RUSTC")?);
    rustc.args(["--edition=2024", "--crate-name=pause", "--crate-type=bin", "--target"]);
    rustc.arg(std::env::var("TARGET")?);
    // No libc and no start-up files: an address of its own (no relocation to do), and nothing to unwind.
    for option in ["opt-level=s", "panic=abort", "relocation-model=static", "strip=symbols"] {
        rustc.args(["-C", option]);
    }
    for argument in ["-nostartfiles", "-nostdlib", "-static", "-Wl,--build-id=none", "-Wl,-z,noexecstack"] {
        rustc.args(["-C", &format!("link-arg={argument}")]);
    }
    if let Ok(linker) = std::env::var("RUSTC_LINKER") {
        rustc.args(["-C", &format!("linker={linker}")]);
    }
    let status = rustc.arg("-o").arg(&out).arg(source).status()?;
    if !status.success() {
        return Err(format!("the pause program does not build: {status}").into());
    }
    Ok(())
}
