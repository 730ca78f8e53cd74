"""kafka-python: `produce` sends stdin's lines, `consume` prints `count` records.

A line is `key TAB value` going in and `partition TAB key TAB value` coming out.
`join` is a member of a group until SIGTERM: it prints records, and `= TAB 0,2` whenever its
partitions change.
"""

import signal
import sys

from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor


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


class Report(ConsumerRebalanceListener):
    def on_partitions_assigned(self, assigned):
        print("=", ",".join(str(p.partition) for p in assigned), sep="\t", flush=True)

    def on_partitions_revoked(self, revoked):
        self.on_partitions_assigned([])


def join(servers, topic, group, name):
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    consumer = KafkaConsumer(
        bootstrap_servers=servers, group_id=group, client_id=name,
        auto_offset_reset="earliest", heartbeat_interval_ms=500, auto_commit_interval_ms=100,
        partition_assignment_strategy=[RangePartitionAssignor, RoundRobinPartitionAssignor])
    consumer.subscribe([topic], listener=Report())
    while not stopping:
        for records in consumer.poll(timeout_ms=100).values():
            for record in records:
                fields = str(record.partition).encode(), record.key, record.value
                sys.stdout.buffer.write(b"\t".join(fields) + b"\n")
        sys.stdout.buffer.flush()
    consumer.close()


if sys.argv[1] == "produce":
    produce(*sys.argv[2:4])
elif sys.argv[1] == "join":
    join(*sys.argv[2:6])
else:
    consume(*sys.argv[2:4], int(sys.argv[4]))
