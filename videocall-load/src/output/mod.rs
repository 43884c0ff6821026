//! Tells how a run went.
