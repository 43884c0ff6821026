//! Builds the web front end into `dist/`: the page, the engine's worker and the AudioWorklet's
//! module, each with compressed forms beside it. A release build puts a hash of its content into
//! the name of every file but `index.html`, so that browsers may keep them for ever.

use std::{
    collections::BTreeMap,
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use wasm_bindgen_cli_support::Bindgen;

use crate::toolchain::{Toolchain, WASM};

/// Compressed size of all that a page downloads, at most.
const LIMIT: usize = 600 * 1024;
const STATIC: &str = "yew-ui/static";
const WASM_OPT: &str = "e2e/node_modules/.bin/wasm-opt";

/// What .cargo/config.toml says, for whom it does not reach.
const FLAGS: [&str; 2] = [
    "--cfg=web_sys_unstable_apis",
    "--cfg=getrandom_backend=\"wasm_js\"",
];

/// What wasm-opt may use of WebAssembly: what the compiler uses. All that it knows would include
/// proposals that browsers have not.
const FEATURES: [&str; 7] = [
    "--enable-bulk-memory",
    "--enable-bulk-memory-opt",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

/// Of the checkout that the command was given in. Cargo says which, for several may share what is
/// built, this program as well.
pub(crate) fn root() -> PathBuf {
    let own = std::env::var_os("CARGO_MANIFEST_DIR");
    let built = || env!("CARGO_MANIFEST_DIR").into();
    PathBuf::from(own.unwrap_or_else(built)).join("..")
}

/// Files by name, with `/` between folders.
type Files = BTreeMap<String, Vec<u8>>;

/// Builds everything into `out`, or `dist/`. What lay there before is gone.
pub(crate) fn build(dev: bool, out: Option<&Path>) -> Result<()> {
    let root = root().canonicalize()?;
    let toolchain = WASM.toolchain()?;
    let profile = if dev { "wasm-dev" } else { "wasm-release" };
    cargo(
        &toolchain,
        &root,
        &["build", "-p", "yew-ui", "--bins", "--profile", profile],
    )?;
    // The worklet's module is played in real time: always optimised.
    cargo(
        &toolchain,
        &root,
        &[
            "build",
            "-p",
            "videocall-playout",
            "--lib",
            "--profile",
            "wasm-release",
        ],
    )?;

    let built = target_dir(&toolchain, &root).join(WASM.triple);
    let binaries = ["app", "engine"].map(|name| built.join(profile).join(format!("{name}.wasm")));
    let playout = built.join("wasm-release/videocall_playout.wasm");
    let out = out.map_or_else(|| root.join("dist"), Path::to_path_buf);
    let stamp = built.join("page-made-of");
    let inputs = inputs(&root, &out, dev, binaries.iter().chain([&playout]))?;
    if fs::read_to_string(&stamp).is_ok_and(|last| last == inputs)
        && out.join("index.html").exists()
    {
        println!("{} is up to date", out.display());
        return Ok(());
    }
    let _ = fs::remove_file(&stamp);

    let mut files = Files::new();
    for (name, wasm) in ["app", "engine"].into_iter().zip(&binaries) {
        bindgen(wasm, name, dev, &mut files)?;
    }
    files.insert("playout.wasm".into(), read(&playout)?);
    if !dev {
        for (name, content) in files.iter_mut().filter(|(name, _)| name.ends_with(".wasm")) {
            *content = optimise(&root, &toolchain, name, content)?;
        }
    }
    add_folder(&root.join(STATIC), "", &mut files)?;
    let files = if dev { files } else { with_hashes(files)? };
    let compressed = write(&out, &files, dev)?;
    report(&files, &compressed);
    let total: usize = compressed.values().sum();
    ensure!(
        dev || total <= LIMIT,
        "the page is {total} bytes compressed; at most {LIMIT} are allowed"
    );
    fs::write(&stamp, inputs)?;
    Ok(())
}

/// What the page is made of, to know whether it must be made again.
fn inputs<'a>(
    root: &Path,
    out: &Path,
    dev: bool,
    modules: impl Iterator<Item = &'a PathBuf>,
) -> Result<String> {
    let mut digest = Sha256::new();
    let mut add = |content: &[u8]| {
        digest.update(content.len().to_le_bytes());
        digest.update(content);
    };
    add(out.as_os_str().as_encoded_bytes());
    add(&[dev.into(), root.join(WASM_OPT).exists().into()]);
    let own = env::current_exe()?.metadata()?;
    add(format!("{:?} {}", own.modified()?, own.len()).as_bytes());
    for module in modules {
        add(&read(module)?);
    }
    let mut files = Files::new();
    add_folder(&root.join(STATIC), "", &mut files)?;
    for (name, content) in &files {
        add(name.as_bytes());
        add(content);
    }
    Ok(hex(&digest.finalize()))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| path.display().to_string())
}

