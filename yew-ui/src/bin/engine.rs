//! The engine's worker.

fn main() {
    #[cfg(target_arch = "wasm32")]
    videocall_client::web::engine::run();
}
