//! A broker's registration, code 103: the body is checked and read, then the tables take it in.

use super::handler::Caller;
use super::kv::ORDER_TOPIC_CONFIG;
use super::routes::Registration;
use super::Namesrv;
use crate::wire::body::{register_broker_crc, KvTable, RegisterBrokerBody, TopicConfig};
use crate::wire::{json, RegisterBroker, RegisterBrokerResponse, Response, ResponseCode};

pub(super) fn register(namesrv: &Namesrv, request: &RegisterBroker<'_>, caller: Caller) -> Response {
    if let Err(remark) = check(request) {
        return Response::error(ResponseCode::SYSTEM_ERROR, remark);
    }
    let body = match RegisterBrokerBody::decode(request.body, request.compressed, caller.version) {
        Ok(body) => body,
        Err(error) => {
            let remark = format!("registration body of broker {}: {error}", request.broker_name);
            return Response::error(ResponseCode::SYSTEM_ERROR, remark);
        }
    };
    let table = body.topic_config_serialize_wrapper;
    let topics: Vec<TopicConfig> = table.topic_config_table.into_values().collect();
    let registration = Registration {
        cluster: &request.cluster_name,
        name: &request.broker_name,
        id: request.broker_id,
        address: &request.broker_addr,
        ha_address: request.ha_server_addr.as_deref().unwrap_or_default(),
        timeout_ms: request.heartbeat_timeout_millis,
        acting_master: request.enable_acting_master.unwrap_or(false),
        version: table.data_version,
        topics: &topics,
        filter_servers: body.filter_server_list,
        connection: caller.connection,
    };
    let registered = namesrv.routes.write().register(registration, namesrv.clock.now_ms());
    match registered {
        Ok(master) => {
            let header = RegisterBrokerResponse {
                ha_server_addr: master.as_ref().map(|master| master.ha_address.clone()),
                master_addr: master.map(|master| master.address),
            };
            with_order_table(namesrv, Response::ok().with_header(header))
        }
        Err(remark) => Response::error(ResponseCode::SYSTEM_ERROR, remark),
    }
}

fn check(request: &RegisterBroker<'_>) -> Result<(), String> {
    let named = [
        ("clusterName", &request.cluster_name),
        ("brokerName", &request.broker_name),
        ("brokerAddr", &request.broker_addr),
    ];
    if let Some((field, _)) = named.iter().find(|(_, value)| value.is_empty()) {
        return Err(format!("a broker cannot register with an empty {field}"));
    }
    // 0 is what a broker sends that does not compute it.
    let found = register_broker_crc(request.body);
    if request.body_crc32 != 0 && request.body_crc32 != found {
        return Err(format!("crc32 not match: the body has {found}, bodyCrc32 says {}", request.body_crc32));
    }
    Ok(())
}

/// Brokers copy the order table into their topics, so every registration's answer carries it.
fn with_order_table(namesrv: &Namesrv, response: Response) -> Response {
    if !namesrv.config().return_order_topic_config_to_broker {
        return response;
    }
    match namesrv.kv.lock().namespace(ORDER_TOPIC_CONFIG) {
        Some(table) => response.with_body(json::to_vec(&KvTable { table: table.clone() })),
        None => response,
    }
}
