//! DescribeCluster (60): the brokers and the controller.
//!
//! In: a request. Out: its response at once, from the committed image.

use kafka_protocol::messages::{
    self as wire, DescribeClusterRequest, DescribeClusterResponse,
    describe_cluster_response::DescribeClusterBroker,
};

use super::text;
use crate::broker::Broker;
use crate::broker::effects::RequestId;
use crate::error::ErrorCode;

/// The endpoint type of brokers, the only one that a node has.
const BROKERS: i8 = 1;

impl Broker {
    pub(super) fn handle_describe_cluster(
        &mut self,
        request: RequestId,
        version: i16,
        body: &DescribeClusterRequest,
    ) {
        if version >= 1 && body.endpoint_type != BROKERS {
            let code = ErrorCode::UnsupportedEndpointType.code();
            let response = DescribeClusterResponse::default().with_error_code(code);
            return self.respond(request, response);
        }
        let with_fenced = version >= 2 && body.include_fenced_brokers;
        let listed = self
            .image
            .brokers()
            .iter()
            .filter(|broker| with_fenced || !broker.fenced);
        let brokers = listed.filter_map(|broker| {
            let endpoint = broker.endpoints.first()?;
            let answer = DescribeClusterBroker::default()
                .with_broker_id(wire::BrokerId(broker.broker_id.0))
                .with_host(text(&endpoint.host))
                .with_port(i32::from(endpoint.port))
                .with_rack(broker.rack.as_deref().map(text));
            Some(if version >= 2 {
                answer.with_is_fenced(broker.fenced)
            } else {
                answer
            })
        });
        let response = DescribeClusterResponse::default()
            .with_cluster_id(text(&self.settings.cluster_id))
            .with_controller_id(wire::BrokerId(self.visible_controller()))
            .with_brokers(brokers.collect());
        self.respond(request, response);
    }
}
