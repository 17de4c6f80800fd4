//! What the release binaries weigh once stripped.

use crate::report::{Better, Figure};
use std::path::Path;
use std::process::Command;

/// The program, and the library beside this one, or why one of them has no size.
pub fn figures(beside: &Path, server: &Path, scratch: &Path) -> Vec<Result<Figure, String>> {
    let library = beside.join("libferromq_ffi.so");
    let files = [("size of ferromq, stripped", server), ("size of libferromq.so, stripped", &library)];
    let figure = |(case, file): (&str, &Path)| {
        let bytes = stripped(file, scratch).map_err(|text| format!("{case}: {text}"))? as f64;
        let (case, more) = (case.to_owned(), vec![("bytes", bytes)]);
        Ok(Figure { case, unit: "MB", better: Better::Lower, value: bytes / 1e6, more })
    };
    files.map(figure).into()
}

fn stripped(file: &Path, scratch: &Path) -> Result<u64, String> {
    if !file.exists() {
        return Err(format!("{} was not built", file.display()));
    }
    std::fs::create_dir_all(scratch).map_err(|e| format!("{}: {e}", scratch.display()))?;
    let copy = scratch.join("stripped");
    let status = Command::new("strip").arg("-o").arg(&copy).arg(file).status();
    let status = status.map_err(|e| format!("strip, of binutils: {e}"))?;
    let bytes =
        std::fs::metadata(&copy).map(|found| found.len()).map_err(|e| format!("{}: {e}", copy.display()));
    let _removed = std::fs::remove_file(&copy);
    match status.success() {
        true => bytes,
        false => Err(format!("strip {}: {status}", file.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stripped_copy_is_weighed() {
        let own = std::env::current_exe().expect("this program");
        let dir = std::env::temp_dir().join(format!("ferromq-bench-sizes-{}", std::process::id()));
        let whole = std::fs::metadata(&own).expect("its size").len();
        let mut figures = figures(Path::new("no-such-directory"), &own, &dir);
        let _removed = std::fs::remove_dir_all(&dir);
        let missing = figures.pop().expect("the library's").expect_err("no library");
        assert!(missing.contains("libferromq") && missing.contains("was not built"), "{missing}");
        let own = figures.pop().expect("the program's").expect("a size");
        assert!(own.value > 0.1 && own.value * 1e6 <= whole as f64, "{own:?}");
    }
}
