//! The project's aims, and whether a run met them.

use crate::report::{number, Board, Row, APACHE, CHRONICLE, OURS};

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
    /// Nothing when a side lacks.
    found: Option<f64>,
    unit: String,
    met: Option<bool>,
}

impl Verdict {
    /// What was found.
    pub fn found(&self) -> String {
        self.found.map_or("-".to_owned(), |found| number(found) + &self.unit)
    }

    /// Whether it is enough.
    pub fn word(&self) -> &'static str {
        match self.met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "not judged",
        }
    }

    /// Both.
    pub fn outcome(&self) -> String {
        match self.met {
            Some(_) => format!("{}, {}", self.found(), self.word()),
            None => self.word().to_owned(),
        }
    }
}

/// The aims of the rows that there are, also those that cannot be judged because a side lacks.
pub fn judge(board: &Board) -> Vec<Verdict> {
    let rows = AIMS.iter().filter_map(|(case, aims)| Some((*case, *aims, board.row(case)?)));
    rows.flat_map(|(case, aims, row)| aims.iter().map(move |aim| verdict(case, *aim, row))).collect()
}

/// How many of all aims were met and missed, and how many the run says nothing of.
pub fn summary(board: &Board) -> String {
    let verdicts = judge(board);
    let count = |met: bool| verdicts.iter().filter(|verdict| verdict.met == Some(met)).count();
    let all: usize = AIMS.iter().map(|(_, aims)| aims.len()).sum();
    let (met, missed) = (count(true), count(false));
    format!("{met} met, {missed} missed, {} not judged", all - met - missed)
}

fn verdict(case: &'static str, aim: Aim, row: &Row) -> Verdict {
    let of = |side: &str| match side {
        APACHE => "Apache's",
        NOTHING => "the do-nothing server's",
        CHRONICLE => "Chronicle Queue's",
        _ => "the bare disk's",
    };
    let own = format!(" {}", row.unit);
    let (aim, found, unit, enough) = match aim {
        Aim::Times(side, least) => {
            let what = if least < 1.0 { format!("{:.0} %", least * 100.0) } else { format!("{least} times") };
            let times = row.times(side);
            let met = times.map(|times| times >= least);
            (format!("at least {what} {}", of(side)), times, "x".to_owned(), met)
        }
        Aim::Within(side, most) => {
            let times = row.value(OURS).zip(row.value(side)).map(|(ours, theirs)| ours / theirs);
            let met = times.map(|times| times <= most);
            (format!("within {most} times {}", of(side)), times, "x".to_owned(), met)
        }
        Aim::Over(least) => {
            let value = row.value(OURS);
            let met = value.map(|value| value >= least);
            (format!("at least {} {}", number(least), row.unit), value, own, met)
        }
        Aim::Under(limit) => {
            let value = row.value(OURS);
            let met = value.map(|value| value < limit);
            (format!("under {} {}", number(limit), row.unit), value, own, met)
        }
        Aim::Written(least) => {
            let bytes = row.sides.get(OURS).and_then(|cell| cell.more.get("bytes_written"));
            let met = bytes.map(|bytes| *bytes >= least);
            let megabytes = bytes.map(|bytes| bytes / 1e6);
            (format!("over at least {} MB", number(least / 1e6)), megabytes, " MB".to_owned(), met)
        }
    };
    Verdict { case, aim, found, unit, met: enough }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::figure;
    use crate::report::Better;

    fn outcomes(figures: &[(&str, &str, Better, f64)]) -> Vec<(String, Option<bool>)> {
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
        assert_eq!(seen[0], ("5.00x, MISSED".to_owned(), Some(false)));
        assert_eq!(seen[1], ("0.56x, met".to_owned(), Some(true)));
        assert_eq!(seen[2], ("2,000 MB, MISSED".to_owned(), Some(false)));
    }

    #[test]
    fn medians_are_judged_from_below() {
        let case = "send 1 KiB, one in flight p50";
        let seen = outcomes(&[(OURS, case, Better::Lower, 50.0), (NOTHING, case, Better::Lower, 41.0)]);
        assert_eq!(seen[0], ("1.22x, MISSED".to_owned(), Some(false)));
        // Apache's figure lacks.
        assert_eq!(seen[1], ("not judged".to_owned(), None));
        let seen = outcomes(&[
            (OURS, "end to end p50", Better::Lower, 80.0),
            (APACHE, "end to end p50", Better::Lower, 700.0),
        ]);
        assert_eq!(seen, [("8.75x, met".to_owned(), Some(true))]);
    }

    #[test]
    fn limits_are_limits() {
        let seen = outcomes(&[
            (OURS, "idle memory", Better::Lower, 9.99),
            (OURS, "start to first send", Better::Lower, 30.0),
            (OURS, "append 128 B, Rust", Better::Higher, 5e6),
        ]);
        let met: Vec<_> = seen.iter().map(|(_, met)| *met).collect();
        // The last is that of Chronicle's figure, which lacks.
        assert_eq!(met, [Some(true), None, Some(true), Some(false)]);
        assert_eq!(outcomes(&[(APACHE, "idle memory", Better::Lower, 4.0)])[0].1, None);
    }

    #[test]
    fn all_aims_are_counted() {
        let mut board = Board::default();
        board.add(OURS, &figure("idle memory", Better::Lower, 9.99));
        board.add(OURS, &figure("start to first send", Better::Lower, 30.0));
        let all: usize = AIMS.iter().map(|(_, aims)| aims.len()).sum();
        assert_eq!(summary(&board), format!("1 met, 1 missed, {} not judged", all - 2));
    }
}
