//! Messages looked up by id (33) and by key (12). Apache's name: QueryMessageProcessor.

use crate::wire::{
    Body, QueryMessage, QueryMessageResponse, Response, ResponseCode, ResponseHeader, ViewMessageById,
};

use super::handler::refused;
use super::Broker;

/// VIEW_MESSAGE_BY_ID (33): the record at a commit-log offset.
pub(crate) fn view(broker: &Broker, request: &ViewMessageById<'_>) -> Response {
    match broker.store.record(request.offset) {
        Some(record) => Response::ok().with_body(Body::Bytes(record)),
        None => {
            let remark = format!("can not find message by the offset, {}", request.offset);
            refused(ResponseCode::SYSTEM_ERROR, remark)
        }
    }
}

/// QUERY_MESSAGE (12): candidates from the key index; clients compare topic and key again.
pub(crate) fn by_key(broker: &Broker, request: &QueryMessage<'_>) -> Response {
    let config = broker.config();
    let max = match request.unique_key_query.unwrap_or(false) {
        true => config.default_query_max_num,
        false => (request.max_num.max(0) as usize).min(config.max_msgs_num_batch),
    };
    let found = broker.store.query_key(
        &request.topic,
        &request.key,
        max,
        request.begin_timestamp,
        request.end_timestamp,
    );
    let header = ResponseHeader::QueryMessage(QueryMessageResponse {
        index_last_update_timestamp: found.last_update_timestamp,
        index_last_update_phyoffset: found.last_update_offset,
    });
    if found.records.is_empty() {
        let remark = "can not find message, maybe time range not correct";
        return refused(ResponseCode::QUERY_NOT_FOUND, remark).with_header(header);
    }
    Response::ok().with_header(header).with_body(Body::Chunks(found.records))
}
