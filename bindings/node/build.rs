//! Tells the linker that Node's own symbols come from the process.

fn main() {
    napi_build::setup();
}
