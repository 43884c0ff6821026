//! Runs the fuzz targets. They need no nightly compiler: coverage comes from stable code
//! generation options, and memory errors are ruled out since the code under test has no `unsafe`.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail, ensure};

const TARGET: &str = "x86_64-unknown-linux-gnu";
const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1 \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Builds every target and runs each for `seconds`, or only `one` of them.
pub(crate) fn run(seconds: u32, one: Option<&str>) -> Result<()> {
    let root = crate::web::root();
    let build_dir = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root.join("target"), PathBuf::from)
        .join("fuzz");
    let status = Command::new("cargo")
        .args([
            "build",
            "--release",
            "--bins",
            "--target",
            TARGET,
            "--manifest-path",
        ])
        .arg(root.join("fuzz/Cargo.toml"))
        .arg("--target-dir")
        .arg(&build_dir)
        .env("RUSTFLAGS", COVERAGE)
        .status()
        .context("start cargo")?;
    ensure!(status.success(), "the fuzz targets do not build");

    let mut names: Vec<String> = fs::read_dir(root.join("fuzz/fuzz_targets"))?
        .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_str()?.to_owned()))
        .filter(|name| one.is_none_or(|one| one == name))
        .collect();
    names.sort();
    ensure!(
        !names.is_empty(),
        "no such fuzz target; see fuzz/fuzz_targets"
    );

    let mut failed = Vec::new();
    for name in &names {
        let corpus = build_dir.join("corpus").join(name);
        fs::create_dir_all(&corpus)?;
        let log_path = build_dir.join(format!("{name}.log"));
        let log = fs::File::create(&log_path)?;
        let status = Command::new(build_dir.join(TARGET).join("release").join(name))
            .arg(format!("-max_total_time={seconds}"))
            .args([
                "-rss_limit_mb=2048",
                "-timeout=10",
                "-max_len=8192",
                "-verbosity=0",
            ])
            .args(["-print_final_stats=1"])
            .arg(format!("-artifact_prefix={}/", build_dir.display()))
            .arg(&corpus)
            .stdout(log.try_clone()?)
            .stderr(log)
            .status()
            .with_context(|| format!("start fuzz target {name}"))?;
        let executions = fs::read_to_string(&log_path)?
            .lines()
            .find_map(|line| {
                line.strip_prefix("stat::number_of_executed_units: ")
                    .map(str::to_owned)
            })
            .unwrap_or_default();
        println!(
            "fuzz {name}: {executions} executions, {}",
            if status.success() { "ok" } else { "FAILED" }
        );
        if !status.success() {
            failed.push(name.as_str());
        }
    }
    println!(
        "{} passed, {} failed",
        names.len() - failed.len(),
        failed.len()
    );
    if !failed.is_empty() {
        bail!(
            "{}: the inputs that failed and the logs lie in {}",
            failed.join(", "),
            build_dir.display()
        );
    }
    Ok(())
}
