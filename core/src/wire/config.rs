//! Settings of a running broker or name server. GET_BROKER_CONFIG (26), GET_BROKER_RUNTIME_INFO (28) and
//! GET_NAMESRV_CONFIG (319) have neither fields nor body.

use std::borrow::Cow;

use super::header::header;

header! {
    /// UPDATE_BROKER_CONFIG (25). The body is lines `key=value`.
    UpdateBrokerConfig<'a> {}
    body: &'a [u8];
}

header! {
    /// UPDATE_NAMESRV_CONFIG (318). The body is lines `key=value`.
    UpdateNamesrvConfig<'a> {}
    body: &'a [u8];
}

header! {
    /// FERROMQ_BACKUP (29001): a copy of the broker's directory while it runs. Apache has no such request. Answered with
    /// [`super::body::BackupMade`].
    FerromqBackup<'a> {
        /// Name of the directory that is made below the broker's `backupPath`.
        name: Cow<'a, str> = "name",
        /// Whether files that never change again are copied too, rather than linked.
        copy: bool = "copy" or false,
    }
}

header! {
    /// The answer to GET_BROKER_CONFIG. The body is lines `key=value`.
    #[doc(alias = "GetBrokerConfigResponseHeader")]
    GetBrokerConfigResponse {
        /// The settings' data version, as JSON.
        version: String = "version",
    }
}
