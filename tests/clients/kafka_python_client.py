"""kafka-python: `produce` sends stdin's lines, `consume` prints `count` records.

A line is `key TAB value` going in and `partition TAB key TAB value` coming out.
"""

import sys

from kafka import KafkaConsumer, KafkaProducer, TopicPartition


def produce(servers, topic):
    producer = KafkaProducer(bootstrap_servers=servers, acks="all", enable_idempotence=True)
    sent = []
    for line in sys.stdin.buffer:
        key, value = line.rstrip(b"\n").split(b"\t", 1)
        sent.append(producer.send(topic, value, key))
    producer.flush(60)
    for record in sent:
        record.get(timeout=60)
    producer.close()


def consume(servers, topic, count):
    # An offset that is out of range is an error here, never a silent fresh start.
    consumer = KafkaConsumer(bootstrap_servers=servers, group_id=None, auto_offset_reset="none")
    partitions = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic)]
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    while count > 0:
        for records in consumer.poll(timeout_ms=1000).values():
            for record in records:
                fields = str(record.partition).encode(), record.key, record.value
                sys.stdout.buffer.write(b"\t".join(fields) + b"\n")
                count -= 1
        sys.stdout.buffer.flush()
    consumer.close()


if sys.argv[1] == "produce":
    produce(*sys.argv[2:4])
else:
    consume(*sys.argv[2:4], int(sys.argv[4]))
