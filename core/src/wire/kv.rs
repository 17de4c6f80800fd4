//! The name server's table of keys and values.

use std::borrow::Cow;

use super::header::header;

header! {
    /// PUT_KV_CONFIG (100).
    #[doc(alias = "PutKVConfigRequestHeader")]
    PutKvConfig<'a> {
        /// The namespace.
        namespace: Cow<'a, str> = "namespace",
        /// The key.
        key: Cow<'a, str> = "key",
        /// The value.
        value: Cow<'a, str> = "value",
    }
}

header! {
    /// GET_KV_CONFIG (101). Answered with [`super::GetKvConfigResponse`].
    #[doc(alias = "GetKVConfigRequestHeader")]
    GetKvConfig<'a> {
        /// The namespace.
        namespace: Cow<'a, str> = "namespace",
        /// The key.
        key: Cow<'a, str> = "key",
    }
}

header! {
    /// The answer to GET_KV_CONFIG.
    #[doc(alias = "GetKVConfigResponseHeader")]
    GetKvConfigResponse {
        /// The value.
        value: Option<String> = "value",
    }
}

header! {
    /// DELETE_KV_CONFIG (102).
    #[doc(alias = "DeleteKVConfigRequestHeader")]
    DeleteKvConfig<'a> {
        /// The namespace.
        namespace: Cow<'a, str> = "namespace",
        /// The key.
        key: Cow<'a, str> = "key",
    }
}

header! {
    /// GET_KVLIST_BY_NAMESPACE (219). Answered with [`super::body::KvTable`].
    #[doc(alias = "GetKVListByNamespaceRequestHeader")]
    GetKvlistByNamespace<'a> {
        /// The namespace.
        namespace: Cow<'a, str> = "namespace",
    }
}
