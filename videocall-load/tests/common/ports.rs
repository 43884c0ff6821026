//! Ports for servers of the tests.

use std::net::TcpListener;

/// A free port below those that the system gives to outgoing connections: a connection to one of
/// those, before a server listens there, may be given the very same port for its own, and so reach
/// itself.
pub(crate) fn free_port() -> u16 {
    loop {
        let port = rand::random_range(20_000..30_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
