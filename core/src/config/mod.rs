//! Settings: Apache's keys, files and defaults, over one table of keys that files, command line, admin requests and
//! documentation share.
//!
//! [`BrokerConfig`], [`NamesrvConfig`], [`ClientOptions`], [`ProducerOptions`] and [`ConsumerOptions`] are the tables. A key stands in one of them only if something obeys it; the
//! other keys that Apache knows are listed in `known`, so that a file which uses one is told so.

pub mod address;
mod broker;
mod client;
mod client_value;
pub mod file;
mod known;
mod namesrv;
pub mod properties;
mod table;
pub mod tls;
mod value;

pub use broker::BrokerConfig;
pub use client::{ClientOptions, ConsumerOptions, ProducerOptions};
pub use client_value::{
    AllocationStrategy, CompressionType, MessageModel, SerializeType, StartFrom, Timestamp,
};
pub use namesrv::NamesrvConfig;
pub(crate) use table::unobeyed_by;
pub use table::{find, Allowed, Change, Key, Process};
pub use tls::{ClientAuth, Secret, TlsClientSettings, TlsMode, TlsServerSettings};
pub use value::{delay_levels, BrokerRole, DelayLevels, DeleteHours, FlushDiskType};

/// All keys that something obeys: those of the broker, the name server, clients, producers, consumers.
pub const KEYS: [&[Key]; 5] = [
    BrokerConfig::KEYS,
    NamesrvConfig::KEYS,
    ClientOptions::KEYS,
    ProducerOptions::KEYS,
    ConsumerOptions::KEYS,
];

/// What a process writes at its start about a file or command line it read: one line a finding.
pub fn report(warnings: &[String]) {
    for warning in warnings {
        tracing::warn!("settings: {warning}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_documented_and_has_a_default_that_it_allows() {
        for key in KEYS.iter().flat_map(|keys| keys.iter()) {
            assert!(key.doc.ends_with('.') && key.doc.len() > 10, "{}: {}", key.name, key.doc);
            let default = (key.default)();
            let fresh = match key.process {
                Process::Broker => BrokerConfig::default().set(key.name, &default).err(),
                Process::Namesrv => NamesrvConfig::default().set(key.name, &default).err(),
                Process::Client => ClientOptions::default().set(key.name, &default).err(),
                Process::Producer => ProducerOptions::default().set(key.name, &default).err(),
                Process::Consumer => ConsumerOptions::default().set(key.name, &default).err(),
            };
            if !default.is_empty() {
                assert!(fresh.is_none(), "{} = {default:?}: {fresh:?}", key.name);
            }
        }
    }
}
