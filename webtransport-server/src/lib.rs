//! WebTransport ingress.
