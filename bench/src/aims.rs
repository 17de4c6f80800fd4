//! The project's aims, and whether a run met them.

use crate::report::{number, Board, Row, APACHE, OURS};

/// What is wanted of a row.
#[derive(Debug, Clone, Copy)]
enum Aim {
    /// At least so many times as good as this side's figure; below 1, at least this share of it.
    Times(&'static str, f64),
    /// Not more than this times the side's figure, where less is better.
    Within(&'static str, f64),
    /// At least this.
    Over(f64),
    /// Less than this.
    Under(f64),
    /// At least so many bytes written by our side, or the figure says little.
    Written(f64),
}

const NOTHING: &str = "nothing";
const CHRONICLE: &str = "chronicle";

/// Rows by their names, and what is wanted of each.
const AIMS: [(&str, &[Aim]); 27] = [
    ("send 128 B, 4x64", &[Aim::Times(APACHE, 7.0), Aim::Times(NOTHING, 0.7)]),
    ("send 128 B, 16x16", &[Aim::Times(APACHE, 7.0), Aim::Times(NOTHING, 0.7)]),
    ("send 1 KiB, 4x64", &[Aim::Times(APACHE, 6.0), Aim::Times(NOTHING, 0.5), Aim::Written(4e9)]),
    ("send 1 KiB, one in flight p50", &[Aim::Within(NOTHING, 1.2), Aim::Times(APACHE, 2.0)]),
    ("sync flush 1 KiB, one in flight p50", &[Aim::Within("disk", 1.6)]),
    ("sync flush 1 KiB, 4x64", &[Aim::Times(APACHE, 3.5)]),
    ("pull 1 KiB, 2 queues", &[Aim::Times(APACHE, 3.0)]),
    ("end to end p50", &[Aim::Times(APACHE, 8.0)]),
    ("end to end p99", &[Aim::Times(APACHE, 4.0)]),
    ("send 1 KiB at half of Apache's top rate p99.9", &[Aim::Times(APACHE, 5.0)]),
    ("append 128 B, Rust", &[Aim::Over(5e6), Aim::Times(CHRONICLE, 2.0)]),
    ("append 128 B, Rust p50", &[Aim::Under(100.0)]),
    ("append 1 KiB, Rust", &[Aim::Over(1.3e6), Aim::Times(CHRONICLE, 2.0), Aim::Written(4e9)]),
    ("read 128 B, Rust", &[Aim::Times(CHRONICLE, 2.0)]),
    ("read 1 KiB, Rust", &[Aim::Times(CHRONICLE, 2.0)]),
    ("append 128 B, C", &[Aim::Over(5e6), Aim::Times(CHRONICLE, 2.0)]),
    ("append 1 KiB, C", &[Aim::Over(1.3e6), Aim::Times(CHRONICLE, 2.0), Aim::Written(4e9)]),
    ("read 128 B, C", &[Aim::Times(CHRONICLE, 2.0)]),
    ("read 1 KiB, C", &[Aim::Times(CHRONICLE, 2.0)]),
    ("Java client, 64 threads send 1 KiB", &[Aim::Times(APACHE, 1.5)]),
    ("Java push consumer drains", &[Aim::Times(APACHE, 1.5)]),
    ("idle memory", &[Aim::Under(10.0)]),
    ("idle processor time", &[Aim::Under(0.1)]),
    ("start to first send", &[Aim::Under(30.0)]),
    ("anonymous memory after 10 million messages", &[Aim::Under(100.0)]),
    ("size of ferromq, stripped", &[Aim::Under(10.0)]),
    ("size of libferromq.so, stripped", &[Aim::Under(10.0)]),
];

/// One aim and what a run says of it.
pub struct Verdict {
    /// The row.
    pub case: &'static str,
    /// What is wanted.
    pub aim: String,
    found: f64,
    unit: String,
    met: bool,
}

impl Verdict {
    /// What was found.
    pub fn found(&self) -> String {
        number(self.found) + &self.unit
    }

    /// Whether it is enough.
    pub fn word(&self) -> &'static str {
        match self.met {
            true => "met",
            false => "MISSED",
        }
    }

    /// Both.
    pub fn outcome(&self) -> String {
        format!("{}, {}", self.found(), self.word())
    }
}

/// The aims that these figures can judge.
pub fn judge(board: &Board) -> Vec<Verdict> {
    let rows = AIMS.iter().filter_map(|(case, aims)| Some((*case, *aims, board.row(case)?)));
    rows.flat_map(|(case, aims, row)| aims.iter().filter_map(move |aim| verdict(case, *aim, row))).collect()
}

fn verdict(case: &'static str, aim: Aim, row: &Row) -> Option<Verdict> {
    let of = |side: &str| match side {
        APACHE => "Apache's",
        NOTHING => "the do-nothing server's",
        CHRONICLE => "Chronicle Queue's",
        _ => "the bare disk's",
    };
    let (aim, found, unit, met) = match aim {
        Aim::Times(side, least) => {
            let times = row.times(side)?;
            let what = if least < 1.0 { format!("{:.0} %", least * 100.0) } else { format!("{least} times") };
            (format!("at least {what} {}", of(side)), times, "x".to_owned(), times >= least)
        }
        Aim::Within(side, most) => {
            let times = row.value(OURS)? / row.value(side)?;
            (format!("within {most} times {}", of(side)), times, "x".to_owned(), times <= most)
        }
        Aim::Over(least) => {
            let value = row.value(OURS)?;
            (
                format!("at least {} {}", number(least), row.unit),
                value,
                format!(" {}", row.unit),
                value >= least,
            )
        }
        Aim::Under(limit) => {
            let value = row.value(OURS)?;
            (format!("under {} {}", number(limit), row.unit), value, format!(" {}", row.unit), value < limit)
        }
        Aim::Written(least) => {
            let bytes = *row.sides.get(OURS)?.more.get("bytes_written")?;
            (
                format!("over at least {} MB", number(least / 1e6)),
                bytes / 1e6,
                " MB".to_owned(),
                bytes >= least,
            )
        }
    };
    Some(Verdict { case, aim, found, unit, met })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::figure;
    use crate::report::Better;

    fn outcomes(figures: &[(&str, &str, Better, f64)]) -> Vec<(String, bool)> {
        let mut board = Board::default();
        for (side, case, better, value) in figures {
            board.add(side, &figure(case, *better, *value));
        }
        judge(&board).into_iter().map(|verdict| (verdict.outcome(), verdict.met)).collect()
    }

    #[test]
    fn rates_are_judged_by_both_neighbours_and_by_what_was_written() {
        let case = "send 1 KiB, 4x64";
        let seen = outcomes(&[
            (OURS, case, Better::Higher, 450_000.0),
            (APACHE, case, Better::Higher, 90_000.0),
            (NOTHING, case, Better::Higher, 800_000.0),
        ]);
        assert_eq!(seen[0], ("5.00x, MISSED".to_owned(), false));
        assert_eq!(seen[1], ("0.56x, met".to_owned(), true));
        assert_eq!(seen[2], ("2,000 MB, MISSED".to_owned(), false));
    }

    #[test]
    fn medians_are_judged_from_below() {
        let case = "send 1 KiB, one in flight p50";
        let seen = outcomes(&[(OURS, case, Better::Lower, 50.0), (NOTHING, case, Better::Lower, 41.0)]);
        assert_eq!(seen, [("1.22x, MISSED".to_owned(), false)]);
        let seen = outcomes(&[
            (OURS, "end to end p50", Better::Lower, 80.0),
            (APACHE, "end to end p50", Better::Lower, 700.0),
        ]);
        assert_eq!(seen, [("8.75x, met".to_owned(), true)]);
    }

    #[test]
    fn limits_are_limits() {
        let seen = outcomes(&[
            (OURS, "idle memory", Better::Lower, 9.99),
            (OURS, "start to first send", Better::Lower, 30.0),
            (OURS, "append 128 B, Rust", Better::Higher, 5e6),
        ]);
        assert_eq!(seen.iter().map(|(_, met)| *met).collect::<Vec<_>>(), [true, true, false]);
        assert!(outcomes(&[(APACHE, "idle memory", Better::Lower, 4.0)]).is_empty());
    }
}
