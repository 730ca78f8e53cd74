"""confluent-kafka: `produce` sends stdin's lines, `consume` prints `count` records.

A line is `key TAB value` going in and `partition TAB key TAB value` coming out.
`join` is a member of a group until SIGTERM: it prints records, and `= TAB 0,2` whenever its
partitions change.
"""

import signal
import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition


def produce(servers, topic):
    failures = []
    producer = Producer({"bootstrap.servers": servers, "enable.idempotence": True})
    for line in sys.stdin.buffer:
        key, value = line.rstrip(b"\n").split(b"\t", 1)
        report = lambda error, _message: error and failures.append(str(error))
        producer.produce(topic, value, key, on_delivery=report)
        producer.poll(0)
    left = producer.flush(60)
    if left or failures:
        sys.exit(f"{left} records are not acknowledged, {len(failures)} failed: {failures[:3]}")


def consume(servers, topic, count):
    # An offset that is out of range is an error here, never a silent fresh start.
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "none",
                         "enable.auto.commit": False, "auto.offset.reset": "error"})
    partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
    consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in partitions])
    while count > 0:
        message = consumer.poll(1.0)
        if message is None:
            continue
        if message.error():
            sys.exit(f"consume: {message.error()}")
        fields = str(message.partition()).encode(), message.key(), message.value()
        sys.stdout.buffer.write(b"\t".join(fields) + b"\n")
        sys.stdout.buffer.flush()
        count -= 1
    consumer.close()


def join(servers, topic, group, name):
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    consumer = Consumer({"bootstrap.servers": servers, "group.id": group, "client.id": name,
                         "auto.offset.reset": "earliest", "heartbeat.interval.ms": 500,
                         "auto.commit.interval.ms": 100})
    report = lambda partitions: print(
        "=", ",".join(str(p.partition) for p in partitions), sep="\t", flush=True)
    consumer.subscribe([topic], on_assign=lambda _, partitions: report(partitions),
                       on_revoke=lambda *_: report([]), on_lost=lambda *_: report([]))
    while not stopping:
        message = consumer.poll(0.1)
        if message is None:
            continue
        if message.error():
            # Such as a coordinator that is not reached just now: the client goes on by itself.
            print(message.error(), file=sys.stderr)
            continue
        fields = str(message.partition()).encode(), message.key(), message.value()
        sys.stdout.buffer.write(b"\t".join(fields) + b"\n")
        sys.stdout.buffer.flush()
    consumer.close()


if sys.argv[1] == "produce":
    produce(*sys.argv[2:4])
elif sys.argv[1] == "join":
    join(*sys.argv[2:6])
else:
    consume(*sys.argv[2:4], int(sys.argv[4]))
