//! What is left of traces where the program was built without them: nothing.

use std::convert::Infallible;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use prometheus_client::registry::Registry;

use crate::rollout::{Observation, Plan};

/// Where spans would go.
#[derive(Clone, Debug, Default, clap::Args)]
pub(in crate::operator) struct To {}

/// Never: nothing is sent.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct NoCollector(Infallible);

/// Tells of nothing.
#[derive(Clone, Debug, Default)]
pub(in crate::operator) struct Traces(());

impl Traces {
    #[expect(
        clippy::unnecessary_wraps,
        reason = "the one that sends may find no way to the collector"
    )]
    pub(in crate::operator) fn begin(_: &To, _: String) -> Result<Self, NoCollector> {
        Ok(Self(()))
    }

    #[expect(
        clippy::unused_self,
        reason = "the one that sends counts what it sends"
    )]
    pub(in crate::operator) fn register(&self, _: &mut Registry) {}

    #[expect(clippy::unused_self, reason = "the one that sends has a queue")]
    pub(in crate::operator) fn tell(&self, _: &ObjectMeta, _: &Observation, _: &Plan) {}

    #[expect(
        clippy::unused_async,
        reason = "the one that sends has something to send"
    )]
    pub(in crate::operator) async fn finish(&self) {}
}
