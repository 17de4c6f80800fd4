//! The bare disk: what an acknowledged write cannot be quicker than.

use crate::report::{Better, Figure};
use crate::stats::Histogram;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// What is written each time.
const BLOCK: usize = 4096;
/// The file, which was written with zeros before, as log files for SYNC_FLUSH are.
const BLOCKS: u64 = 16_384;

/// For `time`, 4 KiB and fdatasync, one after the other. The figure stands beside a send with SYNC_FLUSH.
pub fn sync(dir: &Path, time: Duration) -> Result<Figure, String> {
    let path = dir.join("blocks");
    let seen = write(&path, time).map_err(|e| format!("{}: {e}", path.display()));
    let _removed = std::fs::remove_file(&path);
    let seen = seen?;
    Ok(Figure {
        case: "sync flush 1 KiB, one in flight p50".to_owned(),
        unit: "us",
        better: Better::Lower,
        value: seen.micros(50.0),
        more: vec![("p99_us", seen.micros(99.0)), ("writes", seen.len() as f64)],
    })
}

fn write(path: &Path, time: Duration) -> std::io::Result<Histogram> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let file = File::create(path)?;
    let zeros = vec![0; BLOCK];
    (0..BLOCKS).try_for_each(|block| file.write_all_at(&zeros, block * BLOCK as u64))?;
    file.sync_all()?;
    let mut seen = Histogram::default();
    let (start, data) = (Instant::now(), vec![0x55; BLOCK]);
    for block in (0..BLOCKS).cycle() {
        let before = Instant::now();
        if before - start >= time {
            break;
        }
        file.write_all_at(&data, block * BLOCK as u64)?;
        file.sync_data()?;
        seen.record(before.elapsed());
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_counted_and_the_file_goes() {
        let dir = std::env::temp_dir().join(format!("ferromq-bench-disk-{}", std::process::id()));
        let figure = sync(&dir, Duration::from_millis(30)).expect("a figure");
        assert!(figure.value > 0.0 && figure.more[1].1 >= 1.0, "{figure:?}");
        assert_eq!(std::fs::read_dir(&dir).expect("the directory").count(), 0);
        let _removed = std::fs::remove_dir_all(&dir);
    }
}
