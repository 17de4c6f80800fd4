//! The table, the aims, and the same as JSON.

use serde_json::{json, Map, Value};
use std::path::Path;

/// Which way a figure is better.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// Rates.
    Higher,
    /// Latency, memory, time.
    Lower,
}

/// One figure of one broker.
pub struct Figure {
    /// Name of the case; the rows of both brokers meet by it.
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

impl Figure {
    fn more(&self, name: &str) -> Option<f64> {
        self.more.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }
}

/// The figures of one broker.
pub struct Side {
    /// Its name, the column.
    pub name: &'static str,
    /// In the order in which they were taken.
    pub figures: Vec<Figure>,
}

/// How many times better `ours` is than `theirs`.
pub fn ratio(better: Better, ours: f64, theirs: f64) -> f64 {
    match better {
        Better::Higher => ours / theirs,
        Better::Lower => theirs / ours,
    }
}

fn number(value: f64) -> String {
    if value.abs() < 100.0 {
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

/// Pairs of the figures that meet: a case, ours and theirs, in order.
fn rows(sides: &[Side]) -> Vec<(&Figure, Option<&Figure>, Option<&Figure>)> {
    let side = |name: &str| sides.iter().find(|side| side.name == name);
    let find = |name: &str, case: &str| side(name)?.figures.iter().find(|figure| figure.case == case);
    let longest = sides.iter().max_by_key(|side| side.figures.len());
    let cases = longest.map(|side| side.figures.iter()).into_iter().flatten();
    cases.map(|row| (row, find("ferromq", &row.case), find("apache", &row.case))).collect()
}

/// The table for people.
pub fn table(sides: &[Side]) -> String {
    let mut out = format!(
        "{:<32} {:>6} {:>12} {:>12} {:>8}  {}\n",
        "case", "unit", "ferromq", "apache", "ratio", "written, MB"
    );
    for (row, ours, theirs) in rows(sides) {
        let show = |figure: Option<&Figure>| figure.map_or("-".to_owned(), |f| number(f.value));
        let times = match (ours, theirs) {
            (Some(ours), Some(theirs)) => format!("{:.1}x", ratio(row.better, ours.value, theirs.value)),
            _ => "-".to_owned(),
        };
        let written = |figure: Option<&Figure>| {
            figure.and_then(|f| f.more("bytes_written")).map(|bytes| number(bytes / 1e6))
        };
        let written: Vec<String> = [ours, theirs].into_iter().filter_map(written).collect();
        let line = format!(
            "{:<32} {:>6} {:>12} {:>12} {:>8}  {}",
            row.case,
            row.unit,
            show(ours),
            show(theirs),
            times,
            written.join(" / ")
        );
        out += &(line.trim_end().to_owned() + "\n");
        for (name, figure) in [("ferromq", ours), ("apache", theirs)] {
            if let Some(errors) = figure.and_then(|f| f.more("errors")).filter(|errors| *errors > 0.0) {
                out += &format!("  ! {name}: {} responses were errors\n", number(errors));
            }
        }
    }
    out + "ratio: how many times better ferromq is; written: growth of the commit log, ferromq / apache\n"
}

/// The project's aims that these figures can judge, one a line.
pub fn aims(sides: &[Side]) -> String {
    let rows = rows(sides);
    let least = |wanted: &dyn Fn(&str) -> bool| {
        let both = rows.iter().filter(|(row, ..)| wanted(&row.case));
        let ratios =
            both.filter_map(|(row, ours, theirs)| Some(ratio(row.better, (*ours)?.value, (*theirs)?.value)));
        ratios.reduce(f64::min)
    };
    let ours = |case: &str| rows.iter().find(|(row, ..)| row.case == case).and_then(|(_, ours, _)| *ours);
    let pipelined = least(&|case| case.starts_with("send") && case.contains('x'));
    // One in a thousand is what the machine does meanwhile.
    let latency = least(&|case| case.starts_with("end to end") && !case.ends_with("p99.9"));
    let idle = ours("idle memory").map(|figure| figure.value);
    let start = ours("start to first send").map(|figure| figure.value);
    let judged = [
        ("pipelined sends at least 3x Apache's", pipelined, "x", pipelined.is_some_and(|r| r >= 3.0)),
        ("end-to-end latency at most half", latency, "x", latency.is_some_and(|r| r >= 2.0)),
        ("idle memory under 20 MB", idle, " MB", idle.is_some_and(|mb| mb < 20.0)),
        ("first send within 100 ms", start, " ms", start.is_some_and(|ms| ms <= 100.0)),
    ];
    let line = |(text, value, unit, met): (&str, Option<f64>, &str, bool)| {
        value.map(|value| format!("aim: {text}: {value:.1}{unit}, {}\n", if met { "met" } else { "MISSED" }))
    };
    judged.into_iter().filter_map(line).collect()
}

/// The same as a JSON document.
pub fn json(sides: &[Side], settings: Value) -> Value {
    let finite = |value: f64| serde_json::Number::from_f64(value).map_or(Value::Null, Value::Number);
    let figure = |figure: Option<&Figure>| {
        figure.map_or(Value::Null, |figure| {
            let mut fields: Map<String, Value> =
                figure.more.iter().map(|(name, value)| ((*name).to_owned(), finite(*value))).collect();
            fields.insert("value".to_owned(), finite(figure.value));
            Value::Object(fields)
        })
    };
    let cases = rows(sides).into_iter().map(|(row, ours, theirs)| {
        let times = ours.zip(theirs).map(|(ours, theirs)| ratio(row.better, ours.value, theirs.value));
        json!({
            "case": row.case,
            "unit": row.unit,
            "better": if row.better == Better::Higher { "higher" } else { "lower" },
            "ferromq": figure(ours),
            "apache": figure(theirs),
            "ratio": times.map_or(Value::Null, finite),
        })
    });
    json!({ "settings": settings, "cases": cases.collect::<Vec<_>>() })
}

/// Writes the JSON document, creating the directory.
pub fn save(path: &Path, document: &Value) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    std::fs::write(path, format!("{document:#}\n")).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(name: &'static str, figures: &[(&str, Better, f64)]) -> Side {
        let figure = |(case, better, value): &(&str, Better, f64)| Figure {
            case: (*case).to_owned(),
            unit: "u",
            better: *better,
            value: *value,
            more: vec![("bytes_written", 2e9), ("errors", 0.0)],
        };
        Side { name, figures: figures.iter().map(figure).collect() }
    }

    #[test]
    fn ratios_point_the_same_way() {
        assert_eq!(ratio(Better::Higher, 300.0, 100.0), 3.0);
        assert_eq!(ratio(Better::Lower, 50.0, 100.0), 2.0);
    }

    #[test]
    fn both_sides_meet_in_a_row() {
        let ours = side(
            "ferromq",
            &[("send 1 KiB, 4x64", Better::Higher, 450_000.4), ("idle memory", Better::Lower, 4.0)],
        );
        let theirs = side("apache", &[("send 1 KiB, 4x64", Better::Higher, 72_000.0)]);
        let sides = [ours, theirs];
        let text = table(&sides);
        assert!(text.contains("450,000       72,000     6.3x  2,000 / 2,000"), "{text}");
        assert!(text.lines().any(|line| line.starts_with("idle memory") && line.contains(" - ")), "{text}");
        assert!(!text.contains('!'));
        let judged = aims(&sides);
        assert!(judged.contains("6.3x, met") && judged.contains("4.0 MB, met"), "{judged}");
        assert_eq!(judged.lines().count(), 2);
        let document = json(&sides, json!({}));
        assert_eq!(document["cases"][0]["apache"]["value"], 72_000.0);
        assert_eq!(document["cases"][1]["ratio"], Value::Null);
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(number(1_234_567.0), "1,234,567");
        assert_eq!(number(999.6), "1,000");
        assert_eq!(number(12.34), "12.3");
    }
}
