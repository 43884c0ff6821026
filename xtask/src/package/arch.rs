//! The machines that packages are made for.

use std::env::consts;

use anyhow::{Result, bail};

use crate::toolchain::{AARCH64, Target, X86_64};

/// A kind of machine, under each of its names.
pub(crate) struct Arch {
    /// Debian's name.
    pub(crate) debian: &'static str,
    /// Rust's name of the processor.
    pub(crate) cpu: &'static str,
    pub(crate) target: &'static Target,
    /// Debian's name of it in paths of libraries and names of compilers.
    pub(crate) multiarch: &'static str,
    /// As `readelf` calls it.
    pub(crate) machine: &'static str,
}

pub(crate) const ALL: [Arch; 2] = [
    Arch {
        debian: "amd64",
        cpu: "x86_64",
        target: &X86_64,
        multiarch: "x86_64-linux-gnu",
        machine: "Advanced Micro Devices X86-64",
    },
    Arch {
        debian: "arm64",
        cpu: "aarch64",
        target: &AARCH64,
        multiarch: "aarch64-linux-gnu",
        machine: "AArch64",
    },
];

impl Arch {
    /// Whether programs for it run here as they are.
    pub(crate) fn is_native(&self) -> bool {
        self.cpu == consts::ARCH && consts::OS == "linux"
    }

    pub(crate) fn parse(name: &str) -> Result<&'static Self, String> {
        ALL.iter()
            .find(|arch| arch.debian == name)
            .ok_or_else(|| "amd64 or arm64".to_owned())
    }
}

/// The machine that builds.
pub(crate) fn native() -> Result<&'static Arch> {
    match ALL.iter().find(|arch| arch.is_native()) {
        Some(arch) => Ok(arch),
        None => bail!("packages are built on amd64 or arm64 with Linux"),
    }
}
