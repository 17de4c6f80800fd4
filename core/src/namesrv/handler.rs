//! One match: a request of a broker, client or administrator to what answers it.

use super::kv::ORDER_TOPIC_CONFIG;
use super::routes::Routes;
use super::{register, settings, Namesrv};
use crate::net::Call;
use crate::wire::body::{GetBrokerMemberGroupResponseBody, KvTable, TopicList};
use crate::wire::{
    json, treatment, version, AddWritePermOfBrokerResponse, DecodeError, DeleteKvConfig,
    DeleteTopicInNamesrv, Frame, GetBrokerMemberGroup, GetKvConfig, GetKvConfigResponse, GetRouteinfoByTopic,
    PutKvConfig, QueryDataVersion, QueryDataVersionResponse, Request, RequestCode, Response, ResponseCode,
    UnregisterBroker, WipeWritePermOfBrokerResponse,
};

/// Where a request came from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller {
    /// Id of the connection.
    pub connection: u64,
    /// Version of the caller's library.
    pub version: i32,
}

/// What becomes of a request.
pub(super) enum Answer {
    /// This is the answer.
    Now(Response),
    /// SUCCESS once the change, already made in memory, is kept in its file.
    WhenSaved(Save),
}

/// A change to keep in a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Save {
    /// The KV table.
    Kv,
    /// These settings (keys and values).
    Settings(Vec<(String, String)>),
}

/// Answers a request.
pub(super) fn answer(namesrv: &Namesrv, call: &Call<'_>) -> Answer {
    let caller = Caller { connection: call.connection.id(), version: call.version() };
    answer_request(namesrv, call.code(), call.request(), call.frame(), caller)
}

/// Answers a request as it was read, of which `frame` holds the fields that have no struct.
fn answer_request(
    namesrv: &Namesrv,
    code: RequestCode,
    request: Result<Request<'_>, DecodeError>,
    frame: Option<&Frame<'_>>,
    caller: Caller,
) -> Answer {
    match request {
        Ok(Request::Other { code }) => Answer::Now(untyped(namesrv, frame, code)),
        Ok(request) => dispatch(namesrv, &request, caller),
        Err(_) if !treatment::is_answered(code, treatment::Peer::Namesrv) => Answer::Now(unsupported(code)),
        Err(error) => Answer::Now(Response::error(ResponseCode::SYSTEM_ERROR, error.to_string())),
    }
}

fn dispatch(namesrv: &Namesrv, request: &Request<'_>, caller: Caller) -> Answer {
    Answer::Now(match request {
        Request::RegisterBroker(request) => register::register(namesrv, request, caller),
        Request::UnregisterBroker(request) => unregister(namesrv, request),
        Request::QueryDataVersion(request) => query_data_version(namesrv, request),
        Request::GetRouteinfoByTopic(request) => route(namesrv, request, caller),
        Request::GetBrokerClusterInfo => unquoted(&namesrv.routes.read().cluster_info()),
        Request::GetBrokerMemberGroup(request) => member_group(namesrv, request),
        Request::WipeWritePermOfBroker(request) => wipe_write(namesrv, &request.broker_name),
        Request::AddWritePermOfBroker(request) => add_write(namesrv, &request.broker_name),
        Request::DeleteTopicInNamesrv(request) => delete_topic(namesrv, request),
        Request::GetAllTopicListFromNameserver => all_topics(namesrv),
        Request::GetTopicsByCluster(request) => {
            topic_list(namesrv, || namesrv.routes.read().topics_of_cluster(&request.cluster))
        }
        Request::GetSystemTopicListFromNs => topic_list(namesrv, || namesrv.routes.read().system_topics()),
        Request::PutKvConfig(request) => return put_kv(namesrv, request),
        Request::DeleteKvConfig(request) => return delete_kv(namesrv, request),
        Request::GetKvConfig(request) => get_kv(namesrv, request),
        Request::GetKvlistByNamespace(request) => kv_list(namesrv, &request.namespace),
        Request::GetNamesrvConfig => settings::read(namesrv),
        Request::UpdateNamesrvConfig(request) => return settings::update(namesrv, request.body),
        other => unsupported(other.code()),
    })
}

/// Codes that need no struct: without fields, or with fields of which one counts.
fn untyped(namesrv: &Namesrv, frame: Option<&Frame<'_>>, code: RequestCode) -> Response {
    let unit_topics = |list: fn(&Routes) -> TopicList| topic_list(namesrv, || list(&namesrv.routes.read()));
    match code {
        RequestCode::GET_UNIT_TOPIC_LIST => unit_topics(Routes::unit_topics),
        RequestCode::GET_HAS_UNIT_SUB_TOPIC_LIST => {
            unit_topics(|routes| routes.unit_subscribed_topics(false))
        }
        RequestCode::GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST => {
            unit_topics(|routes| routes.unit_subscribed_topics(true))
        }
        RequestCode::BROKER_HEARTBEAT => heartbeat(namesrv, frame),
        code => unsupported(code),
    }
}

fn unsupported(code: RequestCode) -> Response {
    let remark = treatment::unsupported(code, treatment::Peer::Namesrv);
    Response::error(ResponseCode::REQUEST_CODE_NOT_SUPPORTED, remark)
}

/// A body whose integer keys stand unquoted, as every reader of it expects.
fn unquoted<T: serde::Serialize>(body: &T) -> Response {
    Response::ok().with_body(json::to_old_vec(body))
}

fn strict<T: serde::Serialize>(body: &T) -> Response {
    Response::ok().with_body(json::to_vec(body))
}

