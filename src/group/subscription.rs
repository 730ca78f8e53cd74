//! The topics in a consumer's metadata, for what may not expire or be deleted under it.
//!
//! In: the "consumer" protocol's subscription, which the broker otherwise never reads. Out: its
//! topics; nothing from garbage, which any client may send. Source: `ConsumerProtocolSubscription`.

use bytes::{Buf, Bytes};

/// The topics that `metadata` subscribes to; `None` if it does not read.
pub(super) fn topics(mut metadata: Bytes) -> Option<Vec<String>> {
    metadata.try_get_i16().ok()?;
    let count = metadata.try_get_i32().ok()?;
    let mut topics = Vec::new();
    for _ in 0..count {
        let length = usize::try_from(metadata.try_get_i16().ok()?).ok()?;
        if length > metadata.len() {
            return None;
        }
        let text = metadata.split_to(length);
        topics.push(std::str::from_utf8(&text).ok()?.to_owned());
    }
    Some(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_and_garbage_is_none() {
        let metadata = Bytes::from_static(b"\0\x01\0\0\0\x02\0\x01a\0\x02bc\0\0\0\0");
        assert_eq!(
            topics(metadata.clone()),
            Some(vec!["a".into(), "bc".into()])
        );
        for garbage in [
            &b""[..],
            b"\0",
            b"\0\0\x7f\xff\xff\xff",
            b"\0\0\0\0\0\x01\0\x05ab",
        ] {
            assert_eq!(topics(Bytes::from_static(garbage)), None, "{garbage:?}");
        }
    }
}
