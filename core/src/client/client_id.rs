//! The id of a client: what brokers tell the members of a group apart by.

use std::hash::BuildHasher;

use crate::config::ClientOptions;

/// Who a client is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    /// `[room@]clientIP@instanceName[@unitName]`, towards brokers.
    pub id: String,
    /// The same, with `DEFAULT` where no instance name is given, as Apache's broadcasting clients have it: the same at
    /// the next start, for files that outlive the process.
    pub lasting: String,
}

impl Identity {
    /// `local_ip` is asked if the options do not tell the address.
    #[doc(alias = "buildMQClientId")]
    pub fn new(options: &ClientOptions, local_ip: impl FnOnce() -> Option<String>) -> Identity {
        let filled = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        let ip = filled(&options.client_ip).or_else(local_ip).unwrap_or_else(|| "127.0.0.1".into());
        let room = filled(&options.machine_room).map_or_else(String::new, |room| format!("{room}@"));
        let unit = filled(&options.unit_name).map_or_else(String::new, |unit| format!("@{unit}"));
        let id = |instance: &str| format!("{room}{ip}@{instance}{unit}");
        match filled(&options.instance_name) {
            Some(instance) => Identity { id: id(&instance), lasting: id(&instance) },
            None => Identity { id: id(&unique_instance()), lasting: id("DEFAULT") },
        }
    }
}

/// A name that no other client has: process ids repeat in containers, and so do addresses, so a random number tells
/// them apart.
fn unique_instance() -> String {
    // Its keys come from the system's random numbers.
    let random = std::hash::RandomState::new().hash_one(std::time::Instant::now());
    format!("{}#{random:016x}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn local() -> Option<String> {
        Some("10.0.0.9".into())
    }

    #[test]
    fn the_parts_are_those_of_the_options() {
        let mut options = ClientOptions { instance_name: Some("one".into()), ..ClientOptions::default() };
        assert_eq!(Identity::new(&options, local).id, "10.0.0.9@one");
        assert_eq!(Identity::new(&options, || None).id, "127.0.0.1@one");
        options.client_ip = Some("IDC1-CID-0".into());
        options.unit_name = Some("u".into());
        assert_eq!(Identity::new(&options, local).id, "IDC1-CID-0@one@u");
        options.machine_room = Some("r1".into());
        options.unit_name = Some(" ".into());
        let identity = Identity::new(&options, local);
        assert_eq!(
            (identity.id.as_str(), identity.lasting.as_str()),
            ("r1@IDC1-CID-0@one", "r1@IDC1-CID-0@one")
        );
    }

    #[test]
    fn clients_without_instance_name_never_have_the_same_id() {
        let options = ClientOptions::default();
        let all: BTreeSet<String> = (0..10_000).map(|_| Identity::new(&options, local).id).collect();
        assert_eq!(all.len(), 10_000);
        assert!(all.iter().all(|id| id.starts_with(&format!("10.0.0.9@{}#", std::process::id()))));
        assert_eq!(Identity::new(&options, local).lasting, "10.0.0.9@DEFAULT");
    }
}
