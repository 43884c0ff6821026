//! The compiler for WebAssembly: rustup's where it has the target or can get it, otherwise
//! Debian's, whose standard library is built once from its source package and kept in the cache.
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
// Where those packages put them: rustup's of the same names may come first on the path.
const RUSTC: &str = "/usr/bin/rustc";
const CARGO: &str = "/usr/bin/cargo";

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
                let mut cargo = Command::new(CARGO);
                // Encoded flags may hold spaces, and replace those of .cargo/config.toml. As the
                // target is given, they do not reach build scripts.
                let flags = [
                    &format!("--sysroot={}", sysroot.display()),
                    "--cfg=web_sys_unstable_apis",
                    "--cfg=getrandom_backend=\"wasm_js\"",
                ];
                debian_environment(&mut cargo).env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
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

/// Makes `cargo` use Debian's compiler and linker.
fn debian_environment(cargo: &mut Command) -> &mut Command {
    cargo
        .env("RUSTC", RUSTC)
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", LINKER)
        .env_remove("RUSTUP_TOOLCHAIN")
}

/// Finds a toolchain, and makes it ready if need be.
pub(crate) fn find() -> Result<Toolchain> {
    match env::var("VIDEOCALL_WASM_TOOLCHAIN").as_deref() {
        Ok("rustup") => {
            ensure!(
                rustup_has_target() || rustup_adds_target(),
                "rustup has no {TARGET} target and cannot get it"
            );
            Ok(Toolchain::Rustup)
        }
        Ok("debian") => debian().map(Toolchain::Debian),
        Ok(other) => bail!("VIDEOCALL_WASM_TOOLCHAIN is `{other}`: use rustup or debian"),
        Err(_) if rustup_has_target() => Ok(Toolchain::Rustup),
        // Where rustup once could not download, it would be asked in vain before every build.
        Err(_) if debian_installed() => debian().map(Toolchain::Debian),
        Err(_) if rustup_adds_target() => Ok(Toolchain::Rustup),
        Err(_) => bail!(
            "`rustup target add {TARGET}` fails, and Debian's packages are not there either: \
             apt-get install {PACKAGES}"
        ),
    }
}

fn rustup_has_target() -> bool {
    let installed = Command::new("rustup")
        .args(["target", "list", "--installed"])
        .output();
    installed.is_ok_and(|output| {
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .any(|line| line == TARGET)
    })
}

fn rustup_adds_target() -> bool {
    Command::new("timeout")
        .args(["60", "rustup", "target", "add", TARGET])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn debian_installed() -> bool {
    let linker = Path::new("/usr/bin").join(LINKER);
    let library = Command::new(RUSTC).args(["--print", "sysroot"]).output();
    linker.exists()
        && Path::new(CARGO).exists()
        && library.is_ok_and(|output| {
            Path::new(String::from_utf8_lossy(&output.stdout).trim())
                .join("lib/rustlib/src/rust/library/std")
                .exists()
        })
}

/// The sysroot with the standard library for WebAssembly, built if it is not there for this
/// version of the compiler.
fn debian() -> Result<PathBuf> {
    let version = Command::new(RUSTC)
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
    let sysroot = cache.join(format!("wasm-std-{version}"));
    let libraries = sysroot.join("lib/rustlib").join(TARGET).join("lib");
    if libraries.join("complete").exists() {
        return Ok(sysroot);
    }
    println!("building the standard library for WebAssembly, once (about a minute) …");
    let built = build_std(&cache.join("std-build"))?;
    fs::create_dir_all(&libraries)?;
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

/// Builds the standard library as a dependency of an empty crate in `empty`; returns the folder
/// with the libraries.
fn build_std(empty: &Path) -> Result<PathBuf> {
    // Libraries of an earlier compiler must not be taken for those of this one.
    if empty.exists() {
        fs::remove_dir_all(empty)?;
    }
    fs::create_dir_all(empty.join("src"))?;
    fs::write(empty.join("src/lib.rs"), "")?;
    fs::write(
        empty.join("Cargo.toml"),
        "[package]\nname = \"std-build\"\nversion = \"0.0.0\"\nedition = \"2021\"\n[workspace]\n\
         [profile.release]\npanic = \"abort\"\n",
    )?;
    let target = empty.join("target");
    let status = debian_environment(&mut Command::new(CARGO))
        .args(["build", "--quiet", "--release", "--target", TARGET])
        .arg("-Zbuild-std=std,panic_abort,test")
        .current_dir(empty)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", &target)
        // Without it, what links to the library cannot be optimised as a whole.
        .env("CARGO_ENCODED_RUSTFLAGS", "-Cembed-bitcode=yes")
        .status()?;
    ensure!(status.success(), "the standard library does not build");
    Ok(target.join(TARGET).join("release/deps"))
}
