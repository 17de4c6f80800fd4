//! A panic of the library comes out as an error. Needs the feature `test-panic`: `make test` runs it.

use std::ffi::CStr;

use ferromq_ffi::{fmq_code, fmq_error_code, fmq_error_free, fmq_error_message, fmq_test_panic};

#[test]
fn a_panic_comes_out_as_an_error() {
    for _ in 0..3 {
        let error = fmq_test_panic();
        // SAFETY: the error is alive until it is freed, once.
        unsafe {
            assert_eq!(fmq_error_code(error), fmq_code::FMQ_INTERNAL as i32);
            let message = CStr::from_ptr(fmq_error_message(error)).to_str().expect("UTF-8").to_owned();
            assert!(message.contains("as the test wished"), "{message}");
            fmq_error_free(error);
        }
    }
}
