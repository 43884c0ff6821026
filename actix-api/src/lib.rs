//! HTTP: WebSocket ingress, the built UI, health and metrics.
