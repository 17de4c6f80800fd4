//! Which library this is.

use std::ffi::c_char;

/// The version of the library: "0.1.0". Valid for ever.
#[no_mangle]
pub extern "C" fn fmq_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Panics; for the test that this comes out as an error. Not one of the library's symbols.
///
/// cbindgen:ignore
#[cfg(feature = "test-panic")]
pub extern "C" fn fmq_test_panic() -> *mut crate::error::fmq_error {
    crate::guard::guard(|| panic!("as the test wished"))
}
