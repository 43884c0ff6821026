//! The compiler for another target than this machine: rustup's where it has the target or can get
//! it, otherwise Debian's, whose standard library is built once from its source package and kept in
//! the cache.
//!
//! `VIDEOCALL_WASM_TOOLCHAIN=rustup` or `=debian` chooses by hand for WebAssembly,
//! `VIDEOCALL_CROSS_TOOLCHAIN` for packages.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

/// What is compiled for, and what that needs.
pub(crate) struct Target {
    /// Rust's name of it.
    pub(crate) triple: &'static str,
    /// The linker of Debian for it.
    pub(crate) linker: &'static str,
    /// Debian's package of the linker.
    linker_package: &'static str,
    /// The parts of the standard library that programs for it need.
    std: &'static str,
    /// What chooses the toolchain by hand.
    choice: &'static str,
}

/// The browser.
pub(crate) const WASM: Target = Target {
    triple: "wasm32-unknown-unknown",
    linker: "wasm-ld-22",
    linker_package: "lld-22",
    std: "std,panic_abort,test",
    choice: "VIDEOCALL_WASM_TOOLCHAIN",
};

/// A Raspberry Pi, and other small machines.
pub(crate) const AARCH64: Target = Target {
    triple: "aarch64-unknown-linux-gnu",
    linker: "aarch64-linux-gnu-gcc",
    linker_package: "gcc-aarch64-linux-gnu",
    std: "std,panic_unwind,test",
    choice: "VIDEOCALL_CROSS_TOOLCHAIN",
};

/// Servers and desks, from the point of view of a Raspberry Pi.
pub(crate) const X86_64: Target = Target {
    triple: "x86_64-unknown-linux-gnu",
    linker: "x86_64-linux-gnu-gcc",
    linker_package: "gcc-x86-64-linux-gnu",
    ..AARCH64
};

const PACKAGES: &str = "rustc-web cargo-web rust-web-src";
// Where those packages put them: rustup's of the same names may come first on the path.
const RUSTC: &str = "/usr/bin/rustc";
const CARGO: &str = "/usr/bin/cargo";

/// How to compile for a target.
pub(crate) enum Toolchain {
    Rustup(&'static Target),
    /// Debian's compiler with this sysroot.
    Debian(&'static Target, PathBuf),
}

impl Toolchain {
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Rustup(target) => format!("rustup's {}", target.triple),
            Self::Debian(..) => "Debian's rustc-web".to_owned(),
        }
    }

    /// A cargo command that compiles for the target, arguments of cargo to follow. `flags` of the
    /// compiler take the place of those in `.cargo/config.toml`; build scripts do not get them, as
    /// the target is given.
    pub(crate) fn cargo(&self, flags: &[&str]) -> Command {
        let mut flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
        let mut cargo = match self {
            Self::Rustup(_) => Command::new("cargo"),
            Self::Debian(target, sysroot) => {
                flags.push(format!("--sysroot={}", sysroot.display()));
                let mut cargo = Command::new(CARGO);
                target.debian_environment(&mut cargo);
                cargo
            }
        };
        // Encoded flags may hold spaces.
        cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
        cargo
    }

    /// The folder `name` for what it builds: the two must not find each other's results.
    pub(crate) fn target_dir(&self, root: &Path, name: &str) -> PathBuf {
        let target = target_dir(root);
        match self {
            Self::Rustup(_) => target.join(name),
            Self::Debian(..) => target.join(format!("{name}-debian")),
        }
    }
}

