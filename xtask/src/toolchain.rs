//! The compiler for WebAssembly: rustup's where it has the target or can get it, otherwise
//! Debian's, whose standard library is built once from its source package.
//!
//! `VIDEOCALL_WASM_TOOLCHAIN=rustup` or `=debian` chooses by hand.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

pub(crate) const TARGET: &str = "wasm32-unknown-unknown";
const LINKER: &str = "wasm-ld-22";
const PACKAGES: &str = "rustc-web cargo-web rust-web-src lld-22";

/// How to compile for WebAssembly.
pub(crate) enum Toolchain {
    Rustup,
    /// Debian's compiler with this sysroot.
    Debian(PathBuf),
}

impl Toolchain {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Rustup => "rustup's wasm32 target",
            Self::Debian(_) => "Debian's rustc-web",
        }
    }

    /// A cargo command that compiles for WebAssembly, arguments of cargo to follow.
    pub(crate) fn cargo(&self) -> Command {
        match self {
            Self::Rustup => Command::new("cargo"),
            Self::Debian(sysroot) => {
                let mut cargo = Command::new("/usr/bin/cargo");
                // The environment replaces what .cargo/config.toml says of flags.
                cargo
                    .env("RUSTC", "/usr/bin/rustc")
                    .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", LINKER)
                    .env(
                        "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS",
                        format!(
                            "--sysroot {} --cfg=web_sys_unstable_apis \
                             --cfg=getrandom_backend=\"wasm_js\"",
                            sysroot.display()
                        ),
                    )
                    .env_remove("RUSTUP_TOOLCHAIN");
                cargo
            }
        }
    }

    /// The folder for what it builds: the two must not find each other's results.
    pub(crate) fn target_dir(&self, root: &Path) -> PathBuf {
        let target =
            env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        target.join(match self {
            Self::Rustup => "wasm",
            Self::Debian(_) => "wasm-debian",
        })
    }
}

/// Finds a toolchain, and makes it ready if need be.
pub(crate) fn find() -> Result<Toolchain> {
    match env::var("VIDEOCALL_WASM_TOOLCHAIN").as_deref() {
        Ok("rustup") => {
            ensure!(
                rustup_ready(),
                "rustup has no {TARGET} target and cannot get it"
            );
            Ok(Toolchain::Rustup)
        }
        Ok("debian") => debian().map(Toolchain::Debian),
        Ok(other) => bail!("VIDEOCALL_WASM_TOOLCHAIN is `{other}`: use rustup or debian"),
        Err(_) if rustup_ready() => Ok(Toolchain::Rustup),
        Err(_) => debian().map(Toolchain::Debian).with_context(|| {
            format!("neither `rustup target add {TARGET}` nor Debian's packages work: {PACKAGES}")
        }),
    }
}

fn rustup_ready() -> bool {
    let installed = Command::new("rustup")
        .args(["target", "list", "--installed"])
        .output();
    let has_target = installed.is_ok_and(|output| {
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .any(|l| l == TARGET)
    });
    has_target
        || Command::new("timeout")
            .args(["120", "rustup", "target", "add", TARGET])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
}

/// The sysroot with the standard library for WebAssembly, built if it is not there for this
/// version of the compiler.
fn debian() -> Result<PathBuf> {
    let version = Command::new("/usr/bin/rustc")
        .arg("--version")
        .output()
        .with_context(|| format!("install Debian's packages {PACKAGES}"))?;
    let version = String::from_utf8_lossy(&version.stdout)
        .trim()
        .replace(|c: char| !c.is_alphanumeric(), "-");
    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set")?
        .join("videocall");
    let sysroot = cache.join(format!("wasm-sysroot-{version}"));
    let libraries = sysroot.join("lib/rustlib").join(TARGET).join("lib");
    if libraries.join("complete").exists() {
        return Ok(sysroot);
    }
    println!("building the standard library for WebAssembly, once (about two minutes) …");
    let empty = cache.join("std-build");
    fs::create_dir_all(empty.join("src"))?;
    fs::write(empty.join("src/lib.rs"), "")?;
    fs::write(
        empty.join("Cargo.toml"),
        "[package]\nname = \"std-build\"\nversion = \"0.0.0\"\nedition = \"2021\"\n[workspace]\n\
         [profile.release]\npanic = \"abort\"\n",
    )?;
    let status = Command::new("/usr/bin/cargo")
        .args([
            "build",
            "--release",
            "--target",
            TARGET,
            "-Zbuild-std=std,panic_abort,test",
        ])
        .current_dir(&empty)
        .env("RUSTC", "/usr/bin/rustc")
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", LINKER)
        .env("CARGO_TARGET_DIR", empty.join("target"))
        .env_remove("RUSTUP_TOOLCHAIN")
        .status()?;
    ensure!(status.success(), "the standard library does not build");
    fs::create_dir_all(&libraries)?;
    let built = empty.join("target").join(TARGET).join("release/deps");
    for entry in fs::read_dir(built)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if name.starts_with("lib") && (name.ends_with(".rlib") || name.ends_with(".rmeta")) {
            fs::copy(&path, libraries.join(name))?;
        }
    }
    fs::write(libraries.join("complete"), "")?;
    Ok(sysroot)
}
