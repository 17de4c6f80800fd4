//! The library as it is installed: found by pkg-config and by CMake, with the programs of docs/c.md and docs/cpp.md as they
//! are printed.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::{built, compilers, crate_dir};

fn sh(dir: &Path, prefix: &Path, compiler: &str, line: &str) -> String {
    let output = Command::new("timeout")
        .args(["-k5", "300", "sh", "-ec", line])
        .current_dir(dir)
        .env("CC", compiler)
        .env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"))
        .env("CMAKE_PREFIX_PATH", prefix)
        .env("LD_LIBRARY_PATH", prefix.join("lib"))
        .output()
        .expect("sh runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{line}\n{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// The block of docs/c.md behind a mark.
fn printed(mark: &str) -> String {
    printed_in("c.md", mark)
}

fn printed_in(page: &str, mark: &str) -> String {
    let page = std::fs::read_to_string(crate_dir().join("../docs").join(page)).expect("the page");
    let (_, behind) = page.split_once(&format!("<!-- {mark} -->\n```")).expect("the mark");
    let (block, _) = behind.split_once("\n```").expect("its end");
    format!("{}\n", block.split_once('\n').expect("its first line").1)
}

fn installed(dir: &Path) -> PathBuf {
    let prefix = dir.join("prefix");
    let script = crate_dir().join("install.sh");
    let output = Command::new(script).arg(built()).arg(&prefix).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    prefix
}

fn is_orders(output: &str) -> bool {
    let lines: Vec<&str> = output.lines().collect();
    lines.len() == 2 && lines[0].starts_with("SEND_OK msgId=") && lines[1] == "two apples"
}

#[test]
fn the_quick_start_runs_as_printed() {
    let dir = tempfile::tempdir().expect("a directory");
    let prefix = installed(dir.path());
    for compiler in compilers() {
        let work = dir.path().join(compiler);
        std::fs::create_dir(&work).expect("a directory");
        std::fs::write(work.join("orders.c"), printed("quick-start")).expect("the program");
        let command = printed("quick-start-command");
        let output = sh(&work, &prefix, compiler, &command.replace("cc ", &format!("{compiler} ")));
        assert!(is_orders(&output), "{output}");
        // With every warning an error, and linked statically.
        let line = "$CC -std=c11 -Wall -Wextra -Werror -pedantic orders.c $(pkg-config --cflags ferromq) \
             $(pkg-config --variable=libdir ferromq)/libferromq.a $(pkg-config --static --libs ferromq | sed 's/-lferromq//') \
             -o static && rm -rf data && env -u LD_LIBRARY_PATH ./static && ! (ldd static | grep ferromq)";
        let output = sh(&work, &prefix, compiler, line);
        assert!(is_orders(&output), "{output}");
    }
}

#[test]
fn cmake_finds_both_libraries() {
    let cmake = Command::new("cmake").arg("--version").output();
    assert!(cmake.is_ok(), "CMake is not here; scripts/install-languages.sh installs it");
    let dir = tempfile::tempdir().expect("a directory");
    let prefix = installed(dir.path());
    let lists = printed("quick-start-cmake");
    std::fs::write(dir.path().join("orders.c"), printed("quick-start")).expect("the program");
    for (kind, lists) in [
        ("shared", lists.clone()),
        ("static", lists.replace("PRIVATE ferromq::ferromq)", "PRIVATE ferromq::ferromq_static)")),
    ] {
        std::fs::write(dir.path().join("CMakeLists.txt"), lists).expect("the lists");
        let line =
            format!("cmake -S . -B {kind} > log && cmake --build {kind} >> log && cd {kind} && ./orders");
        let output = sh(dir.path(), &prefix, compilers()[0], &line);
        assert!(is_orders(&output), "{output}");
    }
}

#[test]
fn the_quick_start_in_cpp_runs_as_printed_by_pkg_config_and_cmake() {
    let dir = tempfile::tempdir().expect("a directory");
    let prefix = installed(dir.path());
    let there =
        |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|out| out.status.success());
    for compiler in ["g++", "clang++"].iter().filter(|name| there(name)) {
        let work = dir.path().join(compiler);
        std::fs::create_dir(&work).expect("a directory");
        std::fs::write(work.join("orders.cpp"), printed_in("cpp.md", "quick-start")).expect("the program");
        let command =
            printed_in("cpp.md", "quick-start-command").replace("c++ -std", &format!("{compiler} -std"));
        let output = sh(&work, &prefix, compiler, &command);
        assert!(is_orders(&output), "{output}");
        if there(&"cmake") {
            std::fs::write(work.join("CMakeLists.txt"), printed_in("cpp.md", "quick-start-cmake"))
                .expect("the lists");
            let line = format!(
                "rm -rf data && CXX={compiler} cmake -S . -B build > log && cmake --build build >> log && ./build/orders"
            );
            let output = sh(&work, &prefix, compiler, &line);
            assert!(is_orders(&output), "{output}");
        }
    }
}

#[test]
fn packagers_install_below_their_own_root() {
    let dir = tempfile::tempdir().expect("a directory");
    let output = Command::new(crate_dir().join("install.sh"))
        .arg(built())
        .arg("/usr")
        .env("DESTDIR", dir.path())
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let root = dir.path().join("usr");
    for file in ["include/ferromq.h", "lib/libferromq.so.0", "lib/libferromq.so", "lib/libferromq.a"] {
        assert!(root.join(file).exists(), "{file}");
    }
    let pc = std::fs::read_to_string(root.join("lib/pkgconfig/ferromq.pc")).expect("the pkg-config file");
    assert!(pc.starts_with("prefix=/usr\n") && pc.contains("Libs.private: -l"), "{pc}");
}
