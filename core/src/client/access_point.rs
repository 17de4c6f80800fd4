//! The forms in which the address of a cluster is given.

use crate::{Error, ErrorKind, Result};

/// The environment variable that holds the name servers when none are given.
const ENVIRONMENT: &str = "NAMESRV_ADDR";

/// Names of instances in the cloud begin with this.
const INSTANCE: &str = "MQ_INST_";

/// Where a cluster is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AccessPoint {
    /// Name servers, `host:port` separated by `;`.
    pub name_servers: String,
    /// The instance's namespace, where the address names one.
    pub namespace: Option<String>,
}

impl AccessPoint {
    /// Reads an address; that of the environment variable `NAMESRV_ADDR` if `text` is empty.
    ///
    /// - `host:port;host:port`: name servers.
    /// - `http://host:port` (or another scheme): a name server. If the host begins with an instance's id,
    ///   `MQ_INST_x_y.`, that is the namespace; so it is without scheme.
    /// - `oms:rocketmq://user@host:port,host:port/region:namespace`: an access point of OpenMessaging. What stands
    ///   after the hosts is for other drivers, as in Apache's.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if there is no address at all, or one of another driver.
    pub fn read(text: &str) -> Result<AccessPoint> {
        AccessPoint::read_or(text, || std::env::var(ENVIRONMENT).ok())
    }

    fn read_or(text: &str, environment: impl FnOnce() -> Option<String>) -> Result<AccessPoint> {
        let filled = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        match filled(text).or_else(|| filled(&environment()?)) {
            Some(text) => AccessPoint::parse(&text),
            None => Err(wrong(format!(
                "no name server address is given: pass host:port (such as 127.0.0.1:9876), set namesrvAddr or the \
                 environment variable {ENVIRONMENT}"
            ))),
        }
    }

    fn parse(text: &str) -> Result<AccessPoint> {
        if let Some(driver) = text.strip_prefix("oms:") {
            return open_messaging(text, driver);
        }
        let Some((_, rest)) = text.split_once("://") else {
            return Ok(AccessPoint { name_servers: text.into(), namespace: instance(text) });
        };
        let host = rest.split('/').next().unwrap_or_default();
        if host.is_empty() {
            return Err(wrong(format!("{text:?} names no host; write http://host:port or host:port")));
        }
        Ok(AccessPoint { name_servers: host.into(), namespace: instance(host) })
    }
}

fn open_messaging(text: &str, driver: &str) -> Result<AccessPoint> {
    let Some(rest) = driver.strip_prefix("rocketmq://") else {
        return Err(wrong(format!("{text:?} is for another driver; write oms:rocketmq://host:port/")));
    };
    let hosts = rest.split('/').next().unwrap_or_default();
    let hosts = hosts.rsplit_once('@').map_or(hosts, |(_, hosts)| hosts);
    if hosts.is_empty() {
        return Err(wrong(format!("{text:?} names no host; write oms:rocketmq://host:port/")));
    }
    Ok(AccessPoint { name_servers: hosts.replace(',', ";"), namespace: None })
}

/// `MQ_INST_x_y` of `MQ_INST_x_y.domain`.
fn instance(host: &str) -> Option<String> {
    let (name, _) = host.split_once('.')?;
    let rest = name.strip_prefix(INSTANCE)?;
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let has_two_parts = rest.get(1..rest.len().checked_sub(1)?)?.contains('_');
    (has_two_parts && rest.chars().all(is_word)).then(|| name.into())
}

fn wrong(what: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, "connect", what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (String, Option<String>) {
        let point = AccessPoint::read(text).unwrap();
        (point.name_servers, point.namespace)
    }

    /// As ClientConfig of rocketmq-client 5.3.3 answers for the same addresses, where it can use them.
    #[test]
    fn addresses_of_name_servers_and_instances() {
        let plain = |servers: &str| (servers.to_owned(), None);
        let instance = |servers: &str, name: &str| (servers.to_owned(), Some(name.to_owned()));
        assert_eq!(read("127.0.0.1:9876"), plain("127.0.0.1:9876"));
        assert_eq!(read(" a:1;b:2 "), plain("a:1;b:2"));
        assert_eq!(read("http://ns.example.com:8080"), plain("ns.example.com:8080"));
        let cloud = "MQ_INST_123_abc.cn.example.com:80";
        assert_eq!(read(&format!("http://{cloud}")), instance(cloud, "MQ_INST_123_abc"));
        assert_eq!(read(cloud), instance(cloud, "MQ_INST_123_abc"));
        assert_eq!(read("http://MQ_INST_a.b:1"), plain("MQ_INST_a.b:1"));
        // These Apache leaves as they are, so that they do not connect.
        assert_eq!(read("https://MQ_INST_9_z.h:443/"), instance("MQ_INST_9_z.h:443", "MQ_INST_9_z"));
    }

    #[test]
    fn the_environment_counts_where_nothing_is_given() {
        let read = |text: &str, environment: Option<&str>| {
            AccessPoint::read_or(text, || environment.map(String::from)).map(|point| point.name_servers)
        };
        assert_eq!(read("a:1", Some("b:2")).unwrap(), "a:1");
        assert_eq!(read(" ", Some("b:2 ")).unwrap(), "b:2");
        for nothing in [None, Some(" ")] {
            let error = read("", nothing).unwrap_err();
            assert!(
                error.context().contains("NAMESRV_ADDR") && error.context().contains("host:port"),
                "{error}"
            );
        }
    }

    #[test]
    fn access_points_of_open_messaging() {
        for text in [
            "oms:rocketmq://10.0.0.1:9876/default:default",
            "oms:rocketmq://alice@10.0.0.1:9876",
            "oms:rocketmq://10.0.0.1:9876/",
        ] {
            assert_eq!(read(text), ("10.0.0.1:9876".to_owned(), None), "{text}");
        }
        assert_eq!(read("oms:rocketmq://a:1,b:2/us:ns").0, "a:1;b:2");
    }

    #[test]
    fn what_is_no_address_is_told_what_is() {
        for (text, told) in
            [("oms:kafka://a:1", "another driver"), ("oms:rocketmq:///x", "no host"), ("http://", "no host")]
        {
            let error = AccessPoint::read(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.context().contains(told), "{error}");
        }
        for odd in ["MQ_INST_.x:1", "MQ_INST__.x:1", "MQ_INST_é_é.x:1", "MQ_INST_", "://", "é://é"] {
            let _ = AccessPoint::read(odd);
        }
    }
}
