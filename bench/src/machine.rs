//! What a table of figures has to say besides them: where and when and of what they were taken.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// The machine, the versions, the date.
pub fn about(server: Option<&Path>, dir: &Path) -> BTreeMap<String, String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, |cores| cores.get());
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let gib =
        memory.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) / 1048576.0;
    let version = server.and_then(|server| said(Command::new(server).arg("--version")));
    let java = said(Command::new(java()).arg("-version"));
    let pairs = [
        ("processor", format!("{}, {cores} cores", field(&read("/proc/cpuinfo"), "model name"))),
        ("memory", format!("{gib:.0} GiB")),
        ("kernel", read("/proc/sys/kernel/osrelease").trim().to_owned()),
        ("file system", said(Command::new("stat").args(["-f", "-c", "%T"]).arg(dir)).unwrap_or_default()),
        ("FerroMQ", version.unwrap_or_default()),
        ("commit", commit().unwrap_or_default()),
        ("Rust", said(Command::new("rustc").arg("--version")).unwrap_or_default()),
        ("Apache RocketMQ", "5.3.3, its defaults, heap 1 GiB".to_owned()),
        ("Java", java.unwrap_or_default()),
        ("date", said(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"])).unwrap_or_default()),
    ];
    let known = pairs.into_iter().filter(|(_, value)| !value.is_empty());
    known.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The Java of JAVA_HOME, else that of the path.
pub fn java() -> std::path::PathBuf {
    let home = std::env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin/java"));
    home.filter(|java| java.exists()).unwrap_or_else(|| "java".into())
}

/// Of the sources, and whether they were changed.
fn commit() -> Option<String> {
    let git = |args: &[&str]| {
        let home =
            std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        said(Command::new("git").arg("-C").arg(home).args(args))
    };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some();
    Some(git(&["rev-parse", "--short", "HEAD"])? + if changed { ", changed" } else { "" })
}

/// The first line that a command says, on stdout or else on stderr; None if it says nothing or cannot be run.
fn said(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    let line = String::from_utf8_lossy(&text).lines().next()?.trim().to_owned();
    (!line.is_empty()).then_some(line)
}

/// The value of the first line `name : value`.
fn field(text: &str, name: &str) -> String {
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(key, _)| key.trim() == name).map_or_else(String::new, |(_, value)| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_described() {
        let about = about(None, Path::new("."));
        assert!(about.contains_key("kernel") && about["processor"].ends_with("cores"), "{about:?}");
        assert!(!about.contains_key("FerroMQ"), "{about:?}");
        assert_eq!(field("a: b\nmodel name\t: X Y\nmodel name: Z", "model name"), "X Y");
        assert_eq!(said(&mut Command::new("no-such-program")), None);
        assert_eq!(said(&mut Command::new("false")), None);
    }
}
