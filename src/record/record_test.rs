//! Round trips, malformed bytes and the produce rules.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::*;
use crate::error::ErrorCode;

const NOW: i64 = 1_700_000_000_000;

type Fields = (
    i64,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Vec<(Vec<u8>, Option<Vec<u8>>)>,
);

fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..max)
}

fn records() -> impl Strategy<Value = Vec<Fields>> {
    let header = (bytes(6), prop::option::of(bytes(6)));
    let record = (
        -1000..1000_i64,
        prop::option::of(bytes(20)),
        prop::option::of(bytes(200)),
        prop::collection::vec(header, 0..3),
    );
    prop::collection::vec(record, 1..20)
}

fn codec() -> impl Strategy<Value = Compression> {
    prop::sample::select(Compression::ALL.to_vec())
}

fn build(compression: Compression, records: &[Fields]) -> Bytes {
    let mut builder = BatchBuilder::new(compression);
    for (delta, key, value, headers) in records {
        let headers: Vec<Header> = headers
            .iter()
            .map(|(key, value)| Header {
                key: Bytes::from(key.clone()),
                value: value.clone().map(Bytes::from),
            })
            .collect();
        builder.append(NOW + delta, key.as_deref(), value.as_deref(), &headers);
    }
    builder.build()
}

fn one(compression: Compression, value: &[u8]) -> Bytes {
    let mut builder = BatchBuilder::new(compression);
    builder.append(NOW, None, Some(value), &[]);
    builder.build()
}

/// `batch` with `change` applied to its bytes and the checksum made right again.
fn altered(batch: &Bytes, change: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut batch = BytesMut::from(batch.as_ref());
    change(&mut batch);
    let crc = batch_crc(&batch);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch.freeze()
}

fn rejection(records: &Bytes) -> ErrorCode {
    validate_produce(records, &ProduceRules::default(), NOW)
        .expect_err("the batch must be refused")
        .code
}

/// Everything that reads untrusted bytes, for its absence of panics.
fn read_everything(input: &Bytes) {
    let _ = validate_produce(input, &ProduceRules::default(), NOW);
    let mut batches = Batches::new(input.clone());
    for batch in batches.by_ref().flatten() {
        let _ = batch.check_crc();
        let _ = (batch.header().next_offset(), batch.header().last_sequence());
        if let Ok(records) = batch.records(1 << 20) {
            assert!(records.count() <= input.len().max(1 << 20));
        }
    }
}

