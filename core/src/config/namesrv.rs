//! Settings of the name server.

use std::path::PathBuf;

use super::address::home;
use super::table::settings;
use super::table::Allowed::{Any, Filled, Range};
use super::tls::{ClientAuth, Secret, TlsMode, TLS_FILE};

settings! {
    /// Settings of the name server: Apache's keys in Rust's spelling, one field a key.
    NamesrvConfig of Namesrv {
        "listenPort" listen_port: u16 = 9876, Any, AtStart,
            "Port to listen on; 0 picks a free one.";
        "bindAddress" bind_address: String = "0.0.0.0".into(), Filled, AtStart,
            "Local address to listen on; 0.0.0.0 is every one.";
        "kvConfigPath" kv_config_path: PathBuf = home().join("namesrv/kvConfig.json"), Any, AtStart,
            "File of the KV table.";
        "configStorePath" config_store_path: PathBuf = home().join("namesrv/namesrv.properties"), Any, AtStart,
            "Settings file that changes made by admin requests are kept in; the file read at the start if there was one.";
        "scanNotActiveBrokerInterval" scan_not_active_broker_interval: i64 = 10_000, Range(100, i32::MAX as i64), Live,
            "Milliseconds between two looks for brokers that no longer send heartbeats.";
        "orderMessageEnable" order_message_enable: bool = false, Any, Live,
            "Whether routes carry the queue counts that the KV namespace ORDER_TOPIC_CONFIG holds for ordered topics.";
        "returnOrderTopicConfigToBroker" return_order_topic_config_to_broker: bool = true, Any, Live,
            "Whether brokers get the KV namespace ORDER_TOPIC_CONFIG when they register.";
        "enableAllTopicList" enable_all_topic_list: bool = true, Any, Live,
            "Whether the list of all topics is given out.";
        "enableTopicList" enable_topic_list: bool = true, Any, Live,
            "Whether the lists of topics by cluster, of system topics and of unit topics are given out.";
        "configBlackList" config_black_list: String = "configBlackList;configStorePath;kvConfigPath".into(), Any, AtStart,
            "Keys, separated by ;, that admin requests must not change.";
        "serverChannelMaxIdleTimeSeconds" server_channel_max_idle_time_seconds: u32 = 120, Range(1, i32::MAX as i64), AtStart,
            "Seconds of silence after which a connection is closed.";
        "com.rocketmq.remoting.frameMaxLength" frame_max_length: usize = 16_777_216, Range(1024, i32::MAX as i64), AtStart,
            "Largest frame accepted, in bytes.";
        "maxConnections" max_connections: usize = 65_536, Range(1, i32::MAX as i64), AtStart,
            "Most connections at a time; further ones are closed at once.";
        "maxConnectionMemory" max_connection_memory: usize = 256 << 20, Range(1 << 20, 1 << 50), AtStart,
            "Most bytes that frames partly received and answers not yet read take, of all connections together. Above it large \
             frames wait for their turn, and connections that hold much and do not move are closed.";
        "tls.server.mode" tls_server_mode: TlsMode = TlsMode::Permissive, Any, AtStart,
            "What ports make of TLS: plain text only, both (the first byte of a connection decides), or TLS only.";
        "tls.test.mode.enable" tls_test_mode_enable: bool = false, Any, AtStart,
            "Whether ports show a self-signed certificate although another one is named.";
        "tls.config.file" tls_config_file: PathBuf = TLS_FILE.into(), Any, AtStart,
            "Properties file with keys of TLS, which stand above those set here; nothing happens if the default is not there.";
        "tls.server.certPath" tls_server_cert_path: Option<PathBuf> = None, Any, AtStart,
            "The ports' certificate and those that lead to its CA, PEM; a self-signed one is made at first use unless set. \
             Changed files are taken up while it runs.";
        "tls.server.keyPath" tls_server_key_path: Option<PathBuf> = None, Any, AtStart,
            "Its private key, PEM.";
        "tls.server.keyPassword" tls_server_key_password: Option<Secret> = None, Any, AtStart,
            "Password of that key if it is encrypted (PKCS#8).";
        "tls.server.need.client.auth" tls_server_need_client_auth: ClientAuth = ClientAuth::None, Any, AtStart,
            "Whether clients are asked for a certificate: none, optional, require.";
        "tls.server.authClient" tls_server_auth_client: bool = true, Any, AtStart,
            "Whether clients' certificates are verified where they are asked for; false takes any (Apache's default).";
        "tls.server.trustCertPath" tls_server_trust_cert_path: Option<PathBuf> = None, Any, AtStart,
            "Certificates of CAs whose clients are trusted, PEM.";
    }
}

impl NamesrvConfig {
    /// Whether `key` is among those that admin requests must not change.
    pub fn is_black_listed(&self, key: &str) -> bool {
        self.config_black_list.split(';').any(|listed| listed.trim() == key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_apaches_is_read() {
        let text = "#sample\nlistenPort=26500\nkvConfigPath=./namesrv/kvConfig.json\norderMessageEnable=true\nclusterTest=false\n";
        let config = NamesrvConfig::from_text(text, "namesrv.properties").unwrap();
        assert_eq!(config.listen_port, 26500);
        assert!(config.order_message_enable);
        assert_eq!(
            config.warnings,
            ["namesrv.properties line 5: clusterTest is a key of Apache RocketMQ that is not obeyed yet"]
        );
        assert!(config.is_black_listed("kvConfigPath") && !config.is_black_listed("orderMessageEnable"));
    }

    #[test]
    fn a_key_of_the_broker_is_told_where_it_belongs() {
        let config = NamesrvConfig::from_text("brokerName=a", "f").unwrap();
        assert_eq!(config.warnings, ["f line 1: brokerName is a key of the broker, it does nothing here"]);
    }
}
