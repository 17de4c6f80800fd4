//! What this machine is called, which address others reach it at, and where its user's files are: what the defaults of
//! `brokerName`, `brokerIP1` and the paths come from.

use std::net::Ipv4Addr;
use std::path::PathBuf;

/// The user's home directory, where Apache keeps its files by default; the current one if `HOME` is not set.
pub(super) fn home() -> PathBuf {
    std::env::var_os("HOME").filter(|home| !home.is_empty()).unwrap_or_else(|| ".".into()).into()
}

/// The host's name; `DEFAULT_BROKER`, as in Apache, where it cannot be found out.
pub fn host_name() -> String {
    let read = |path| std::fs::read_to_string(path).ok();
    let name = read("/proc/sys/kernel/hostname")
        .or_else(|| read("/etc/hostname"))
        .or_else(|| std::env::var("HOSTNAME").ok());
    match name.as_deref().map(str::trim) {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => "DEFAULT_BROKER".to_owned(),
    }
}

/// The first IPv4 address that is not a loopback one: of the interface with the default route if there is one, else
/// any. 127.0.0.1 if there is none or the system (not Linux) does not tell; then `brokerIP1` has to be set.
pub fn local_ipv4() -> Ipv4Addr {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    choose(&read("/proc/net/fib_trie"), &read("/proc/net/route")).unwrap_or(Ipv4Addr::LOCALHOST)
}

fn choose(fib_trie: &str, route: &str) -> Option<Ipv4Addr> {
    let addresses = local_addresses(fib_trie);
    let networks = default_networks(route);
    let reached =
        |address: &&Ipv4Addr| networks.iter().any(|(network, mask)| u32::from(**address) & mask == *network);
    addresses.iter().find(reached).or_else(|| addresses.first()).copied()
}

/// Addresses that the routing tables list as `/32 host LOCAL`.
fn local_addresses(fib_trie: &str) -> Vec<Ipv4Addr> {
    let mut last = None;
    let mut found = Vec::new();
    for line in fib_trie.lines() {
        if let Some(address) = line.trim_start().strip_prefix("|-- ") {
            last = address.trim().parse::<Ipv4Addr>().ok();
        } else if line.contains("/32 host LOCAL") {
            found.extend(last.filter(|address| !address.is_loopback() && !found.contains(address)));
        }
    }
    found
}

/// Network and mask of the interfaces that a default route goes out of.
fn default_networks(route: &str) -> Vec<(u32, u32)> {
    let rows: Vec<(&str, u32, u32)> = route
        .lines()
        .filter_map(|line| {
            let columns: Vec<&str> = line.split_ascii_whitespace().collect();
            // The kernel prints network byte order as if it were the host's.
            let number = |column: usize| {
                u32::from_str_radix(columns.get(column)?, 16)
                    .ok()
                    .map(|raw| u32::from_be_bytes(raw.to_ne_bytes()))
            };
            Some((*columns.first()?, number(1)?, number(7)?))
        })
        .collect();
    let default = |interface: &str| rows.iter().any(|row| row.0 == interface && row.2 == 0);
    rows.iter().filter(|row| row.2 != 0 && default(row.0)).map(|row| (row.1, row.2)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIE: &str = "Local:
  +-- 0.0.0.0/0 3 0 5
     |-- 127.0.0.1
        /32 host LOCAL
     |-- 172.17.0.1
        /32 host LOCAL
     |-- 192.168.1.0
        /24 link UNICAST
     |-- 192.168.1.20
        /32 host LOCAL
";
    const ROUTE: &str = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT
eth0 00000000 0101A8C0 0003 0 0 100 00000000 0 0 0
docker0 000011AC 00000000 0001 0 0 0 0000FFFF 0 0 0
eth0 0001A8C0 00000000 0001 0 0 100 00FFFFFF 0 0 0
";

    #[test]
    fn the_address_of_the_default_route_is_chosen() {
        assert_eq!(choose(TRIE, ROUTE), Some(Ipv4Addr::new(192, 168, 1, 20)));
        assert_eq!(choose(TRIE, ""), Some(Ipv4Addr::new(172, 17, 0, 1)));
        assert_eq!(choose("garbage\n|-- x\n /32 host LOCAL", "a b c\n\n"), None);
    }

    #[test]
    fn this_machine_has_a_name_and_an_address() {
        assert!(!host_name().is_empty() && !host_name().contains(char::is_whitespace));
        assert!(!local_ipv4().is_unspecified());
    }
}
