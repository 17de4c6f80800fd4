//! One line a case and a closing line, in the words of the usual test harness.

use crate::Outcome;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Collects the outcomes; shared by all threads.
pub struct Report {
    filters: Vec<String>,
    start: Instant,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    passed: usize,
    failed: Vec<(String, String)>,
    skipped: usize,
    ignored: usize,
}

impl Report {
    /// Words of the command line that are no flags choose the cases whose names contain one of them.
    pub fn from_args() -> Report {
        let filters = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
        Report { filters, start: Instant::now(), inner: Mutex::default() }
    }

    /// Whether the command line asks for this case, or for all.
    pub fn matches(&self, name: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|f| name.contains(f.as_str()))
    }

    /// As [`Report::matches`], but one that was not asked for is counted.
    pub fn wants(&self, name: &str) -> bool {
        let wanted = self.matches(name);
        if !wanted {
            self.inner.lock().expect("report").skipped += 1;
        }
        wanted
    }

    /// Runs a case and reports it; false if it failed.
    pub fn case(&self, name: &str, body: impl FnOnce() -> Outcome) -> bool {
        let start = Instant::now();
        let outcome = body();
        self.outcome(name, outcome.map(|()| start.elapsed()))
    }

    /// Reports a case that ran elsewhere; false if it failed.
    pub fn outcome(&self, name: &str, outcome: Outcome<Duration>) -> bool {
        let mut inner = self.inner.lock().expect("report");
        match outcome {
            Ok(took) => {
                println!("test {name} ... ok ({:.1} s)", took.as_secs_f64());
                inner.passed += 1;
                true
            }
            Err(why) => {
                println!("test {name} ... FAILED: {why}");
                inner.failed.push((name.to_owned(), why));
                false
            }
        }
    }

    /// Reports a case that is not run, and why.
    pub fn ignored(&self, name: &str, why: &str) {
        println!("test {name} ... ignored, {why}");
        self.inner.lock().expect("report").ignored += 1;
    }

    /// A remark about the progress.
    pub fn note(&self, text: &str) {
        println!("[{:6.1} s] {text}", self.start.elapsed().as_secs_f64());
    }

    /// Prints the failures and the closing line; the exit code.
    pub fn finish(&self) -> i32 {
        let inner = self.inner.lock().expect("report");
        if !inner.failed.is_empty() {
            println!("\nfailures:");
            for (name, why) in &inner.failed {
                println!("---- {name} ----\n{why}\n");
            }
        }
        let ok = inner.failed.is_empty() && inner.passed > 0;
        println!(
            "\ntest result: {}. {} passed; {} failed; {} ignored; 0 measured; {} filtered out; finished in {:.2}s\n",
            if ok { "ok" } else { "FAILED" },
            inner.passed,
            inner.failed.len(),
            inner.ignored,
            inner.skipped,
            self.start.elapsed().as_secs_f64()
        );
        i32::from(!ok)
    }
}
