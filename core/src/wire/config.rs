//! Settings of a running broker or name server. GET_BROKER_CONFIG (26), GET_BROKER_RUNTIME_INFO (28) and
//! GET_NAMESRV_CONFIG (319) have neither fields nor body.

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
    /// The answer to GET_BROKER_CONFIG. The body is lines `key=value`.
    #[doc(alias = "GetBrokerConfigResponseHeader")]
    GetBrokerConfigResponse {
        /// The settings' data version, as JSON.
        version: String = "version",
    }
}