/// Checks the code that only a browser runs.
pub(crate) fn clippy() -> Result<()> {
    let root = root().canonicalize()?;
    let packages = [
        "-p",
        "yew-ui",
        "-p",
        "videocall-client",
        "-p",
        "videocall-playout",
    ];
    let toolchain = WASM.toolchain()?;
    let mut args = vec!["clippy", "--profile", "wasm-dev"];
    args.extend(packages);
    if let Toolchain::Debian(..) = toolchain {
        // Debian's web compiler comes without clippy: at least it must compile.
        args[0] = "check";
        return cargo(&toolchain, &root, &args);
    }
    let mut command = cargo_command(&toolchain, &root, &args);
    command.args(["--", "-D", "warnings"]);
    run(&mut command)
}

fn cargo(toolchain: &Toolchain, root: &Path, args: &[&str]) -> Result<()> {
    run(&mut cargo_command(toolchain, root, args))
}

fn cargo_command(toolchain: &Toolchain, root: &Path, args: &[&str]) -> Command {
    let mut command = toolchain.cargo(&FLAGS);
    command
        .args(args)
        .args(["--target", WASM.triple, "--target-dir"])
        .arg(target_dir(toolchain, root))
        .current_dir(root);
    command
}

fn target_dir(toolchain: &Toolchain, root: &Path) -> PathBuf {
    toolchain.target_dir(root, "wasm")
}

fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("start {:?}", command.get_program()))?;
    ensure!(status.success(), "{:?} failed", command.get_program());
    Ok(())
}

/// Makes `name.js` and `name_bg.wasm`.
fn bindgen(wasm: &Path, name: &str, dev: bool, files: &mut Files) -> Result<()> {
    let out = env::temp_dir().join(format!("videocall-bindgen-{}-{name}", std::process::id()));
    Bindgen::new()
        .input_path(wasm)
        .web(true)?
        .typescript(false)
        .debug(dev)
        .keep_debug(dev)
        .remove_name_section(!dev)
        .remove_producers_section(true)
        .generate(&out)
        .with_context(|| format!("wasm-bindgen on {}", wasm.display()))?;
    add_folder(&out, "", files)?;
    fs::remove_dir_all(&out)?;
    Ok(())
}

/// Runs npm's `wasm-opt` where it is installed; `scripts/setup` installs it.
fn optimise(root: &Path, toolchain: &Toolchain, name: &str, wasm: &[u8]) -> Result<Vec<u8>> {
    let tool = root.join(WASM_OPT);
    if !tool.exists() {
        println!("wasm-opt is not installed (npm ci in e2e/): {name} is larger than need be");
        return Ok(wasm.to_vec());
    }
    // Optimising takes most of the time: what was done once for the same input is kept.
    let cache = target_dir(toolchain, root).join("optimised");
    fs::create_dir_all(&cache)?;
    let kept = cache.join(hash(&[wasm, FEATURES.concat().as_bytes()].concat()));
    if let Ok(done) = fs::read(&kept) {
        return Ok(done);
    }
    let input = kept.with_extension("in");
    let output = kept.with_extension("out");
    fs::write(&input, wasm)?;
    run(Command::new(tool)
        .arg("-Oz")
        .args(FEATURES)
        .arg(&input)
        .arg("-o")
        .arg(&output))?;
    // In one step: a build that is interrupted must not leave half a module to the next.
    fs::rename(&output, &kept)?;
    fs::remove_file(&input)?;
    Ok(fs::read(&kept)?)
}

