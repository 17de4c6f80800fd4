//! The name server's own settings over the wire: read (319) and changed (318).

use super::handler::{Answer, Save};
use super::Namesrv;
use crate::config::properties;
use crate::wire::{Response, ResponseCode};

pub(super) fn read(namesrv: &Namesrv) -> Response {
    let text = namesrv.config().to_properties_text();
    Response::ok().with_body(text.into_bytes())
}

/// Changes settings by the text of a properties file; all entries or, if one is refused, none.
pub(super) fn update(namesrv: &Namesrv, body: &[u8]) -> Answer {
    let refuse = |code, remark: String| Answer::Now(Response::error(code, remark));
    let Ok(text) = std::str::from_utf8(body) else {
        return refuse(ResponseCode::SYSTEM_ERROR, "the settings are not UTF-8 text".into());
    };
    let changes: Vec<(String, String)> = match properties::parse(text, "request body") {
        Ok(entries) => entries.into_iter().map(|entry| (entry.key, entry.value)).collect(),
        Err(error) => return refuse(ResponseCode::SYSTEM_ERROR, error.to_string()),
    };
    if changes.is_empty() {
        return Answer::Now(Response::ok());
    }
    let mut config = namesrv.config.write();
    if let Some((key, _)) = changes.iter().find(|(key, _)| config.is_black_listed(key)) {
        let remark = format!("{key} is on configBlackList, the settings that no request may change");
        return refuse(ResponseCode::NO_PERMISSION, remark);
    }
    match config.updated(&changes) {
        Ok(updated) => *config = updated.into(),
        Err(error) => return refuse(ResponseCode::SYSTEM_ERROR, error.to_string()),
    }
    tracing::info!(?changes, "settings changed");
    Answer::WhenSaved(Save::Settings(changes))
}
