//! The built user interface, held in memory with its compressed forms.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web,
};
use bytes::Bytes;
use tracing::warn;

use crate::server::Shared;

const INDEX: &str = "index.html";

/// Shown while nothing has been built.
const NOT_BUILT: &str = "<!doctype html><meta charset=utf-8><title>videocall</title>\
<body style='font:16px system-ui;margin:10vh auto;max-width:40em;padding:0 1em'>\
<h1>The user interface is not built</h1><p>Run <code>make web</code>, then start the server again, \
or name the folder by <code>--ui-dir</code>.";

#[derive(Debug)]
struct Asset {
    plain: Bytes,
    brotli: Option<Bytes>,
    gzip: Option<Bytes>,
    content_type: &'static str,
    /// Its name holds a hash of its content.
    immutable: bool,
}

/// All files, by path without the leading slash.
#[derive(Debug, Default)]
pub(crate) struct Assets {
    files: HashMap<String, Asset>,
}

impl Assets {
    /// Reads a folder whole. One that is not there gives a page that says so.
    pub(crate) fn load(folder: &Path) -> Self {
        let mut assets = Self::default();
        if let Err(error) = assets.add(folder, folder) {
            warn!(folder = %folder.display(), %error, "--ui-dir: no user interface");
        }
        assets
    }

    fn add(&mut self, root: &Path, folder: &Path) -> std::io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                self.add(root, &path)?;
                continue;
            }
            let extension = path.extension().and_then(|extension| extension.to_str());
            if matches!(extension, Some("br" | "gz")) {
                continue;
            }
            let Some(name) = path.strip_prefix(root).ok().and_then(Path::to_str) else {
                continue;
            };
            let asset = Asset {
                plain: fs::read(&path)?.into(),
                brotli: beside(&path, "br"),
                gzip: beside(&path, "gz"),
                content_type: content_type(extension.unwrap_or_default()),
                immutable: has_hash(name),
            };
            self.files.insert(name.to_owned(), asset);
        }
        Ok(())
    }

    /// The file of that name, or the page for addresses that the page itself understands.
    fn find(&self, path: &str) -> Option<&Asset> {
        let name = path.trim_start_matches('/');
        let is_page = name.is_empty() || name == "meeting" || name.starts_with("meeting/");
        self.files.get(if is_page { INDEX } else { name })
    }
}

fn beside(path: &Path, extension: &str) -> Option<Bytes> {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    fs::read(PathBuf::from(name)).ok().map(Bytes::from)
}

fn content_type(extension: &str) -> &'static str {
    match extension {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "wasm" => "application/wasm",
        "json" | "webmanifest" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// `name-0123456789abcdef.js`
fn has_hash(name: &str) -> bool {
    let stem = name.rsplit('/').next().unwrap_or(name);
    let stem = stem.split('.').next().unwrap_or(stem);
    stem.rsplit_once('-')
        .is_some_and(|(_, hash)| hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()))
}

pub(crate) async fn get(request: HttpRequest, shared: web::Data<Shared>) -> HttpResponse {
    let Some(asset) = shared.assets.find(request.path()) else {
        if shared.assets.files.is_empty() {
            return HttpResponse::build(StatusCode::SERVICE_UNAVAILABLE)
                .content_type("text/html; charset=utf-8")
                .body(NOT_BUILT);
        }
        return HttpResponse::NotFound()
            .content_type("text/plain")
            .body("not found");
    };
    let accepted = request
        .headers()
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let accepts = |encoding| {
        accepted
            .split(',')
            .any(|item| item.trim().split(';').next() == Some(encoding))
    };
    let caching = if asset.immutable {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let mut response = HttpResponse::Ok();
    response
        .content_type(asset.content_type)
        .insert_header((header::CACHE_CONTROL, caching))
        .insert_header((header::VARY, "accept-encoding"));
    let (encoding, body) = match (&asset.brotli, &asset.gzip) {
        (Some(brotli), _) if accepts("br") => (Some("br"), brotli),
        (_, Some(gzip)) if accepts("gzip") => (Some("gzip"), gzip),
        _ => (None, &asset.plain),
    };
    if let Some(encoding) = encoding {
        response.insert_header((header::CONTENT_ENCODING, encoding));
    }
    response.body(body.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_the_interface_all_get_its_index() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(INDEX), "index").unwrap();
        fs::write(folder.path().join("app-0123456789abcdef.js"), "app").unwrap();
        fs::write(folder.path().join("app-0123456789abcdef.js.br"), "small").unwrap();
        let assets = Assets::load(folder.path());
        for path in ["/", "/meeting/Ann/x", "/meeting/%D0%B0"] {
            assert_eq!(&assets.find(path).unwrap().plain[..], b"index");
        }
        let app = assets.find("/app-0123456789abcdef.js").unwrap();
        assert!(app.immutable);
        assert_eq!(app.brotli.as_deref(), Some(&b"small"[..]));
        assert!(assets.find("/meetings").is_none());
        assert!(assets.find("/../Cargo.toml").is_none());
        assert!(!has_hash("engine-worker.js"));
    }
}
