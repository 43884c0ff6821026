//! Everything in one process: both ingress servers around one node.
fn main() {}
