//! docs/performance.md and its chart, made of a run's JSON.

use crate::aims;
use crate::chart;
use crate::report::{number, Board, APACHE, OURS};
use std::fmt::Write;
use std::path::Path;

/// Before the tables.
const HEAD: &str = "# Performance

Made by `make performance` from the last run of `make bench`; nothing here is written by hand. FerroMQ and Apache
RocketMQ's broker and name server run on one machine, one after the other, under the same load, which shares the
machine with them; each figure is the median of several rounds in which the sides take turns. How each row is measured
stands in [bench/README.md](../bench/README.md). Machines differ and so do figures: the ratios are what carries over.

";

/// Writes `performance.md` and `performance.svg` into this directory.
pub fn write(board: &Board, dir: &Path) -> Result<(), String> {
    for (name, text) in [("performance.md", markdown(board)), ("performance.svg", chart::svg(board))] {
        let path = dir.join(name);
        std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
        println!("written: {}", path.display());
    }
    Ok(())
}

fn markdown(board: &Board) -> String {
    let mut out = HEAD.to_owned();
    out += "| | |\n|---|---|\n";
    for (name, value) in &board.about {
        let _written = writeln!(out, "| {name} | {} |", cell(value));
    }
    out += "\n![How many times better than Apache's broker](performance.svg)\n\n## Figures\n\n\
            | row | unit | FerroMQ | Apache | times better | beside | its figure | share | written, MB |\n\
            |---|---|---:|---:|---:|---|---:|---:|---|\n";
    for row in &board.rows {
        let other = row.other();
        let show = |value: Option<f64>| value.map_or_else(String::new, number);
        let times = |value: Option<f64>| value.map_or_else(String::new, |times| format!("{times:.2}"));
        let _written = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            cell(&row.case),
            cell(&row.unit),
            show(row.value(OURS)),
            show(row.value(APACHE)),
            times(row.times(APACHE)),
            other.map_or("", |(_, name, _)| name),
            show(other.map(|(.., value)| value)),
            times(other.and_then(|(side, ..)| row.times(side))),
            row.written()
        );
    }
    out += "\n*Times better* and *share* compare FerroMQ's figure with Apache's and with the one beside it, so that more is \
            better whatever the unit. *Written* is what the commit logs grew by, FerroMQ's and Apache's; of appends within \
            a process what the bodies are, FerroMQ's and Chronicle Queue's.\n\n## Aims\n\n\
            | row | aim | found | |\n|---|---|---:|---|\n";
    for verdict in aims::judge(board) {
        let (found, met) = (verdict.found(), verdict.word());
        let _written = writeln!(out, "| {} | {} | {found} | {met} |", verdict.case, cell(&verdict.aim));
    }
    let _written = writeln!(out, "\nIn all: {}.", aims::summary(board));
    if !board.failures.is_empty() {
        out += "\n## Not measured\n\n";
        for failure in &board.failures {
            let _written = writeln!(out, "- {}", failure.replace('\n', " "));
        }
    }
    out
}

/// Text in a table's cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::figure;
    use crate::report::Better;

    #[test]
    fn the_page_has_all_that_was_found() {
        let mut board = Board::default();
        board.about.insert("processor".into(), "a|b".into());
        board.add(OURS, &figure("end to end p50", Better::Lower, 1234.5));
        board.add(APACHE, &figure("end to end p50", Better::Lower, 2469.0));
        board.add("nothing", &figure("send 128 B, 4x64", Better::Higher, 10.0));
        board.failures.push("apache: it\nended".into());
        let text = markdown(&board);
        assert!(text.contains("| processor | a\\|b |"), "{text}");
        assert!(
            text.contains("| end to end p50 | u | 1,234 | 2,469 | 2.00 |  |  |  | 2,000 / 2,000 |"),
            "{text}"
        );
        assert!(
            text.contains("| send 128 B, 4x64 | u |  |  |  | do-nothing server | 10.0 |  |  |"),
            "{text}"
        );
        assert!(text.contains("| at least 8 times Apache's | 2.00x | MISSED |"), "{text}");
        assert!(text.contains("- apache: it ended"), "{text}");
        for line in text.lines().filter(|line| line.starts_with("| end to end")) {
            assert!([10, 5].contains(&line.matches('|').count()), "{line}");
        }
    }
}
