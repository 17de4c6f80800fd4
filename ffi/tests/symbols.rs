//! What the libraries export: the functions of `symbols.txt`, all of them and nothing else; and what older programs use.

mod support;

use std::process::Command;

use support::{built, compile, compilers, crate_dir, run, Link};

fn promised() -> Vec<String> {
    let text = std::fs::read_to_string(crate_dir().join("symbols.txt")).expect("symbols.txt");
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect("it runs");
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a text")
}

#[test]
fn the_shared_library_exports_what_was_promised_and_nothing_else() {
    let library = built().join("libferromq_ffi.so");
    let names = output("nm", &["-D", "--defined-only", library.to_str().expect("a path")]);
    let mut exported: Vec<&str> = names.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    let mut promised = promised();
    exported.sort_unstable();
    promised.sort_unstable();
    assert_eq!(exported, promised);
    let dynamic = output("readelf", &["-d", library.to_str().expect("a path")]);
    assert!(dynamic.contains("[libferromq.so.0]"), "{dynamic}");
}

/// A program that holds the address of every function: it does not link if one is missing.
#[test]
fn every_symbol_can_be_linked() {
    let dir = tempfile::tempdir().expect("a directory");
    let promised = promised();
    let mut source = String::from("#include <stdio.h>\n#include \"ferromq.h\"\n\n");
    source.push_str("typedef void (*any)(void);\n\nstatic const any all[] = {\n");
    for symbol in &promised {
        source.push_str(&format!("  (any){symbol},\n"));
    }
    source.push_str("};\n\nint main(void) {\n  size_t count = 0;\n");
    source
        .push_str("  for (size_t at = 0; at < sizeof all / sizeof all[0]; at++) count += all[at] != NULL;\n");
    source.push_str("  printf(\"%zu\\n\", count);\n  return 0;\n}\n");
    let path = dir.path().join("symbols.c");
    std::fs::write(&path, source).expect("the program is written");
    for compiler in compilers() {
        for link in [Link::Shared, Link::Static] {
            let program = compile(compiler, &path, &crate_dir().join("../include"), link, dir.path());
            assert_eq!(run(&program, &[]), format!("{}\n", promised.len()));
        }
    }
}

/// What Python and Node have in ways of their own: garbage collectors, arguments that may be left out, promises.
const IN_BOTH_OTHERWISE: [&str; 9] = [
    "new",
    "free",
    "send_with",
    "send_callback",
    "send_batch_callback",
    "request_callback",
    "send_with_executor",
    "subscribe_sql",
    "poll_at_most",
];
/// What they have not got: event loops of their own wait for them; shares of a group as the program says.
const IN_NEITHER: [&str; 3] = ["fd", "on_ready", "allocate_by"];
/// What Node has not got besides.
const NOT_IN_NODE: [&str; 2] = ["send_split", "sends_in_flight"];

#[test]
fn python_and_node_have_the_same_calls() {
    let read = |file: &str| std::fs::read_to_string(crate_dir().join("..").join(file)).expect("types");
    let (python, node) = (read("bindings/python/ferromq/_native.pyi"), read("bindings/node/index.d.ts"));
    let camel_case = |name: &str| {
        let mut words = name.split('_');
        let first = words.next().unwrap_or_default().to_owned();
        words.fold(first, |text, word| text + &word[..1].to_uppercase() + &word[1..])
    };
    let mut seen = 0;
    for symbol in promised() {
        let things = ["transaction_producer", "push_consumer", "producer", "consumer", "instance", "admin"];
        let call = things.iter().find_map(|thing| symbol.strip_prefix(&format!("fmq_{thing}_")));
        let Some(call) = call.filter(|call| !IN_BOTH_OTHERWISE.contains(call)) else { continue };
        let expected = !IN_NEITHER.contains(&call);
        assert_eq!(python.contains(&format!("    def {call}(")), expected, "{symbol} in Python");
        let call_of_node = camel_case(call);
        let in_node = ["(", ":"].iter().any(|end| {
            let found = format!("  {call_of_node}{end}");
            node.contains(&found)
                || node.contains(&format!("  readonly {call_of_node}{end}"))
                || node.contains(&format!("  get {found}"))
        });
        assert_eq!(in_node, expected && !NOT_IN_NODE.contains(&call), "{symbol} in Node");
        seen += 1;
    }
    assert!(seen > 60, "{seen}");
}

/// Programs that were compiled against the headers of earlier versions; the newest version has its header here too, once
/// it is released. What is in a directory stays as it is.
#[test]
fn programs_of_older_headers_still_run() {
    let versions = crate_dir().join("tests/abi");
    let mut found = 0;
    for version in std::fs::read_dir(&versions).expect("versions") {
        let version = version.expect("a version").path();
        let dir = tempfile::tempdir().expect("a directory");
        let program = compile(compilers()[0], &version.join("program.c"), &version, Link::Shared, dir.path());
        assert_eq!(run(&program, &[]), "ok\n", "{version:?}");
        found += 1;
    }
    assert!(found > 0);
}

/// Every function called with nothing but zeros: none crashes.
#[test]
fn null_arguments_crash_nothing() {
    // None takes more than ten arguments or other than pointers and integers, which all go where these go.
    type Any =
        unsafe extern "C" fn(usize, usize, usize, usize, usize, usize, usize, usize, usize, usize) -> usize;
    let library =
        std::ffi::CString::new(built().join("libferromq_ffi.so").into_os_string().into_encoded_bytes())
            .expect("a path");
    // SAFETY: the library is loaded as any program would; its functions take what they get, as the header says of NULL.
    unsafe {
        let handle = libc::dlopen(library.as_ptr(), libc::RTLD_NOW);
        assert!(!handle.is_null());
        for symbol in promised() {
            let name = std::ffi::CString::new(symbol.as_str()).expect("a name");
            let address = libc::dlsym(handle, name.as_ptr());
            assert!(!address.is_null(), "{symbol}");
            let function: Any = std::mem::transmute(address);
            function(0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
        }
    }
}
