//! Figures of several rounds put together: medians, ratios, the table for people, and the same as JSON.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

use crate::aims;
use crate::stats::median;

/// The project's own column.
pub const OURS: &str = "ferromq";
/// The column of the broker that it is compared with.
pub const APACHE: &str = "apache";
/// The column of the queue that appends and reads within a process are compared with.
pub const CHRONICLE: &str = "chronicle";
/// The column of what the machine does when nothing is done but the copying.
pub const BARE: &str = "bare";
/// Columns of what bounds us or stands beside us, with what they are called in a table.
pub const OTHERS: [(&str, &str); 4] = [
    ("nothing", "do-nothing server"),
    ("disk", "bare disk"),
    (CHRONICLE, "Chronicle Queue"),
    (BARE, "nothing but copies"),
];

/// Which way a figure is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// Rates.
    Higher,
    /// Latency, memory, time.
    Lower,
}

/// One figure of one side in one round.
#[derive(Debug)]
pub struct Figure {
    /// Name of the row; the sides and rounds meet by it.
    pub case: String,
    /// Unit of `value`.
    pub unit: &'static str,
    /// Which way is better.
    pub better: Better,
    /// The figure.
    pub value: f64,
    /// What else was seen, for the JSON: latencies, processor time, bytes, errors.
    pub more: Vec<(&'static str, f64)>,
}

/// A figure of one side: the median of its rounds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Cell {
    /// The median.
    pub value: f64,
    /// The figure of each round, as taken.
    pub rounds: Vec<f64>,
    /// Medians of what else was seen.
    pub more: BTreeMap<String, f64>,
    #[serde(skip)]
    seen: BTreeMap<String, Vec<f64>>,
}

/// What is compared: a row of the table.
#[derive(Debug, Serialize, Deserialize)]
pub struct Row {
    /// What was measured.
    pub case: String,
    /// Of the figures.
    pub unit: String,
    /// Which way is better.
    pub better: Better,
    /// By side.
    pub sides: BTreeMap<String, Cell>,
}

/// Everything that a run found.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Board {
    /// The machine, versions, the date, the options.
    pub about: BTreeMap<String, String>,
    /// In the order in which they were first taken.
    pub rows: Vec<Row>,
    /// What could not be measured, and why.
    pub failures: Vec<String>,
}

impl Board {
    /// Adds a figure to the row of its name. What is no number (a percentile of nothing) is left out.
    pub fn add(&mut self, side: &str, figure: &Figure) {
        if !figure.value.is_finite() {
            return;
        }
        let at = self.rows.iter().position(|row| row.case == figure.case).unwrap_or_else(|| {
            self.rows.push(Row {
                case: figure.case.clone(),
                unit: figure.unit.to_owned(),
                better: figure.better,
                sides: BTreeMap::new(),
            });
            self.rows.len() - 1
        });
        let cell = self.rows[at].sides.entry(side.to_owned()).or_default();
        cell.rounds.push(figure.value);
        cell.value = median(&cell.rounds);
        for (name, value) in figure.more.iter().filter(|(_, value)| value.is_finite()) {
            let seen = cell.seen.entry((*name).to_owned()).or_default();
            seen.push(*value);
            cell.more.insert((*name).to_owned(), median(seen));
        }
    }

    /// The row of a case.
    pub fn row(&self, case: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.case == case)
    }

    /// Reads what [`Board::save`] wrote.
    pub fn load(path: &Path) -> Result<Board, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| format!("{}: {e}; a run of ferromq-bench writes it", path.display()))?;
        serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// Writes the JSON document, creating its directory.
    pub fn save(&self, path: &Path) -> Result<(), String> {
        let failed = |e: std::io::Error| format!("{}: {e}", path.display());
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        let text = serde_json::to_string_pretty(self).map_err(|e| e.to_string())?;
        std::fs::write(path, text + "\n").map_err(failed)
    }
}

impl Row {
    /// A side's median.
    pub fn value(&self, side: &str) -> Option<f64> {
        self.sides.get(side).map(|cell| cell.value)
    }

    /// How many times better ours is than that of `side`.
    pub fn times(&self, side: &str) -> Option<f64> {
        Some(ratio(self.better, self.value(OURS)?, self.value(side)?))
    }

    /// What bounds this row or stands beside it: its side, its name in a table, its figure.
    pub fn other(&self) -> Option<(&'static str, &'static str, f64)> {
        OTHERS.into_iter().find_map(|(side, name)| Some((side, name, self.value(side)?)))
    }

    /// MB that each side's log grew by, in process MB of bodies, ours first, where that was measured.
    pub fn written(&self) -> String {
        let megabytes = |side: &str| {
            let bytes = self.sides.get(side)?.more.get("bytes_written")?;
            (*bytes > 0.0).then(|| number(bytes / 1e6))
        };
        [OURS, APACHE, CHRONICLE, BARE].into_iter().filter_map(megabytes).collect::<Vec<_>>().join(" / ")
    }
}

/// How many times better `ours` is than `theirs`.
pub fn ratio(better: Better, ours: f64, theirs: f64) -> f64 {
    match better {
        Better::Higher => ours / theirs,
        Better::Lower => theirs / ours,
    }
}

