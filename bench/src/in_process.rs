//! Appends and reads within a process, of Rust and of C, and Chronicle Queue's, from programs of their own.

use crate::report::{Better, Figure, BARE, CHRONICLE, OURS};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the programs told.
#[derive(Default)]
pub struct Found {
    /// With their sides.
    pub figures: Vec<(String, Figure)>,
    /// A text for each program that could not be had.
    pub failures: Vec<String>,
}

/// Runs scripts/bench-in-process.sh once, which builds what it runs.
pub fn run(target: &Path, seconds: f64) -> Result<Found, String> {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scripts/bench-in-process.sh");
    let mut command = Command::new(&script);
    command.arg(target).arg(seconds.to_string()).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().map_err(|e| format!("{}: {e}", script.display()))?;
    let mut found = read(&String::from_utf8_lossy(&output.stdout));
    if !output.status.success() {
        // What it had told before counts.
        found.failures.push(format!("in-process: {}: {}", script.display(), output.status));
    }
    Ok(found)
}

/// Lines `PROGRAM CASE FIGURES`, of which the first figure is messages a second, `N MB` what was written and
/// `p50 N ns` the median; `PROGRAM failed WHY`.
fn read(text: &str) -> Found {
    let Found { mut figures, mut failures } = Found::default();
    for line in text.lines() {
        let mut parts = line.splitn(3, '\t');
        let (Some(program), Some(case), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        if case == "failed" {
            failures.push(format!("in-process: {program}: {rest}"));
        }
        for (language, side) in sides(program) {
            figures.extend(rows(case, language, rest).into_iter().map(|figure| (side.to_owned(), figure)));
        }
    }
    Found { figures, failures }
}

/// Rust's, with a setting.
const KEPT: &str = "Rust, 256 MiB kept";

/// The rows that a program has figures for: Chronicle's stand beside those of both languages.
fn sides(program: &str) -> Vec<(&'static str, &'static str)> {
    match program {
        "rust" => vec![("Rust", OURS)],
        "c" => vec![("C", OURS)],
        "kept" => vec![(KEPT, OURS)],
        "chronicle" => vec![("Rust", CHRONICLE), (KEPT, CHRONICLE), ("C", CHRONICLE)],
        "bare" => vec![("", BARE)],
        _ => Vec::new(),
    }
}

fn rows(case: &str, language: &str, rest: &str) -> Vec<Figure> {
    let Some((verb, size)) = case.split_once('-') else { return Vec::new() };
    let verb = match verb {
        "append" | "put" => "append",
        "read" | "get" => "read",
        "map" => "bare append into mappings",
        "write" => "bare append by writes",
        _ => return Vec::new(),
    };
    let size = match size.trim_end_matches("-1") {
        "128" => "128 B",
        "1k" => "1 KiB",
        _ => return Vec::new(),
    };
    let row = match language {
        "" => format!("{verb}, {size}"),
        language => format!("{verb} {size}, {language}"),
    };
    let mut figures = Vec::new();
    if let Some(rate) = leading(rest) {
        let bytes = before(rest, "MB").filter(|_| verb != "read").map(|mb| ("bytes_written", mb * 1e6));
        let more = bytes.into_iter().collect();
        figures.push(Figure { case: row.clone(), unit: "msg/s", better: Better::Higher, value: rate, more });
    }
    if let Some(p50) = after(rest, "p50").filter(|_| !language.is_empty()) {
        let case = format!("{row} p50");
        figures.push(Figure { case, unit: "ns", better: Better::Lower, value: p50, more: Vec::new() });
    }
    figures
}

/// The number that a text begins with.
fn leading(text: &str) -> Option<f64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text[..end].parse().ok()
}

/// The number after a word.
fn after(text: &str, name: &str) -> Option<f64> {
    let mut words = text.split_whitespace().skip_while(|word| *word != name).skip(1);
    leading(words.next()?)
}

/// The number before a word.
fn before(text: &str, name: &str) -> Option<f64> {
    let words: Vec<&str> = text.split_whitespace().collect();
    leading(words.get(words.iter().position(|word| *word == name)?.checked_sub(1)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_rows_of_both_languages() {
        let text = "rust\tappend-128\t5000000/s\t4000 MB\tp50 98 ns\tp99 300 ns\n\
                    chronicle\tput-128-1\t2000000\t4295 MB\n\
                    c\tread-1k\t3000000.5\t9000 MB\n\
                    bare\tmap-1k\t400000/s\t4295 MB\tp50 40 ns\n\
                    rust\tsend-1k\t7\n\
                    c\tfailed\tno compiler\n";
        let Found { figures, failures } = read(text);
        let seen: Vec<(&str, &str, f64)> = figures
            .iter()
            .map(|(side, figure)| (side.as_str(), figure.case.as_str(), figure.value))
            .collect();
        let want = [
            ("ferromq", "append 128 B, Rust", 5e6),
            ("ferromq", "append 128 B, Rust p50", 98.0),
            ("chronicle", "append 128 B, Rust", 2e6),
            ("chronicle", "append 128 B, Rust, 256 MiB kept", 2e6),
            ("chronicle", "append 128 B, C", 2e6),
            ("ferromq", "read 1 KiB, C", 3_000_000.5),
            ("bare", "bare append into mappings, 1 KiB", 4e5),
        ];
        assert_eq!(seen, want);
        let written = |at: usize| figures[at].1.more.as_slice();
        assert_eq!(
            (written(0), written(2)),
            (&[("bytes_written", 4e9)][..], &[("bytes_written", 4.295e9)][..])
        );
        assert!(written(5).is_empty() && !written(6).is_empty());
        assert_eq!(failures, ["in-process: c: no compiler"]);
    }
}
