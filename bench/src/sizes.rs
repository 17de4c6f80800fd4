//! What the release binaries weigh once stripped.

use crate::report::{Better, Figure};
use std::path::Path;
use std::process::Command;

/// The program and the library, those of them that were built.
pub fn figures(beside: &Path, server: &Path, scratch: &Path) -> Result<Vec<Figure>, String> {
    let library = beside.join("libferromq.so");
    let files = [("size of ferromq, stripped", server), ("size of libferromq.so, stripped", &library)];
    let mut figures = Vec::new();
    for (case, file) in files.into_iter().filter(|(_, file)| file.exists()) {
        let bytes = stripped(file, scratch)?;
        figures.push(Figure {
            case: case.to_owned(),
            unit: "MB",
            better: Better::Lower,
            value: bytes as f64 / 1e6,
            more: vec![("bytes", bytes as f64)],
        });
    }
    Ok(figures)
}

fn stripped(file: &Path, scratch: &Path) -> Result<u64, String> {
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
        let figures = figures(Path::new("no-such-directory"), &own, &dir).expect("figures");
        let _removed = std::fs::remove_dir_all(&dir);
        assert_eq!(figures.len(), 1);
        assert!(figures[0].value > 0.1 && figures[0].value * 1e6 <= whole as f64, "{}", figures[0].value);
    }
}
