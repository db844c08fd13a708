//! Integration tests on real mounts.
