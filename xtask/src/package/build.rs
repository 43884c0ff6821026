//! Compiles the program for a machine.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use super::{Arch, NAME, apt::Apt, cargo, run};
use crate::toolchain::{Toolchain, cargo_home, target_dir};

const PROFILE: &str = "deb";
/// What the program is linked with, beside what comes with the compiler.
const LIBRARIES: [&str; 3] = ["libvpx-dev", "libasound2-dev", "libasound2"];

/// What compiles the program for a machine.
pub(crate) struct Builder {
    arch: &'static Arch,
    toolchain: Toolchain,
    /// Libraries of the other machine.
    sysroot: Option<PathBuf>,
}

impl Builder {
    /// An error if this machine lacks what is needed and cannot get it.
    pub(crate) fn new(arch: &'static Arch) -> Result<Self> {
        if arch.is_native() {
            let toolchain = Toolchain::Rustup(arch.target);
            return Ok(Self {
                arch,
                toolchain,
                sysroot: None,
            });
        }
        let linker = arch.target.linker;
        ensure!(
            Command::new(linker).arg("--version").output().is_ok(),
            "{linker} is not installed: scripts/setup package"
        );
        let toolchain = arch.target.toolchain()?;
        let sysroot = Apt::new(arch)?.unpacked(&LIBRARIES)?;
        Ok(Self {
            arch,
            toolchain,
            sysroot: Some(sysroot),
        })
    }

    /// Compiles `videocall-cli`; returns where it is. `quick`: as tests are, and for this machine
    /// the very one that they use.
    pub(crate) fn program(&self, root: &Path, quick: bool) -> Result<PathBuf> {
        println!("building {NAME} for {}", self.arch.debian);
        if quick && self.arch.is_native() {
            return program_of_tests(root, NAME);
        }
        let names = if quick { Vec::new() } else { renamed(root)? };
        let renames = flags(&names, "--remap-path-prefix");
        let renames: Vec<&str> = renames.iter().map(String::as_str).collect();
        let mut cargo = self.toolchain.cargo(&renames);
        cargo.env(
            self.variable("CFLAGS"),
            flags(&names, "-ffile-prefix-map").join(" "),
        );
        let (profile, folder) = if quick {
            // Packed for each run of the tests, and not debugged; and an emulator is slow anyway.
            cargo
                .env("CARGO_PROFILE_DEV_DEBUG", "false")
                .env("CARGO_PROFILE_DEV_STRIP", "symbols")
                .args(["--config", "profile.dev.package.\"*\".opt-level=0"]);
            ("dev", "debug")
        } else {
            (PROFILE, PROFILE)
        };
        let target = self.arch.target.triple;
        let built = self.toolchain.target_dir(root, "package");
        cargo
            .current_dir(root)
            .args(["build", "--locked", "--quiet", "--profile", profile])
            .args(["-p", NAME, "--target", target, "--target-dir"])
            .arg(&built);
        if let Some(sysroot) = &self.sysroot {
            self.cross(&mut cargo, sysroot);
        }
        run(&mut cargo)?;
        Ok(built.join(target).join(folder).join(NAME))
    }

    /// Points compiler, linker and pkg-config to the libraries of the other machine.
    fn cross(&self, cargo: &mut Command, sysroot: &Path) {
        let linker = self.arch.target.linker;
        let libraries = sysroot.join("usr/lib").join(self.arch.multiarch);
        cargo
            .env(
                self.variable("CARGO_TARGET").to_uppercase() + "_LINKER",
                linker,
            )
            .env(self.variable("CC"), linker)
            .env("VIDEOCALL_VPX_INCLUDE_DIR", sysroot.join("usr/include"))
            .env("VIDEOCALL_VPX_LIB_DIR", &libraries)
            .env("VIDEOCALL_VPX_LINK", "static")
            .env(self.variable("PKG_CONFIG_SYSROOT_DIR"), sysroot)
            .env(
                self.variable("PKG_CONFIG_LIBDIR"),
                libraries.join("pkgconfig"),
            );
    }

    /// The variable for this target only, as cc, pkg-config and cargo know it.
    fn variable(&self, name: &str) -> String {
        format!("{name}_{}", self.arch.target.triple.replace('-', "_"))
    }

    /// Debian's notice of the libvpx that is linked.
    pub(crate) fn vpx_notice(&self) -> PathBuf {
        let root = self.sysroot.as_deref().unwrap_or(Path::new("/"));
        root.join("usr/share/doc/libvpx-dev/copyright")
    }
}

/// Options of a compiler, one for each name.
fn flags(names: &[(String, &str)], option: &str) -> Vec<String> {
    let flag = |(path, name): &(String, &str)| format!("{option}={path}={name}");
    names.iter().map(flag).collect()
}

/// Compiles a program as the tests of the whole workspace do: with the same features, so that it is
/// there already behind them. Returns where it is.
pub(crate) fn program_of_tests(root: &Path, name: &str) -> Result<PathBuf> {
    run(cargo(root)
        .args(["build", "--locked", "--quiet", "--workspace"])
        .args(["--exclude", "yew-ui", "--bin", name]))?;
    Ok(target_dir(root).join("debug").join(name))
}

/// Names for folders of this machine: what is built must not tell where it was built. The compiler
/// takes the last that fits, and the target folder may lie within the first.
fn renamed(root: &Path) -> Result<Vec<(String, &'static str)>> {
    let home = cargo_home()?;
    let folders = [
        (root.to_owned(), "/videocall"),
        (home, "/cargo"),
        (target_dir(root), "/target"),
    ];
    folders
        .into_iter()
        .map(|(path, name)| {
            let path = path
                .to_str()
                .context("a path that is not UTF-8")?
                .to_owned();
            ensure!(
                !path.contains(char::is_whitespace),
                "C compilers cannot be told of `{path}`: build in a folder without spaces"
            );
            Ok((path, name))
        })
        .collect()
}
