//! Asking a broker whether it takes a filter expression.

use super::{Shared, Subscription};
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
        let Err(error) = self.cluster.call(address, "subscribe", &request) else { return Ok(()) };
        let Some(code) = error.code() else { return Err(error) };
        let context = format!(
            "the broker at {address} refuses the {} expression {:?} for topic {}: {}",
            subscription.expression_type(),
            subscription.expression(),
            subscription.topic(),
            error.context()
        );
        Err(Error::remote("subscribe", code, context))
    }
}