proptest! {
    #[test]
    fn built_batches_read_back(compression in codec(), wanted in records()) {
        let batch = build(compression, &wanted);
        let batch = validate_produce(&batch, &ProduceRules::default(), NOW).unwrap();
        let header = batch.header();
        prop_assert_eq!(header.record_count as usize, wanted.len());
        let latest = wanted.iter().map(|record| NOW + record.0).max();
        prop_assert_eq!(Some(header.max_timestamp), latest);
        let read = batch.records(1 << 20).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
        prop_assert_eq!(read.len(), wanted.len());
        for (index, (record, (delta, key, value, headers))) in read.iter().zip(&wanted).enumerate() {
            prop_assert_eq!(record.offset, index as i64);
            prop_assert_eq!(record.timestamp, NOW + delta);
            prop_assert_eq!(record.key.as_deref(), key.as_deref());
            prop_assert_eq!(record.value.as_deref(), value.as_deref());
            let read: Vec<_> = record.headers.iter()
                .map(|header| (header.key.to_vec(), header.value.as_ref().map(|v| v.to_vec())))
                .collect();
            prop_assert_eq!(&read, headers);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(input in bytes(300)) {
        read_everything(&Bytes::from(input));
    }

    #[test]
    fn mutated_batches_never_panic(
        compression in codec(),
        wanted in records(),
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        mend in any::<bool>(),
    ) {
        let batch = build(compression, &wanted);
        let mut mutated = BytesMut::from(batch.as_ref());
        for (place, value) in places {
            let place = place.index(mutated.len());
            mutated[place] = value;
        }
        let mutated = if mend { altered(&mutated.freeze(), |_| ()) } else { mutated.freeze() };
        read_everything(&mutated);
        read_everything(&mutated.slice(..cut.index(mutated.len())));
    }

    #[test]
    fn any_flipped_bit_behind_the_epoch_is_noticed(
        compression in codec(),
        wanted in records(),
        place in any::<prop::sample::Index>(),
        bit in 0..8,
    ) {
        let batch = build(compression, &wanted);
        let mut flipped = BytesMut::from(batch.as_ref());
        let place = 16 + place.index(flipped.len() - 16);
        flipped[place] ^= 1u8 << bit;
        prop_assert!(validate_produce(&flipped.freeze(), &ProduceRules::default(), NOW).is_err());
    }

    #[test]
    fn batches_are_cut_where_they_end(
        count in 0_usize..6,
        tail in bytes(60),
        wanted in records(),
    ) {
        let batch = build(Compression::None, &wanted);
        let mut all = BytesMut::new();
        for index in 0..count {
            all.extend_from_slice(&stamp(batch.clone(), (index * wanted.len()) as i64, 3));
        }
        all.extend_from_slice(&batch[..tail.len().min(batch.len() - 1)]);
        let mut batches = Batches::new(all.freeze());
        let whole: Vec<_> = batches.by_ref().collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(whole.len(), count);
        prop_assert_eq!(batches.rest().len(), tail.len().min(batch.len() - 1));
        for pair in whole.windows(2) {
            prop_assert_eq!(pair[0].header().next_offset(), pair[1].header().base_offset);
        }
    }
}

#[test]
fn stamping_keeps_the_checksum() {
    let batch = stamp(one(Compression::Lz4, b"value"), 42, 7);
    let batch = RecordBatch::first(&batch).unwrap();
    batch.check_crc().unwrap();
    assert_eq!(batch.header().base_offset, 42);
    assert_eq!(batch.header().partition_leader_epoch, 7);
}

#[test]
fn stamping_shared_bytes_leaves_the_others_alone() {
    let original = one(Compression::None, b"value");
    let stamped = stamp(original.clone(), 42, 7);
    assert_ne!(original, stamped);
    assert_eq!(
        RecordBatch::first(&original).unwrap().header().base_offset,
        0
    );
}

#[test]
fn covered_stamps_renew_the_checksum() {
    let mut batch = BytesMut::from(one(Compression::Gzip, b"value").as_ref());
    stamp_log_append_time(&mut batch, NOW + 5);
    let producer = ProducerFields {
        id: 9,
        epoch: 2,
        base_sequence: i32::MAX,
    };
    stamp_producer(&mut batch, producer);
    let batch = RecordBatch::first(&batch.freeze()).unwrap();
    batch.check_crc().unwrap();
    assert_eq!(batch.header().producer_id, 9);
    assert_eq!(batch.header().last_sequence(), i32::MAX);
    let record = batch.records(100).unwrap().next().unwrap().unwrap();
    assert_eq!(record.timestamp, NOW + 5);
}

#[test]
fn raw_snappy_is_read_as_librdkafka_writes_it() {
    let plain = one(Compression::None, &[7; 500]);
    let block = snap::raw::Encoder::new()
        .compress_vec(&plain[BATCH_HEADER_BYTES..])
        .unwrap();
    let raw = altered(&plain, |batch| {
        batch.truncate(BATCH_HEADER_BYTES);
        batch.extend_from_slice(&block);
        let length = (batch.len() - LENGTH_PREFIX_BYTES) as i32;
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        batch[22] |= Compression::Snappy.codec() as u8;
    });
    let batch = validate_produce(&raw, &ProduceRules::default(), NOW).unwrap();
    let record = batch.records(1000).unwrap().next().unwrap().unwrap();
    assert_eq!(record.value.as_deref(), Some([7; 500].as_slice()));
}

#[test]
fn decompression_stops_at_the_limit() {
    for compression in [
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let batch = RecordBatch::first(&one(compression, &vec![0; 1 << 20])).unwrap();
        assert!(batch.bytes().len() < 100_000, "{compression:?} compresses");
        let limit = 1000;
        assert_eq!(
            batch.records(limit).err(),
            Some(BatchError::TooLarge { limit })
        );
        let records: Vec<_> = batch.records(2 << 20).unwrap().collect();
        assert!(records.iter().all(Result::is_ok));
    }
}

#[test]
fn bad_batches_are_refused_with_the_right_code() {
    let batch = one(Compression::None, b"value");
    let twice = Bytes::from([batch.as_ref(), batch.as_ref()].concat());
    let cases = [
        ("two batches", twice, ErrorCode::InvalidRecord),
        ("no batch", Bytes::new(), ErrorCode::InvalidRecord),
        (
            "cut off",
            batch.slice(..batch.len() - 1),
            ErrorCode::InvalidRecord,
        ),
        (
            "old format",
            altered(&batch, |b| b[16] = 1),
            ErrorCode::InvalidRecord,
        ),
        (
            "no records",
            altered(&batch, |b| b[60] = 0),
            ErrorCode::InvalidRecord,
        ),
        (
            "more records",
            altered(&batch, |b| b[60] = 2),
            ErrorCode::InvalidRecord,
        ),
        (
            "claimed delta",
            altered(&batch, |b| b[26] = 1),
            ErrorCode::InvalidRecord,
        ),
        (
            "record delta",
            altered(&batch, |b| b[64] = 2),
            ErrorCode::InvalidRecord,
        ),
        (
            "control",
            altered(&batch, |b| b[22] |= 1 << 5),
            ErrorCode::InvalidRecord,
        ),
        (
            "transactional",
            altered(&batch, |b| b[22] |= 1 << 4),
            ErrorCode::InvalidTxnState,
        ),
        (
            "log append time",
            altered(&batch, |b| b[22] |= 1 << 3),
            ErrorCode::InvalidTimestamp,
        ),
        (
            "codec",
            altered(&batch, |b| b[22] |= 7),
            ErrorCode::UnsupportedCompressionType,
        ),
        (
            "future",
            altered(&batch, |b| b[27] = 1),
            ErrorCode::InvalidTimestamp,
        ),
        (
            "no sequence",
            altered(&batch, |b| b[43..51].fill(0)),
            ErrorCode::InvalidRecord,
        ),
    ];
    for (name, records, code) in cases {
        assert_eq!(rejection(&records), code, "{name}");
    }
    let mut flipped = BytesMut::from(batch.as_ref());
    flipped[65] ^= 1;
    assert_eq!(rejection(&flipped.freeze()), ErrorCode::CorruptMessage);
}

#[test]
fn the_rules_of_the_topic_are_kept() {
    let batch = one(Compression::Zstd, &[1; 300]);
    let code = |change: fn(&mut ProduceRules)| {
        let mut rules = ProduceRules::default();
        change(&mut rules);
        validate_produce(&batch, &rules, NOW)
            .err()
            .map(|rejection| rejection.code)
    };
    assert_eq!(code(|_| ()), None);
    assert_eq!(
        code(|rules| rules.batch_bytes_max = 60),
        Some(ErrorCode::MessageTooLarge)
    );
    assert_eq!(
        code(|rules| rules.segment_bytes = 60),
        Some(ErrorCode::RecordListTooLarge)
    );
    assert_eq!(
        code(|rules| rules.decompressed_bytes_max = 9),
        Some(ErrorCode::MessageTooLarge)
    );
    let zstd = code(|rules| rules.zstd_allowed = false);
    assert_eq!(zstd, Some(ErrorCode::UnsupportedCompressionType));
}

#[test]
fn old_timestamps_are_refused_only_where_the_topic_says_so() {
    let batch = one(Compression::None, b"value");
    let mut rules = ProduceRules {
        timestamp_before_max_ms: 1000,
        ..ProduceRules::default()
    };
    let late = NOW + 5000;
    let refused = validate_produce(&batch, &rules, late).unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidTimestamp);
    rules.timestamp_type = TimestampType::LogAppendTime;
    validate_produce(&batch, &rules, late).unwrap();
}

#[test]
fn a_compacted_topic_refuses_records_without_a_key() {
    let rules = ProduceRules {
        keys_required: true,
        ..ProduceRules::default()
    };
    let check = |key: Option<&[u8]>| {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.append(5, Some(b"k"), Some(b"v"), &[]);
        builder.append(5, key, None, &[]);
        validate_produce(&builder.build(), &rules, 5).map_err(|rejection| rejection.code)
    };
    assert!(check(Some(b"")).is_ok());
    assert_eq!(check(None).unwrap_err(), ErrorCode::InvalidRecord);
}
