//! Tells the linker that Node's own symbols come from the process, and to leave out names that nobody needs.

fn main() {
    napi_build::setup();
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    if is("PROFILE", "release") && is("CARGO_CFG_TARGET_OS", "linux") {
        println!("cargo:rustc-cdylib-link-arg=-s");
    }
}
