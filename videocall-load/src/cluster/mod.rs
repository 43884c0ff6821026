//! Distributes a run over workers.
