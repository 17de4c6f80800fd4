//! Prints what filtering a message by SQL92 costs, in nanoseconds. `cargo bench -p ferromq --bench filter`.

use std::hint::black_box;
use std::time::Instant;

use ferromq::filter::SqlExpression;
use ferromq::Properties;

const EXPRESSIONS: &[&str] = &[
    "a > 5",
    "a BETWEEN 0 AND 3",
    "price >= 9.5",
    "colour = 'blue'",
    "colour IN ('red', 'green', 'blue')",
    "missing IS NULL",
    "name STARTSWITH 'order'",
    "a > 5 AND colour = 'blue' AND (price < 10.0 OR TAGS = 'x')",
    "a = 1 OR a = 2 OR a = 3 OR a = 4 OR a = 5 OR a = 6 OR a = 7 OR a = 8",
    "name > 5",
];

fn main() {
    // What a message of a Java producer has, with four properties of its user.
    let properties: Properties = [
        ("KEYS", "order-1000042"),
        ("UNIQ_KEY", "C000020246144E0E2F2A692C421B0000"),
        ("WAIT", "true"),
        ("TAGS", "fruit"),
        ("CLUSTER", "DefaultCluster"),
        ("MSG_REGION", "DefaultRegion"),
        ("TRACE_ON", "true"),
        ("a", "8"),
        ("colour", "blue"),
        ("name", "order of apples"),
        ("price", "9.75"),
    ]
    .into_iter()
    .collect();
    let encoded = properties.encode();
    println!("properties: {} bytes, 11 pairs", encoded.len());
    println!("{:>10} {:>10} {:>10}", "encoded", "by name", "compile");
    for text in EXPRESSIONS {
        let expression = SqlExpression::parse(text).unwrap();
        let from_record = measure(|| expression.matches_encoded(black_box(&encoded)));
        let by_name = measure(|| expression.matches(black_box(&properties)));
        let compile = measure(|| SqlExpression::parse(black_box(text)).is_ok());
        println!("{from_record:>10.0} {by_name:>10.0} {compile:>10.0}  {text}");
    }
}

/// Nanoseconds a call. The fastest of many short rounds: what is slower was disturbed.
fn measure(mut call: impl FnMut() -> bool) -> f64 {
    const CALLS: u32 = 500;
    let round = |call: &mut dyn FnMut() -> bool| {
        let start = Instant::now();
        for _ in 0..CALLS {
            black_box(call());
        }
        start.elapsed().as_nanos() as f64 / f64::from(CALLS)
    };
    (0..2_000).map(|_| round(&mut call)).fold(f64::INFINITY, f64::min)
}
