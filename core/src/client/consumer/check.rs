//! Asking a broker whether it takes a filter expression.

use super::{Shared, Subscription};
use crate::filter::{SqlExpression, SyntaxError};
use crate::wire::body::CheckClientRequestBody;
use crate::wire::{CheckClientConfig, Request};
use crate::{Error, ErrorKind, Result};

impl Shared {
    /// Has a broker of the topic judge the expression.
    ///
    /// # Errors
    /// With the broker's reason.
    pub(super) fn check(&self, subscription: &Subscription) -> Result<()> {
        let route = match self.cluster.route(subscription.topic()) {
            // It is judged with the first pull then.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            route => route?,
        };
        let Some(address) = route.brokers.values().find_map(|set| set.values().next()) else { return Ok(()) };
        let request = Request::CheckClientConfig(CheckClientConfig {
            body: CheckClientRequestBody {
                client_id: self.cluster.client_id().into(),
                group: self.group().unwrap_or_default().into(),
                subscription_data: subscription.data(self.cluster.now_ms()),
            },
        });
        let compiled = SqlExpression::parse(subscription.expression());
        if let Some(ignored) = compiled.as_ref().ok().and_then(SqlExpression::ignored) {
            let (topic, expression) = (subscription.topic(), subscription.expression());
            tracing::warn!(topic, expression, ignored, "brokers ignore the end of this SQL92 expression");
        }
        let Err(error) = self.cluster.call(address, "subscribe", &request) else { return Ok(()) };
        let Some(code) = error.code() else { return Err(error) };
        let context = format!(
            "the broker at {address} refuses the {} expression {:?} for topic {}: {}{}",
            subscription.expression_type(),
            subscription.expression(),
            subscription.topic(),
            error.context(),
            where_it_fails(error.context(), compiled)
        );
        Err(Error::remote("subscribe", code, context))
    }
}

/// What the broker's words may lack: Apache's do not say where an expression is wrong. What counts is the broker's answer;
/// nothing is refused here that it takes.
fn where_it_fails(said: &str, compiled: Result<SqlExpression, SyntaxError>) -> String {
    match compiled {
        Err(error) if !said.contains(&error.to_string()) => format!("; {error}"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_and_reason_are_told_once() {
        let wrong = || SqlExpression::parse("a >");
        let reason = wrong().unwrap_err().to_string();
        assert_eq!(where_it_fails("parse failed", wrong()), format!("; {reason}"));
        assert_eq!(where_it_fails(&format!("does not compile: {reason}"), wrong()), "");
        assert_eq!(where_it_fails("not supported", SqlExpression::parse("a > 1")), "");
    }
}
