//! The C programs of `tests/c`, compiled strictly and run.

mod support;

use support::{compile_test, compilers, run, Link};

#[test]
fn basics() {
    let dir = tempfile::tempdir().expect("a directory");
    for compiler in compilers() {
        for link in [Link::Shared, Link::Static] {
            assert_eq!(run(&compile_test(compiler, "basics", link, dir.path()), &[]), "ok\n");
        }
    }
}
