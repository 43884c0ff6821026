//! The web front end: components and state only.
fn main() {}
