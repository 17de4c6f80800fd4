//! Messages a second through the public interface, embedded: `cargo bench -p ferromq --bench embedded -- DIR SECONDS`. The
//! programs of the other languages (ffi/bench, bindings/*/bench) run the same cases and print the same lines, a case and
//! its figure; scripts/bench-languages.sh sets them side by side.

use std::sync::mpsc::channel;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use ferromq::{ConsumeStatus, ConsumerOptions, Instance, Message, Result, StartFrom};

/// Messages of a batch.
const BATCH: usize = 100;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1).filter(|arg| !arg.starts_with("--"));
    let scratch = tempfile::tempdir().expect("a directory");
    let dir = args.next().map_or_else(|| scratch.path().join("data"), Into::into);
    let seconds: f64 = args.next().map_or(1.0, |text| text.parse().expect("a number of seconds"));
    let time = Duration::from_secs_f64(seconds);

    let mq = ferromq::open(&dir)?;
    for (name, size) in [("128", 128), ("1k", 1024)] {
        let topic = format!("Bench{name}");
        mq.create_topic(&topic, 1)?;
        let (sent, took) = put_one_by_one(&mq, &topic, size, time)?;
        print(&format!("put-{name}-1"), sent, took);
        let (more, took) = put_batches(&mq, &topic, size, time)?;
        print(&format!("put-{name}-100"), more, took);
        let (read, took) = get(&mq, &topic, time)?;
        print(&format!("get-{name}"), read, took);
    }
    let (heard, took) = listen(&mq, "Bench1k", time)?;
    print("listen-1k", heard, took);
    mq.close()
}

fn print(case: &str, messages: usize, took: Duration) {
    println!("{case}\t{:.0}", messages as f64 / took.as_secs_f64());
}

fn put_one_by_one(mq: &Instance, topic: &str, size: usize, time: Duration) -> Result<(usize, Duration)> {
    let producer = mq.producer("bench")?;
    let body = vec![b'x'; size];
    let (start, mut sent) = (Instant::now(), 0);
    while start.elapsed() < time {
        producer.send(&Message::new(topic, body.clone()))?;
        sent += 1;
    }
    Ok((sent, start.elapsed()))
}

fn put_batches(mq: &Instance, topic: &str, size: usize, time: Duration) -> Result<(usize, Duration)> {
    let producer = mq.producer("bench")?;
    let body = vec![b'x'; size];
    let (start, mut sent) = (Instant::now(), 0);
    while start.elapsed() < time {
        let batch: Vec<Message> = (0..BATCH).map(|_| Message::new(topic, body.clone())).collect();
        producer.send_batch(&batch)?;
        sent += BATCH;
    }
    Ok((sent, start.elapsed()))
}

/// Polls what is there, from the first message on, until its end or the end of the time.
fn get(mq: &Instance, topic: &str, time: Duration) -> Result<(usize, Duration)> {
    let consumer = mq.consumer_with(ConsumerOptions {
        consume_from_where: StartFrom::First,
        ..ConsumerOptions::new(format!("get-{topic}"))
    })?;
    consumer.subscribe(topic, "*")?;
    consumer.start()?;
    let there: i64 = mq.queues(topic)?.iter().map(|queue| mq.max_offset(queue)).sum::<Result<i64>>()?;
    // The first messages come when the group has shared its queues.
    let mut read = consumer.poll(Duration::from_secs(30))?.len();
    let start = Instant::now();
    let before = read;
    while start.elapsed() < time && (read as i64) < there {
        read += consumer.poll(Duration::from_secs(5))?.len();
    }
    let took = start.elapsed();
    consumer.close()?;
    Ok((read - before, took))
}

fn listen(mq: &Instance, topic: &str, time: Duration) -> Result<(usize, Duration)> {
    let consumer = mq.push_consumer_with(ConsumerOptions {
        consume_from_where: StartFrom::First,
        consume_message_batch_max_size: 32,
        ..ConsumerOptions::new("listen")
    })?;
    consumer.subscribe(topic, "*")?;
    let (heard, counts) = channel();
    let heard = Mutex::new(heard);
    consumer.listen(move |messages, _| {
        let _ = heard.lock().map(|heard| heard.send(messages.len()));
        ConsumeStatus::Success
    })?;
    consumer.start()?;
    let there: i64 = mq.queues(topic)?.iter().map(|queue| mq.max_offset(queue)).sum::<Result<i64>>()?;
    let first = counts.recv_timeout(Duration::from_secs(30)).unwrap_or_default();
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < time && ((first + count) as i64) < there {
        count += counts.recv_timeout(Duration::from_secs(5)).unwrap_or_default();
    }
    let took = start.elapsed();
    consumer.close()?;
    Ok((count, took))
}