fn unregister(namesrv: &Namesrv, request: &UnregisterBroker<'_>) -> Response {
    namesrv.routes.write().unregister(&request.cluster_name, &request.broker_name, &request.broker_addr);
    tracing::info!(name = %request.broker_name, address = %request.broker_addr, "broker unregistered");
    Response::ok()
}

/// A 5.x broker that can be acted for says so every second; what it counts besides concerns controllers.
fn heartbeat(namesrv: &Namesrv, frame: Option<&Frame<'_>>) -> Response {
    let field = |name| frame.and_then(|frame| frame.fields.get(name));
    let (Some(cluster), Some(address)) = (field("clusterName"), field("brokerAddr")) else {
        return Response::error(
            ResponseCode::SYSTEM_ERROR,
            "BROKER_HEARTBEAT needs clusterName and brokerAddr",
        );
    };
    namesrv.routes.write().heard_of(&cluster, &address, namesrv.clock.now_ms());
    Response::ok()
}

fn query_data_version(namesrv: &Namesrv, request: &QueryDataVersion<'_>) -> Response {
    let mut routes = namesrv.routes.write();
    // Whoever asks is alive; were it changed, the registration follows.
    routes.heard_of(&request.cluster_name, &request.broker_addr, namesrv.clock.now_ms());
    let known = routes.version(&request.cluster_name, &request.broker_addr);
    let changed = known.is_none() || known != request.body.as_ref();
    let response = known.map_or_else(Response::ok, strict);
    response.with_header(QueryDataVersionResponse { changed })
}

fn route(namesrv: &Namesrv, request: &GetRouteinfoByTopic<'_>, caller: Caller) -> Response {
    let Some(mut route) = namesrv.routes.read().route(&request.topic) else {
        let remark = format!("no broker that serves topic {} is registered here", request.topic);
        return Response::error(ResponseCode::TOPIC_NOT_EXIST, remark);
    };
    if namesrv.config().order_message_enable {
        let kv = namesrv.kv.lock();
        route.order_topic_conf = kv.get(ORDER_TOPIC_CONFIG, &request.topic).map(str::to_owned);
    }
    if caller.version >= version::V4_9_4 || request.accept_standard_json_only == Some(true) {
        strict(&route)
    } else {
        unquoted(&route)
    }
}

fn member_group(namesrv: &Namesrv, request: &GetBrokerMemberGroup<'_>) -> Response {
    let group = namesrv.routes.read().members(&request.cluster_name, &request.broker_name);
    unquoted(&GetBrokerMemberGroupResponseBody { broker_member_group: Some(group) })
}

fn wipe_write(namesrv: &Namesrv, name: &str) -> Response {
    let wipe_topic_count = namesrv.routes.write().wipe_write(name);
    tracing::warn!(name, wipe_topic_count, "broker is no longer written to");
    Response::ok().with_header(WipeWritePermOfBrokerResponse { wipe_topic_count })
}

fn add_write(namesrv: &Namesrv, name: &str) -> Response {
    let add_topic_count = namesrv.routes.write().add_write(name);
    tracing::warn!(name, add_topic_count, "broker is written to again");
    Response::ok().with_header(AddWritePermOfBrokerResponse { add_topic_count })
}

fn delete_topic(namesrv: &Namesrv, request: &DeleteTopicInNamesrv<'_>) -> Response {
    let cluster = request.cluster_name.as_deref().filter(|cluster| !cluster.is_empty());
    namesrv.routes.write().delete_topic(&request.topic, cluster);
    tracing::info!(topic = %request.topic, cluster, "topic deleted");
    Response::ok()
}

fn all_topics(namesrv: &Namesrv) -> Response {
    if !namesrv.config().enable_all_topic_list {
        return switched_off("enableAllTopicList");
    }
    strict(&namesrv.routes.read().topics())
}

fn topic_list(namesrv: &Namesrv, list: impl FnOnce() -> TopicList) -> Response {
    if !namesrv.config().enable_topic_list {
        return switched_off("enableTopicList");
    }
    strict(&list())
}

fn switched_off(key: &str) -> Response {
    Response::error(ResponseCode::SYSTEM_ERROR, format!("switched off on this name server by {key}=false"))
}

fn put_kv(namesrv: &Namesrv, request: &PutKvConfig<'_>) -> Answer {
    let (namespace, key, value) = (&*request.namespace, &*request.key, &*request.value);
    namesrv.kv.lock().put(namespace, key, value);
    tracing::info!(namespace, key, value, "KV configuration set");
    Answer::WhenSaved(Save::Kv)
}

fn delete_kv(namesrv: &Namesrv, request: &DeleteKvConfig<'_>) -> Answer {
    let (namespace, key) = (&*request.namespace, &*request.key);
    namesrv.kv.lock().delete(namespace, key);
    tracing::info!(namespace, key, "KV configuration deleted");
    Answer::WhenSaved(Save::Kv)
}

fn get_kv(namesrv: &Namesrv, request: &GetKvConfig<'_>) -> Response {
    match namesrv.kv.lock().get(&request.namespace, &request.key) {
        Some(value) => Response::ok().with_header(GetKvConfigResponse { value: Some(value.to_owned()) }),
        None => {
            let remark = format!("namespace {} has no key {}", request.namespace, request.key);
            Response::error(ResponseCode::QUERY_NOT_FOUND, remark)
        }
    }
}

fn kv_list(namesrv: &Namesrv, namespace: &str) -> Response {
    match namesrv.kv.lock().namespace(namespace) {
        Some(table) => strict(&KvTable { table: table.clone() }),
        None => Response::error(ResponseCode::QUERY_NOT_FOUND, format!("there is no namespace {namespace}")),
    }
}

#[cfg(test)]
#[path = "handler_tests.rs"]
mod tests;
