//! To be furnished.
fn main() {}