fn add_folder(folder: &Path, prefix: &str, files: &mut Files) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .context("a file name")?;
        let name = format!("{prefix}{name}");
        if path.is_dir() {
            add_folder(&path, &format!("{name}/"), files)?;
        } else {
            files.insert(name, fs::read(&path)?);
        }
    }
    Ok(())
}

/// Renames each file after its content, and names in other files with it. A file comes after all
/// those that it names.
fn with_hashes(mut files: Files) -> Result<Files> {
    let order = |name: &str| match name.rsplit('.').next() {
        _ if name == "index.html" => 4,
        Some("js") if name == "boot.js" => 3,
        Some("js") if name == "engine-worker.js" => 2,
        Some("js" | "css") => 1,
        _ => 0,
    };
    let mut names: Vec<String> = files.keys().cloned().collect();
    names.sort_by_key(|name| order(name));
    let mut renamed = Vec::<(String, String)>::new();
    let mut done = Files::new();
    for name in names {
        let mut content = files.remove(&name).context("listed")?;
        if order(&name) > 0 {
            let mut text = String::from_utf8(content).with_context(|| name.clone())?;
            for (old, new) in &renamed {
                for quote in ['"', '\'', '/'] {
                    text = text.replace(&format!("{quote}{old}"), &format!("{quote}{new}"));
                }
            }
            content = text.into_bytes();
        }
        // The icon is named by the page's code, which is not rewritten.
        let new = if name == "index.html" || name == "icon.svg" {
            name.clone()
        } else {
            let (stem, extension) = name.rsplit_once('.').context("a file without extension")?;
            format!("{stem}-{}.{extension}", hash(&content))
        };
        renamed.push((name, new.clone()));
        done.insert(new, content);
    }
    Ok(done)
}

fn hash(content: &[u8]) -> String {
    hex(&Sha256::digest(content)[..8])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes files and their compressed forms; returns the sizes of the smallest.
fn write(dist: &Path, files: &Files, dev: bool) -> Result<BTreeMap<String, usize>> {
    let mut sizes = BTreeMap::new();
    let mut all = files.clone();
    for (name, content) in files {
        let mut size = content.len();
        if !dev {
            let brotli = brotli(content)?;
            size = size.min(brotli.len());
            all.insert(format!("{name}.br"), brotli);
            all.insert(format!("{name}.gz"), gzip(content)?);
        }
        sizes.insert(name.clone(), size);
    }
    // Last, since a server may be serving from there.
    if dist.exists() {
        fs::remove_dir_all(dist)?;
    }
    for (name, content) in &all {
        let path = dist.join(name);
        fs::create_dir_all(path.parent().context("a file has a folder")?)?;
        fs::write(&path, content)?;
    }
    Ok(sizes)
}

fn brotli(content: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let params = brotli::enc::BrotliEncoderParams {
        quality: 11,
        lgwin: 22,
        ..Default::default()
    };
    brotli::BrotliCompress(&mut &content[..], &mut out, &params)?;
    Ok(out)
}

fn gzip(content: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(content)?;
    Ok(encoder.finish()?)
}

fn report(files: &Files, compressed: &BTreeMap<String, usize>) {
    println!("{:>10} {:>10}  file", "bytes", "compressed");
    for (name, content) in files {
        println!("{:>10} {:>10}  {name}", content.len(), compressed[name]);
    }
    let total: usize = compressed.values().sum();
    println!(
        "{:>10} {total:>10}  in all",
        files.values().map(Vec::len).sum::<usize>()
    );
}
