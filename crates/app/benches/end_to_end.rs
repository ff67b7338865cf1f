//! Placeholder while the load is being written.
fn main() {}
