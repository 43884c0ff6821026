//! Records what connections meet with.
