//! What the linker is told about the shared library.

fn main() {
    let linux = std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux");
    if linux {
        // The number is that of the ABI: symbols are only ever added under it (symbols.txt).
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libferromq.so.0");
        // Threads and thread-local values of the library live on until the process ends: it is never unloaded.
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