/// A figure, never below 0, for people: digits in groups of three, small ones with decimals.
pub fn number(value: f64) -> String {
    if value < 10.0 {
        return format!("{value:.2}");
    }
    if value < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The table for people.
pub fn table(board: &Board) -> String {
    let mut out = format!(
        "{:<48} {:>6} {:>12} {:>12} {:>8} {:>12} {:>7}  {}\n",
        "case", "unit", "ferromq", "apache", "ratio", "other", "share", "written, MB"
    );
    for row in &board.rows {
        let show = |value: Option<f64>| value.map_or("-".to_owned(), number);
        let times = row.times(APACHE).map_or("-".to_owned(), |times| format!("{times:.2}x"));
        let share = row.other().and_then(|(side, ..)| row.times(side));
        let line = format!(
            "{:<48} {:>6} {:>12} {:>12} {:>8} {:>12} {:>7}  {}",
            row.case,
            row.unit,
            show(row.value(OURS)),
            show(row.value(APACHE)),
            times,
            show(row.other().map(|(.., value)| value)),
            share.map_or("-".to_owned(), |share| format!("{share:.2}x")),
            row.written()
        );
        out += &(line.trim_end().to_owned() + "\n");
        for (side, cell) in &row.sides {
            if let Some(errors) = cell.more.get("errors").filter(|errors| **errors > 0.0) {
                out += &format!("  ! {side}: {} responses were errors\n", number(*errors));
            }
        }
    }
    out += "ratio: how many times better ferromq is than apache; share: than the other, which is the do-nothing\n\
            server, for sync flush the bare disk, in process Chronicle Queue; written: growth of the commit log, in\n\
            process what the bodies are\n";
    for verdict in aims::judge(board) {
        out += &format!("aim: {}: {}: {}\n", verdict.case, verdict.aim, verdict.outcome());
    }
    for failure in &board.failures {
        out += &format!("not measured: {failure}\n");
    }
    out += &format!("aims: {}\n", aims::summary(board));
    out
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A figure with 2 GB written.
    pub fn figure(case: &str, better: Better, value: f64) -> Figure {
        let more = vec![("bytes_written", 2e9), ("errors", 0.0), ("request_p50_us", f64::NAN)];
        Figure { case: case.to_owned(), unit: "u", better, value, more }
    }

    fn board() -> Board {
        let mut board = Board::default();
        for value in [500_000.0, 450_000.4, 100_000.0] {
            board.add(OURS, &figure("send 1 KiB, 4x64", Better::Higher, value));
        }
        board.add(OURS, &figure("idle memory", Better::Lower, 4.0));
        board.add(APACHE, &figure("send 1 KiB, 4x64", Better::Higher, 72_000.0));
        board.add("nothing", &figure("send 1 KiB, 4x64", Better::Higher, 900_000.8));
        board.failures.push("apache: many-50k: it ended".to_owned());
        board
    }

    #[test]
    fn ratios_point_the_same_way() {
        assert_eq!(ratio(Better::Higher, 300.0, 100.0), 3.0);
        assert_eq!(ratio(Better::Lower, 50.0, 100.0), 2.0);
    }

    #[test]
    fn sides_and_rounds_meet_in_a_row() {
        let board = board();
        let row = board.row("send 1 KiB, 4x64").expect("a row");
        assert_eq!(row.value(OURS), Some(450_000.4));
        assert_eq!(row.sides[OURS].rounds, [500_000.0, 450_000.4, 100_000.0]);
        assert_eq!(row.times("nothing"), Some(0.5));
        assert_eq!(row.other(), Some(("nothing", "do-nothing server", 900_000.8)));
        assert_eq!((row.written().as_str(), row.times("disk")), ("2,000 / 2,000", None));
        let text = table(&board);
        assert!(text.contains("450,000       72,000    6.25x      900,001   0.50x  2,000 / 2,000"), "{text}");
        assert!(text.lines().any(|line| line.starts_with("idle memory") && line.contains(" - ")), "{text}");
        assert!(text.contains("not measured: apache: many-50k: it ended"), "{text}");
        assert!(!text.contains("were errors"));
    }

    #[test]
    fn errors_are_shown_and_what_is_no_number_is_left_out() {
        let mut board = Board::default();
        let more = vec![("errors", 1234.0)];
        board.add(APACHE, &Figure { more, ..figure("send", Better::Higher, 7.0) });
        board.add(OURS, &figure("send", Better::Higher, f64::NAN));
        assert_eq!(board.row("send").and_then(|row| row.value(OURS)), None);
        let text = table(&board);
        assert!(text.contains("! apache: 1,234 responses were errors"), "{text}");
    }

    #[test]
    fn a_board_is_read_as_it_was_written() {
        let dir = std::env::temp_dir().join(format!("ferromq-bench-board-{}", std::process::id()));
        let path = dir.join("deep/latest.json");
        let mut board = board();
        board.about.insert("date".into(), "today".into());
        board.save(&path).expect("saved");
        let again = Board::load(&path).expect("loaded");
        let _removed = std::fs::remove_dir_all(&dir);
        assert_eq!(table(&again), table(&board));
        assert_eq!(again.about, board.about);
        assert!(Board::load(&path).is_err_and(|text| text.contains("a run of ferromq-bench writes it")));
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(number(1_234_567.0), "1,234,567");
        assert_eq!(number(999.6), "1,000");
        assert_eq!(number(12.34), "12.3");
        assert_eq!(number(0.094), "0.09");
    }
}
