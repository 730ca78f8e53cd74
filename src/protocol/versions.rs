//! The one table of the API versions that a node serves, and the answer that tells a client.
//!
//! In: an API key and a version. Out: served or not, and ApiVersions' body. Source:
//! KIP-511 (the downgrade answer), `reference/kafka.md` §6.2.

use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse};

use crate::error::ErrorCode;

/// Who calls an API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Clients; ApiVersions lists it.
    Client,
    /// Brokers and the metadata quorum; ApiVersions leaves it out.
    Internal,
}

/// One row: an API with its served versions, both ends inclusive.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// The API.
    pub api: ApiKey,
    /// The oldest version.
    pub min: i16,
    /// The newest version.
    pub max: i16,
    /// Who calls it.
    pub audience: Audience,
}

const fn client(api: ApiKey, min: i16, max: i16) -> Served {
    Served {
        api,
        min,
        max,
        audience: Audience::Client,
    }
}

const fn internal(api: ApiKey, min: i16, max: i16) -> Served {
    Served {
        api,
        min,
        max,
        audience: Audience::Internal,
    }
}

/// Every served API. Its versions are those of the schemas in use, not wishes.
pub const SERVED: &[Served] = &[
    client(ApiKey::Produce, 3, 12),
    client(ApiKey::Fetch, 4, 18),
    client(ApiKey::ListOffsets, 1, 6),
    client(ApiKey::Metadata, 0, 13),
    client(ApiKey::OffsetCommit, 2, 9),
    client(ApiKey::OffsetFetch, 1, 9),
    client(ApiKey::FindCoordinator, 0, 4),
    client(ApiKey::JoinGroup, 0, 9),
    client(ApiKey::Heartbeat, 0, 4),
    client(ApiKey::LeaveGroup, 0, 5),
    client(ApiKey::SyncGroup, 0, 5),
    client(ApiKey::DescribeGroups, 0, 6),
    client(ApiKey::ListGroups, 0, 5),
    client(ApiKey::ApiVersions, 0, 4),
    client(ApiKey::CreateTopics, 2, 7),
    client(ApiKey::DeleteTopics, 1, 6),
    client(ApiKey::InitProducerId, 0, 4),
    client(ApiKey::OffsetForLeaderEpoch, 2, 4),
    client(ApiKey::DescribeConfigs, 1, 4),
    client(ApiKey::AlterConfigs, 0, 2),
    client(ApiKey::IncrementalAlterConfigs, 0, 1),
    client(ApiKey::DescribeCluster, 0, 2),
    client(ApiKey::DeleteGroups, 0, 2),
    client(ApiKey::OffsetDelete, 0, 0),
    internal(ApiKey::Vote, 2, 2),
    internal(ApiKey::BeginQuorumEpoch, 1, 1),
    internal(ApiKey::EndQuorumEpoch, 1, 1),
    internal(ApiKey::AlterPartition, 3, 3),
    internal(ApiKey::FetchSnapshot, 1, 1),
    internal(ApiKey::BrokerRegistration, 4, 4),
    internal(ApiKey::BrokerHeartbeat, 1, 1),
    internal(ApiKey::AllocateProducerIds, 0, 0),
    internal(ApiKey::AssignReplicasToDirs, 0, 0),
];

/// The row of `api`, if the node serves it at all.
pub fn served(api: ApiKey) -> Option<&'static Served> {
    SERVED.iter().find(|row| row.api == api)
}

/// Whether the node serves `version` of `api`.
pub fn is_served(api: ApiKey, version: i16) -> bool {
    served(api).is_some_and(|row| (row.min..=row.max).contains(&version))
}

/// The newest version of `api` that the node serves: what brokers send each other.
///
/// Panics if the table has no such row: callers name an API at compile time.
pub fn newest(api: ApiKey) -> i16 {
    served(api).map_or_else(
        || panic!("invariant: {api:?} is in the table"),
        |row| row.max,
    )
}

/// The answer to an ApiVersions request of a served version.
pub fn api_versions(request: &ApiVersionsRequest, version: i16) -> ApiVersionsResponse {
    let named = is_software_name(&request.client_software_name)
        && is_software_name(&request.client_software_version);
    if version >= 3 && !named {
        return ApiVersionsResponse::default().with_error_code(ErrorCode::InvalidRequest.code());
    }
    ApiVersionsResponse::default().with_api_keys(advertised())
}

/// The answer to an ApiVersions request of an unknown version: body version 0, with all the keys,
/// so that the client can choose again (KIP-511).
pub fn api_versions_downgrade() -> ApiVersionsResponse {
    ApiVersionsResponse::default()
        .with_error_code(ErrorCode::UnsupportedVersion.code())
        .with_api_keys(advertised())
}

fn advertised() -> Vec<ApiVersion> {
    let rows = SERVED.iter().filter(|row| row.audience == Audience::Client);
    rows.map(|row| {
        // librdkafka reads compression support off Produce v0 (KAFKA-18659), served or not.
        let min = if row.api == ApiKey::Produce {
            0
        } else {
            row.min
        };
        ApiVersion::default()
            .with_api_key(row.api as i16)
            .with_min_version(min)
            .with_max_version(row.max)
    })
    .collect()
}

/// `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`
fn is_software_name(name: &str) -> bool {
    let ends_well = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    ends_well(name.chars().next())
        && ends_well(name.chars().next_back())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_lies_within_the_schemas() {
        for row in SERVED {
            let schema = row.api.valid_versions();
            assert!(schema.min <= row.min && row.min <= row.max && row.max <= schema.max);
        }
    }

    #[test]
    fn kip511_the_downgrade_answer_lists_api_versions() {
        let response = api_versions_downgrade();
        assert_eq!(response.error_code, 35);
        assert!(
            response
                .api_keys
                .iter()
                .any(|key| key.api_key == 18 && key.max_version == 4)
        );
    }

    #[test]
    fn internal_apis_are_not_advertised() {
        let response = api_versions(&ApiVersionsRequest::default(), 0);
        assert!(
            response
                .api_keys
                .iter()
                .all(|key| key.api_key != ApiKey::Vote as i16)
        );
        assert!(
            response
                .api_keys
                .iter()
                .any(|key| key.api_key == 0 && key.min_version == 0)
        );
    }

    #[test]
    fn software_names_follow_the_expression() {
        for (name, good) in [
            ("a", true),
            ("librdkafka", true),
            ("a.b-1", true),
            ("", false),
            ("-a", false),
        ] {
            assert_eq!(is_software_name(name), good, "{name}");
        }
        assert_eq!(
            api_versions(&ApiVersionsRequest::default(), 3).error_code,
            42
        );
    }
}
