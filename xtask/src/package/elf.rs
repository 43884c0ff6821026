//! What a program needs of the system that runs it.

use std::{collections::BTreeSet, path::Path, process::Command};

use anyhow::{Result, bail};

use super::output;

/// Read from a program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Needs {
    /// `readelf`'s name of the machine.
    pub(crate) machine: String,
    /// Libraries that it is linked with.
    pub(crate) libraries: BTreeSet<String>,
    /// The newest version of glibc's symbols among those that it uses.
    pub(crate) glibc: (u32, u32),
}

impl Needs {
    pub(crate) fn of(program: &Path) -> Result<Self> {
        let text = output(
            Command::new("readelf")
                .args(["--wide", "--file-header", "--dynamic", "--version-info"])
                .arg(program)
                .env("LC_ALL", "C.UTF-8"),
        )?;
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let mut needs = Self {
            machine: String::new(),
            libraries: BTreeSet::new(),
            glibc: (0, 0),
        };
        for line in text.lines() {
            if let Some(machine) = line.trim().strip_prefix("Machine:") {
                machine.trim().clone_into(&mut needs.machine);
            } else if let Some((_, library)) = line.split_once("(NEEDED)") {
                let name = library.split(['[', ']']).nth(1);
                needs.libraries.extend(name.map(str::to_owned));
            } else if let Some((_, version)) = line.split_once("Name: GLIBC_") {
                let version = version.split_whitespace().next().unwrap_or_default();
                let mut numbers = version.split('.').map_while(|part| part.parse().ok());
                let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
                needs.glibc = needs.glibc.max(found);
            }
        }
        needs
    }

    /// Debian's names of what holds those libraries, for a package's `Depends` field.
    pub(crate) fn depends(&self) -> Result<String> {
        let mut packages = BTreeSet::new();
        for library in &self.libraries {
            packages.insert(match library.as_str() {
                "libc.so.6" | "libm.so.6" | "ld-linux-aarch64.so.1" | "ld-linux-x86-64.so.2" => {
                    format!("libc6 (>= {}.{})", self.glibc.0, self.glibc.1)
                }
                "libgcc_s.so.1" => "libgcc-s1".to_owned(),
                // The second is its name since Debian 13.
                "libasound.so.2" => "libasound2 (>= 1.2.8) | libasound2t64".to_owned(),
                _ => bail!("it is not known which package has {library}: add it here"),
            });
        }
        Ok(packages.into_iter().collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const PRINTED: &str = "\
ELF Header:
  Machine:                           AArch64
 0x0000000000000001 (NEEDED)             Shared library: [libasound.so.2]
 0x0000000000000001 (NEEDED)             Shared library: [libc.so.6]
 0x0000000000000001 (NEEDED)             Shared library: [libm.so.6]
  0x0010:   Name: GLIBC_2.9  Flags: none  Version: 5
  0x0020:   Name: GLIBC_2.34  Flags: none  Version: 2
  0x0030:   Name: GCC_3.0  Flags: none  Version: 4
";

    #[test]
    fn what_a_program_needs_is_read() {
        let needs = Needs::parse(PRINTED);
        assert_eq!(needs.machine, "AArch64");
        assert_eq!(needs.glibc, (2, 34));
        assert_eq!(
            needs.depends().unwrap(),
            "libasound2 (>= 1.2.8) | libasound2t64, libc6 (>= 2.34)"
        );
    }

    #[test]
    fn a_library_of_an_unknown_package_is_an_error() {
        let needs = Needs::parse("(NEEDED) Shared library: [libvpx.so.7]");
        assert!(needs.depends().is_err());
    }
}