/// The folder of what cargo builds.
pub(crate) fn target_dir(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

/// Where cargo keeps the sources of crates.
pub(crate) fn cargo_home() -> Result<PathBuf> {
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")))
        .context("neither CARGO_HOME nor HOME is set")
}

/// What clones of the repository share, such as a standard library.
pub(crate) fn cache() -> Result<PathBuf> {
    Ok(env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set")?
        .join("videocall"))
}

impl Target {
    /// Finds a toolchain, and makes it ready if need be.
    pub(crate) fn toolchain(&'static self) -> Result<Toolchain> {
        let debian = || Ok(Toolchain::Debian(self, self.debian()?));
        match env::var(self.choice).as_deref() {
            Ok("rustup") => {
                ensure!(
                    self.rustup_has() || self.rustup_adds(),
                    "rustup has no {} target and cannot get it",
                    self.triple
                );
                Ok(Toolchain::Rustup(self))
            }
            Ok("debian") => debian(),
            Ok(other) => bail!("{} is `{other}`: use rustup or debian", self.choice),
            Err(_) if self.rustup_has() => Ok(Toolchain::Rustup(self)),
            // Where rustup once could not download, it would be asked in vain before every build.
            Err(_) if self.debian_installed() => debian(),
            Err(_) if self.rustup_adds() => Ok(Toolchain::Rustup(self)),
            Err(_) => bail!(
                "`rustup target add {}` fails, and Debian's packages are not there either: \
                 apt-get install {PACKAGES} {}",
                self.triple,
                self.linker_package
            ),
        }
    }

    /// Makes `cargo` use Debian's compiler and linker.
    fn debian_environment<'a>(&self, cargo: &'a mut Command) -> &'a mut Command {
        let linker = format!(
            "CARGO_TARGET_{}_LINKER",
            self.triple.replace('-', "_").to_uppercase()
        );
        cargo
            .env("RUSTC", RUSTC)
            .env(linker, self.linker)
            .env_remove("RUSTUP_TOOLCHAIN")
    }

    fn rustup_has(&self) -> bool {
        let installed = Command::new("rustup")
            .args(["target", "list", "--installed"])
            .output();
        installed.is_ok_and(|output| {
            String::from_utf8_lossy(&output.stdout)
                .lines()
                .any(|line| line == self.triple)
        })
    }

    fn rustup_adds(&self) -> bool {
        Command::new("timeout")
            .args(["60", "rustup", "target", "add", self.triple])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    fn debian_installed(&self) -> bool {
        let linker = Path::new("/usr/bin").join(self.linker);
        let library = Command::new(RUSTC).args(["--print", "sysroot"]).output();
        linker.exists()
            && Path::new(CARGO).exists()
            && library.is_ok_and(|output| {
                Path::new(String::from_utf8_lossy(&output.stdout).trim())
                    .join("lib/rustlib/src/rust/library/std")
                    .exists()
            })
    }

    /// The sysroot with the standard library for the target, built if it is not there for this
    /// version of the compiler.
    fn debian(&self) -> Result<PathBuf> {
        let version = Command::new(RUSTC)
            .arg("--version")
            .output()
            .with_context(|| format!("install Debian's packages {PACKAGES}"))?;
        let version = String::from_utf8_lossy(&version.stdout)
            .trim()
            .replace(|c: char| !c.is_alphanumeric(), "-");
        let cache = cache()?;
        let kind = self.triple.split('-').next().unwrap_or(self.triple);
        let kind = if kind == "wasm32" { "wasm" } else { kind };
        let sysroot = cache.join(format!("{kind}-std-{version}"));
        let libraries = sysroot.join("lib/rustlib").join(self.triple).join("lib");
        if libraries.join("complete").exists() {
            return Ok(sysroot);
        }
        println!(
            "building the standard library for {}, once (about a minute) …",
            self.triple
        );
        let built = self.build_std(&cache.join(format!("std-build-{kind}")))?;
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

    /// Builds the standard library as a dependency of an empty crate in `empty`; returns the
    /// folder with the libraries.
    fn build_std(&self, empty: &Path) -> Result<PathBuf> {
        // Libraries of an earlier compiler must not be taken for those of this one.
        if empty.exists() {
            fs::remove_dir_all(empty)?;
        }
        fs::create_dir_all(empty.join("src"))?;
        fs::write(empty.join("src/lib.rs"), "")?;
        // Only a browser cannot unwind.
        let profile = if self.std.contains("panic_abort") {
            "[profile.release]\npanic = \"abort\"\n"
        } else {
            ""
        };
        fs::write(
            empty.join("Cargo.toml"),
            format!(
                "[package]\nname = \"std-build\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\
                 [workspace]\n{profile}"
            ),
        )?;
        let target = empty.join("target");
        // Programs must not tell where their parts were built.
        let flags = format!(
            "-Cembed-bitcode=yes\x1f--remap-path-prefix={}=/cargo",
            cargo_home()?.display()
        );
        let status = self
            .debian_environment(&mut Command::new(CARGO))
            .args(["build", "--quiet", "--release", "--target", self.triple])
            .arg(format!("-Zbuild-std={}", self.std))
            .current_dir(empty)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_TARGET_DIR", &target)
            // Without it, what links to the library cannot be optimised as a whole.
            .env("CARGO_ENCODED_RUSTFLAGS", flags)
            .status()?;
        ensure!(status.success(), "the standard library does not build");
        Ok(target.join(self.triple).join("release/deps"))
    }
}
